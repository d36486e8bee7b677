//! A small HTTP client for the tests.

use base64::Engine;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::HeaderMap;
use hyper_util::client::legacy::{Client as Hyper, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::time::{Duration, Instant};
use windlass_counterparts::{Running, Simulator, SimulatorKind, SimulatorOptions};

/// Starts a simulator whose builds are quick.
pub(crate) async fn start(kind: SimulatorKind) -> Running {
    start_with(kind, |_| {}).await
}

/// Starts a simulator with changed options.
pub(crate) async fn start_with(kind: SimulatorKind, change: impl FnOnce(&mut SimulatorOptions)) -> Running {
    let mut options = SimulatorOptions {
        queue: Duration::from_millis(50),
        duration: Duration::from_millis(150),
        ..SimulatorOptions::default()
    };
    change(&mut options);
    Simulator::start(kind, options).await.expect("a simulator on a free port")
}

/// Asks one simulator.
pub(crate) struct Client {
    hyper: Hyper<HttpConnector, Full<Bytes>>,
    url: String,
    authorization: Option<String>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a text header"))
    }
}

impl Client {
    /// With the default credential.
    pub(crate) fn new(url: &str) -> Client {
        Client::basic(url, "windlass", "simulated-token")
    }

    pub(crate) fn basic(url: &str, user: &str, password: &str) -> Client {
        let credential = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        Client::with(url, Some(format!("Basic {credential}")))
    }

    pub(crate) fn with(url: &str, authorization: Option<String>) -> Client {
        let hyper = Hyper::builder(TokioExecutor::new()).build_http();
        Client { hyper, url: url.trim_end_matches('/').to_owned(), authorization }
    }

    /// Sends a request; an error is a connection that broke.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, String> {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.url) };
        let mut request = hyper::Request::builder().method(method).uri(url);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a request");
        let answer = self.hyper.request(request).await.map_err(|error| format!("{error:?}"))?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await.expect("an answer")
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        self.send("POST", path, &[], "").await.expect("an answer")
    }

    /// Sends JSON.
    pub(crate) async fn json(&self, method: &str, path: &str, body: Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.send(method, path, &headers, body.to_string()).await.expect("an answer")
    }

    /// Asks until the answer's JSON satisfies `wanted`.
    pub(crate) async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = self.get(path).await.json();
            if wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "waited too long for {path}: {answer}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
