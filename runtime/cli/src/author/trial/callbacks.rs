//! Where a service that is tried out with calls back: `POST …/callbacks/TOPIC`, kept until the step waits for it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use windlass_model::event::Wake;

/// As a host takes.
const BODY_BYTES_MAX: usize = 256 * 1024;

type Taken = Arc<(Mutex<HashMap<String, Wake>>, Notify)>;

/// Takes callbacks until it is dropped.
pub(crate) struct Listener {
    address: SocketAddr,
    taken: Taken,
    task: JoinHandle<()>,
}

impl Listener {
    pub(crate) async fn start(address: SocketAddr) -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("callbacks cannot be taken at {address}"))?;
        let address = listener.local_addr().context("where callbacks are taken")?;
        let taken = Taken::default();
        let task = tokio::spawn(accept(listener, Arc::clone(&taken)));
        Ok(Self { address, taken, task })
    }

    /// What callbacks' addresses begin with.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for a callback of one of these topics.
    pub(crate) async fn wait_for(&self, topics: &[&str]) -> Option<Wake> {
        let (taken, arrived) = &*self.taken;
        loop {
            {
                let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(wake) = topics.iter().find_map(|it| taken.remove(*it)) {
                    return Some(wake);
                }
            }
            arrived.notified().await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, taken: Taken) {
    while let Ok((stream, _)) = listener.accept().await {
        let taken = Arc::clone(&taken);
        let service = service_fn(move |request| answer(request, Arc::clone(&taken)));
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(request: Request<Incoming>, taken: Taken) -> Result<Response<Full<Bytes>>, Infallible> {
    let status = take(request, &taken).await;
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    Ok(response)
}

async fn take(request: Request<Incoming>, (taken, arrived): &(Mutex<HashMap<String, Wake>>, Notify)) -> StatusCode {
    if request.method() != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED;
    }
    let Some(topic) = request.uri().path().strip_prefix("/callbacks/").map(str::to_owned) else {
        return StatusCode::NOT_FOUND;
    };
    let withheld = ["authorization", "cookie", "connection", "host", "content-length", "transfer-encoding"];
    let headers = request.headers().iter().filter(|(name, _)| !withheld.contains(&name.as_str()));
    let headers =
        headers.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned()))).collect();
    let Ok(body) = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await else {
        return StatusCode::PAYLOAD_TOO_LARGE;
    };
    let wake = Wake::Callback { topic: topic.clone(), headers, body: body.to_bytes().to_vec() };
    taken.lock().unwrap_or_else(PoisonError::into_inner).insert(topic, wake);
    arrived.notify_one();
    StatusCode::ACCEPTED
}
