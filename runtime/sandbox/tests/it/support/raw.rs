//! A server that says what it is told to, byte by byte, whatever HTTP is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What is said to a request.
#[derive(Clone)]
pub(crate) enum Said {
    /// This, and the connection stays open.
    Once(Vec<u8>),
    /// The first, and then the second until nobody listens any more.
    ForEver(Vec<u8>, Vec<u8>),
}

pub(crate) struct RawServer {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    requests: AtomicU64,
    closed: AtomicU64,
    changed: Notify,
}

impl RawServer {
    /// Starts one that answers the request of this number, on the connection of this number, both from 0, with this
    /// head; it ends with the test's runtime.
    pub(crate) async fn start(say: impl Fn(u64, u64, &str) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (state, say) = (Arc::new(State::default()), Arc::new(say));
        let served = Arc::clone(&state);
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (served, say) = (Arc::clone(&served), Arc::clone(&say));
                tokio::spawn(async move {
                    serve(stream, connection, &served, &*say).await;
                    served.closed.fetch_add(1, Ordering::SeqCst);
                    served.changed.notify_waiters();
                });
            }
        });
        Self { address, state }
    }

    /// One that says the same to everybody.
    pub(crate) async fn saying(said: Said) -> Self {
        Self::start(move |_, _, _| said.clone()).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Waits until the other side has left so many connections.
    pub(crate) async fn left(&self, connections: u64) {
        loop {
            let changed = self.state.changed.notified();
            if self.state.closed.load(Ordering::SeqCst) >= connections {
                return;
            }
            changed.await;
        }
    }
}

async fn serve(mut stream: TcpStream, connection: u64, state: &State, say: &(dyn Fn(u64, u64, &str) -> Said + Sync)) {
    let mut head = Vec::new();
    let mut chunk = [0; 4096];
    for request in 0.. {
        while !head.windows(4).any(|it| it == b"\r\n\r\n") {
            match stream.read(&mut chunk).await {
                Ok(read) if read > 0 => head.extend_from_slice(&chunk[..read]),
                _ => return,
            }
        }
        state.requests.fetch_add(1, Ordering::SeqCst);
        let said = say(connection, request, &String::from_utf8_lossy(&head));
        head.clear();
        match said {
            Said::Once(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Said::ForEver(first, again) => {
                if stream.write_all(&first).await.is_err() {
                    return;
                }
                while stream.write_all(&again).await.is_ok() {
                    tokio::task::yield_now().await;
                }
                return;
            }
        }
    }
}
