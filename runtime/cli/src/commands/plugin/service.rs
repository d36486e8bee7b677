//! `windlass plugin service`: a job service, for plugins that `windlass plugin new` made.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::commands::Context;
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub(crate) struct ServiceArgs {
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:8099")]
    listen: SocketAddr,
}

const BODY_BYTES_MAX: usize = 64 * 1024;

/// A job, which is one state further each time that somebody looks.
struct Job {
    key: String,
    id: String,
    looks: u32,
}

impl Job {
    fn shown(&self) -> Value {
        match self.looks {
            0 => json!({ "id": self.id, "state": "queued" }),
            1 => json!({ "id": self.id, "state": "running" }),
            _ => json!({
                "id": self.id, "state": "done", "artifact": format!("https://artifacts.test/{}", self.id), "seconds": 2,
            }),
        }
    }
}

#[derive(Default)]
struct Jobs {
    made: usize,
    jobs: Vec<Job>,
}

pub(crate) async fn service(args: &ServiceArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let listener =
        TcpListener::bind(args.listen).await.with_context(|| format!("{} cannot be listened at", args.listen))?;
    let address = listener.local_addr().context("where it listens")?;
    let announced = json!({ "url": format!("http://{address}") });
    context.output.data(&announced, |_| {
        format!(
            "a simulated job service at http://{address}, until it is stopped\n  a job is done the second time that it is looked at; one with the title `bad` is rejected\n"
        )
    });
    let jobs = Arc::<Mutex<Jobs>>::default();
    let is_json = context.output.is_json();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let jobs = Arc::clone(&jobs);
                let service = service_fn(move |request| answered(request, Arc::clone(&jobs), is_json));
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
            _ = tokio::signal::ctrl_c() => return Ok(0),
        }
    }
}

async fn answered(
    request: Request<Incoming>,
    jobs: Arc<Mutex<Jobs>>,
    is_json: bool,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map(|it| it.to_bytes()).unwrap_or_default();
    let key = parts.headers.get("idempotency-key").and_then(|it| it.to_str().ok()).unwrap_or_default();
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
    let (status, answer) = {
        let mut jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
        answer(&mut jobs, parts.method.as_str(), path, query, key, &body)
    };
    Output::new(is_json).note(format_args!("{} {path} was answered with {status}", parts.method));
    let text = if status == 204 { String::new() } else { answer.to_string() };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    Ok(response)
}

fn answer(jobs: &mut Jobs, method: &str, path: &str, query: &str, key: &str, body: &[u8]) -> (u16, Value) {
    let id = path.strip_prefix("/jobs/");
    match (method, path, id) {
        ("POST", "/jobs", _) => submitted(jobs, key, body),
        ("GET", "/jobs", _) => {
            // Those of one key, or all.
            let wanted = query.strip_prefix("key=");
            let is_wanted = |it: &&Job| wanted.is_none_or(|key| it.key == key);
            let found: Vec<Value> = jobs.jobs.iter().filter(is_wanted).map(Job::shown).collect();
            (200, json!({ "jobs": found }))
        }
        ("GET", _, Some(id)) => match jobs.jobs.iter_mut().find(|it| it.id == id) {
            Some(job) => {
                job.looks += 1;
                (200, job.shown())
            }
            None => (404, json!({ "error": "no such job" })),
        },
        ("DELETE", _, Some(id)) => {
            let before = jobs.jobs.len();
            jobs.jobs.retain(|it| it.id != id);
            if jobs.jobs.len() < before { (204, Value::Null) } else { (404, json!({ "error": "no such job" })) }
        }
        _ => (404, json!({ "error": "there is nothing here; jobs are at /jobs" })),
    }
}

fn submitted(jobs: &mut Jobs, key: &str, body: &[u8]) -> (u16, Value) {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return (400, json!({ "error": "the body is no JSON" }));
    };
    if body["title"] == "bad" {
        return (422, json!({ "error": "jobs that are called `bad` are not taken" }));
    }
    if body.get("notify").is_some() {
        return (422, json!({ "error": "this simulated service calls nobody back; leave `notify` out" }));
    }
    if let Some(same) = jobs.jobs.iter().find(|it| !key.is_empty() && it.key == key) {
        return (200, same.shown());
    }
    jobs.made += 1;
    let job = Job { key: key.to_owned(), id: format!("j-{}", jobs.made), looks: 0 };
    let shown = job.shown();
    jobs.jobs.push(job);
    (201, shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_taken_once_looked_at_and_withdrawn() {
        let mut jobs = Jobs::default();
        let mut ask = |method: &str, path: &str, query: &str, body: &str| {
            let (status, answer) = answer(&mut jobs, method, path, query, "k", body.as_bytes());
            (status, answer["state"].as_str().map(str::to_owned))
        };
        let state = |it: &str| Some(it.to_owned());
        assert_eq!(ask("POST", "/jobs", "", "{"), (400, None));
        assert_eq!(ask("POST", "/jobs", "", r#"{"title":"bad"}"#), (422, None));
        assert_eq!(ask("POST", "/jobs", "", r#"{"title":"a","notify":"http://x"}"#), (422, None));
        assert_eq!(ask("POST", "/jobs", "", r#"{"title":"a"}"#), (201, state("queued")));
        assert_eq!(ask("POST", "/jobs", "", r#"{"title":"a"}"#), (200, state("queued")));
        let listed = |query| answer(&mut jobs, "GET", "/jobs", query, "", b"").1["jobs"].as_array().map(Vec::len);
        assert_eq!(["", "key=k", "key=other"].map(listed), [Some(1), Some(1), Some(0)]);
        let mut ask = |method: &str, path: &str, query: &str, body: &str| {
            let (status, answer) = answer(&mut jobs, method, path, query, "k", body.as_bytes());
            (status, answer["state"].as_str().map(str::to_owned))
        };
        assert_eq!(ask("GET", "/jobs/j-1", "", ""), (200, state("running")));
        assert_eq!(ask("GET", "/jobs/j-1", "", ""), (200, state("done")));
        assert_eq!(ask("DELETE", "/jobs/j-1", "", ""), (204, None));
        assert_eq!(ask("DELETE", "/jobs/j-1", "", ""), (404, None));
        assert_eq!(ask("GET", "/jobs/j-1", "", ""), (404, None));
        assert_eq!(ask("PUT", "/jobs", "", ""), (404, None));
    }
}
