//! A counterpart: entries that are made, once per key where there is one.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Listens until it is dropped.
pub(crate) struct Ledger {
    pub(crate) url: String,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Entries {
    made: usize,
    entries: Vec<(String, String)>,
    taken: Vec<String>,
    flag: String,
}

impl Ledger {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let entries = Arc::<Mutex<Entries>>::default();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let entries = Arc::clone(&entries);
                let service = service_fn(move |request| answered(request, Arc::clone(&entries)));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { url, task }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answered(
    request: Request<Incoming>,
    entries: Arc<Mutex<Entries>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let read = body.collect().await.map(|it| it.to_bytes()).unwrap_or_default();
    let header = |name: &str| parts.headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned();
    let (status, answer) = if parts.uri.path() == "/form" {
        match header("content-type").as_str() {
            "application/x-www-form-urlencoded" => (200, json!({ "sent": String::from_utf8_lossy(&read) })),
            _ => (415, json!({ "error": "a form is wanted" })),
        }
    } else {
        let mut entries = entries.lock().expect("not poisoned");
        answer(&mut entries, parts.method.as_str(), parts.uri.path(), parts.uri.query(), &header)
    };
    let text = answer.as_str().map_or_else(|| answer.to_string(), str::to_owned);
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    Ok(response)
}

fn answer(
    it: &mut Entries,
    method: &str,
    path: &str,
    query: Option<&str>,
    header: &dyn Fn(&str) -> String,
) -> (u16, Value) {
    let key = header("idempotency-key");
    // What comes through a connection is below its path; the probes of the suite are not.
    let path = path.strip_prefix("/v1").unwrap_or(path);
    match (method, path) {
        ("POST", "/entries") | ("GET", "/enter") => {
            if let Some((_, id)) = it.entries.iter().find(|(other, _)| !key.is_empty() && *other == key) {
                return (200, json!({ "id": id }));
            }
            it.made += 1;
            let id = format!("e-{}", it.made);
            it.entries.push((key, id.clone()));
            (201, json!({ "id": id }))
        }
        ("POST", "/taken") => {
            let key = header("x-key");
            if it.taken.contains(&key) {
                return (409, json!({ "error": "it was taken before" }));
            }
            it.taken.push(key);
            (200, json!("taken"))
        }
        ("GET", "/entries") => {
            let wanted = query.and_then(|it| it.strip_prefix("key="));
            let entries = it.entries.iter().filter(|(key, _)| wanted.is_none_or(|it| it == key));
            (200, entries.map(|(_, id)| json!({ "id": id, "open": true })).collect())
        }
        ("POST", "/flag") => {
            it.flag = query.and_then(|it| it.strip_prefix("to=")).unwrap_or_default().to_owned();
            (200, json!({}))
        }
        ("GET", "/flag") => (200, json!({ "value": it.flag })),
        ("GET", "/title") => (200, json!("a title")),
        ("GET", "/number") => (200, json!({ "n": it.made + 5 })),
        ("GET", "/reversed") => (200, header("authorization").chars().rev().collect::<String>().into()),
        ("DELETE", path) if path.starts_with("/entries/") => {
            let before = it.entries.len();
            it.entries.retain(|(_, id)| format!("/entries/{id}") != path);
            (if it.entries.len() < before { 204 } else { 404 }, json!(""))
        }
        _ => (404, json!({ "error": "there is nothing here" })),
    }
}
