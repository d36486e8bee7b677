//! Answering on the socket.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::{Peer, router};
use crate::runtime::Runtime;

/// The socket of this process; removed when dropped.
#[derive(Debug)]
pub struct Serving {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Answers on the socket of the runtime's state directory, which only its owner can open.
///
/// Whoever has the store open may take the socket's name: a socket that is still there was left by a
/// process that was killed.
pub async fn serve(runtime: Runtime) -> io::Result<Serving> {
    let path = runtime.state().socket();
    if UnixStream::connect(&path).await.is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, format!("another process answers on {}", path.display())));
    }
    let listener = bind_private(&path)?;
    let app = router(runtime).into_make_service_with_connect_info::<Peer>();
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!(%error, "the API does not answer any more");
        }
    });
    Ok(Serving { path, task })
}

/// Binds under a name nobody looks at, closes it to others, then gives it its name.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let unnamed = path.with_extension("new");
    let _ = std::fs::remove_file(&unnamed);
    let listener = UnixListener::bind(&unnamed)?;
    std::fs::set_permissions(&unnamed, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&unnamed, path)?;
    Ok(listener)
}
