//! Talking to the process that owns a state directory, or being it.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tower_service::Service;
use windlass_store::StoreError;

use crate::api::{ErrorBody, Peer, router};
use crate::runtime::{Runtime, RuntimeError, RuntimeOptions};
use crate::state_directory::StateDirectory;

/// How long somebody waits for a process that has the store and does not answer.
const HANDOVER: Duration = Duration::from_secs(5);

/// How often it is looked at meanwhile: nothing tells when a lock is free.
const HANDOVER_LOOK: Duration = Duration::from_millis(50);

/// Who answers.
#[derive(Clone)]
pub enum Client {
    /// Another process, on its socket.
    Socket(StateDirectory),
    /// This process, which opened the store.
    Here(Runtime),
}

/// Why there is no answer, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The store could not be opened.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The process that owns the store does not answer.
    #[error("the process that owns {directory} does not answer: {message}")]
    NoAnswer {
        /// The state directory.
        directory: String,
        /// What went wrong.
        message: String,
    },
    /// The answer is not what was expected.
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
    /// The request was refused.
    #[error("{}", .body.error)]
    Refused {
        /// 4xx or 5xx.
        status: StatusCode,
        /// Why.
        body: ErrorBody,
    },
}

impl Client {
    /// The process that answers on the socket of `state`, if there is one.
    pub async fn connect(state: &StateDirectory) -> Option<Self> {
        UnixStream::connect(state.socket()).await.ok().map(|_| Self::Socket(state.clone()))
    }

    /// Whoever owns `state`: the process that answers on its socket, else this one, which drives no releases.
    pub async fn open(state: &StateDirectory) -> Result<Self, ClientError> {
        let options = RuntimeOptions { drive: false, ..RuntimeOptions::default() };
        Self::open_with(state, options).await
    }

    /// Whoever owns `state`: the process that answers on its socket, else this one, with these options. One that has the
    /// store and does not answer is given a moment to start, or to end.
    pub async fn open_with(state: &StateDirectory, options: RuntimeOptions) -> Result<Self, ClientError> {
        let until = tokio::time::Instant::now() + HANDOVER;
        loop {
            if let Some(client) = Self::connect(state).await {
                return Ok(client);
            }
            match Runtime::open(state.clone(), options.clone()).await {
                Err(RuntimeError::Store(StoreError::Locked { .. })) if tokio::time::Instant::now() < until => {
                    tokio::time::sleep(HANDOVER_LOOK).await;
                }
                opened => return Ok(Self::Here(opened?)),
            }
        }
    }

    /// Who answers, for people.
    pub fn who(&self) -> String {
        match self {
            Self::Socket(state) => format!("the process that runs in {}", state.root().display()),
            Self::Here(runtime) => format!("this process, in {}", runtime.state().root().display()),
        }
    }

    /// How many open releases wait because nothing is running; none where a process answers.
    pub fn left_waiting(&self) -> usize {
        match self {
            Self::Socket(_) => 0,
            // Whoever asks for something gets to know what is wrong with the store.
            Self::Here(runtime) => runtime.store().open_releases().map_or(0, |it| it.len()),
        }
    }

    /// GET.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let body = self.send(Method::GET, path, Bytes::new()).await?;
        self.collect(body).await
    }

    /// POST of a JSON document.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Unreadable(error.to_string()))?;
        self.post_bytes(path, body.into()).await
    }

    /// POST of bytes.
    pub async fn post_bytes<T: DeserializeOwned>(&self, path: &str, body: Bytes) -> Result<T, ClientError> {
        let body = self.send(Method::POST, path, body).await?;
        self.collect(body).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.send(Method::DELETE, path, Bytes::new()).await.map(|_| ())
    }

    /// GET of JSON lines, given to `each` as they come.
    pub async fn lines<T: DeserializeOwned>(&self, path: &str, mut each: impl FnMut(T)) -> Result<(), ClientError> {
        let mut body = self.send(Method::GET, path, Bytes::new()).await?;
        let mut rest = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.no_answer(error))?;
            rest.extend_from_slice(frame.data_ref().map_or(&[][..], |it| it));
            while let Some(end) = rest.iter().position(|it| *it == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                each(serde_json::from_slice(&line).map_err(|error| ClientError::Unreadable(error.to_string()))?);
            }
        }
        Ok(())
    }

    fn no_answer(&self, error: impl ToString) -> ClientError {
        let directory = match self {
            Self::Socket(state) => state.root().display().to_string(),
            Self::Here(runtime) => runtime.state().root().display().to_string(),
        };
        ClientError::NoAnswer { directory, message: error.to_string() }
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<axum::body::Body, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "windlass")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|error| self.no_answer(error))?;
        let response = match self {
            Self::Socket(state) => {
                let stream = UnixStream::connect(state.socket()).await.map_err(|error| self.no_answer(error))?;
                let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                    .await
                    .map_err(|error| self.no_answer(error))?;
                tokio::spawn(connection);
                sender.send_request(request).await.map_err(|error| self.no_answer(error))?.map(axum::body::Body::new)
            }
            Self::Here(runtime) => {
                let mut request = request.map(axum::body::Body::new);
                let peer = Peer { uid: rustix::process::getuid().as_raw() };
                request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
                match router(runtime.clone()).call(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                }
            }
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        let bytes = response.into_body().collect().await.map_err(|error| self.no_answer(error))?.to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| ErrorBody { error: String::from_utf8_lossy(&bytes).trim().to_owned(), problems: None });
        Err(ClientError::Refused { status, body })
    }

    async fn collect<T: DeserializeOwned>(&self, body: axum::body::Body) -> Result<T, ClientError> {
        let bytes = body.collect().await.map_err(|error| self.no_answer(error))?.to_bytes();
        serde_json::from_slice(&bytes).map_err(|error| ClientError::Unreadable(error.to_string()))
    }
}
