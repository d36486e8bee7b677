//! Services as the recipes meet them, on one port: slow exports, a build server that calls back, uploads in pieces, pages,
//! OAuth2, a desk without idempotency keys, a batch system.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use crate::support::asked::call;

/// What the services know.
#[derive(Default)]
pub(crate) struct World {
    /// Method, path and query of each request.
    pub(crate) seen: Vec<String>,
    /// What `GET /exports/…` is answered with, in this order.
    pub(crate) exports: Vec<(u16, Option<u32>, Value)>,
    pub(crate) file: Vec<u8>,
    pub(crate) uploaded: Vec<u8>,
    pub(crate) patches: usize,
    /// Which of the answers to a piece gets lost.
    pub(crate) patch_lost: usize,
    pub(crate) tokens: usize,
    pub(crate) tickets: Vec<Value>,
    pub(crate) jobs: Vec<Value>,
    /// How jobs end, each when it is looked at for the second time; one that is to run on has none.
    pub(crate) exit_codes: Vec<Option<i32>>,
}

/// Listens until the test ends.
pub(crate) struct Api {
    pub(crate) url: String,
    world: Arc<Mutex<World>>,
}

impl Api {
    pub(crate) fn start(world: World) -> Self {
        let world = Arc::new(Mutex::new(world));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        listener.set_nonblocking(true).expect("it is asked again");
        let (served, base) = (Arc::clone(&world), url.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(serve(listener, served, base));
        });
        Self { url, world }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many requests began like this.
    pub(crate) fn count(&self, line: &str) -> usize {
        self.world().seen.iter().filter(|it| it.starts_with(line)).count()
    }
}

async fn serve(listener: std::net::TcpListener, world: Arc<Mutex<World>>, base: String) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("the listener");
    while let Ok((stream, _)) = listener.accept().await {
        let (world, base) = (Arc::clone(&world), base.clone());
        let service = service_fn(move |request| {
            let (world, base) = (Arc::clone(&world), base.clone());
            async move { answered(request, &world, &base).await }
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// That an answer gets lost: the connection is closed without it.
#[derive(Debug)]
struct Lost;

impl std::fmt::Display for Lost {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the answer got lost")
    }
}

impl std::error::Error for Lost {}

/// A request as the services look at it.
struct Asked {
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: hyper::HeaderMap,
    body: Bytes,
}

impl Asked {
    async fn read(request: Request<Incoming>) -> Self {
        let (head, body) = request.into_parts();
        let url = url::Url::parse(&format!("http://api{}", head.uri)).expect("an address");
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Self {
            method: head.method,
            path: head.uri.path().to_owned(),
            query: url.query_pairs().into_owned().collect(),
            headers: head.headers,
            body,
        }
    }

    fn query(&self, name: &str) -> &str {
        self.query.iter().find(|(it, _)| it == name).map_or("", |(_, value)| value)
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// `/jobs/7/log`: the segment after the first, as a place in a list.
    fn index(&self) -> usize {
        let number = self.path.split('/').nth(2).and_then(|it| it.parse::<usize>().ok());
        number.and_then(|it| it.checked_sub(1)).expect("a number")
    }
}

/// Status, headers, body; none where the answer gets lost.
type Said = Option<(u16, Vec<(&'static str, String)>, Bytes)>;

fn said(status: u16, body: &Value) -> Said {
    Some((status, Vec::new(), Bytes::from(body.to_string())))
}

fn with(status: u16, headers: Vec<(&'static str, String)>, body: impl Into<Bytes>) -> Said {
    Some((status, headers, body.into()))
}

async fn answered(request: Request<Incoming>, world: &Mutex<World>, base: &str) -> Result<Response<Full<Bytes>>, Lost> {
    let asked = Asked::read(request).await;
    if let Some(address) = asked.json()["notify"].as_str().map(str::to_owned) {
        // Before the step waits: it is kept for it.
        let called = tokio::task::spawn_blocking(move || call(&address, "{}")).await.expect("no panic");
        assert_eq!(called.0, 202);
    }
    let answer = {
        let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
        world.seen.push(format!("{} {}", asked.method, asked.path));
        answer(&asked, &mut world, base)
    };
    let (status, headers, body) = answer.ok_or(Lost)?;
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(body)).unwrap_or_else(|error| panic!("{error}")))
}

fn answer(asked: &Asked, world: &mut World, base: &str) -> Said {
    let first = asked.path.split('/').nth(1).unwrap_or_default();
    match first {
        "exports" => {
            let (status, wait, body) = world.exports.remove(0);
            let wait = wait.map(|it| ("retry-after", it.to_string()));
            with(status, wait.into_iter().collect(), body.to_string())
        }
        "builds" if asked.method == Method::POST => said(201, &json!({ "number": 12 })),
        "builds" => said(200, &json!({ "state": "passed", "digest": "sha256:12" })),
        "files" => file(asked, world),
        "uploads" => upload(asked, world),
        "issues" => issues(asked, base),
        "linked" => linked(asked, base),
        "token" => {
            world.tokens += 1;
            said(200, &json!({ "access_token": format!("t0ken-{}", world.tokens), "token_type": "Bearer" }))
        }
        // The first token was revoked before it was used.
        "accounts" if asked.header("authorization") == "Bearer t0ken-2" => {
            said(200, &json!({ "balance": 250, "seen": asked.header("authorization") }))
        }
        "accounts" => said(401, &json!({ "error": "revoked" })),
        "tickets" if asked.method == Method::GET => {
            let found = world.tickets.iter().filter(|it| it["text"].to_string().contains(asked.query("text")));
            said(200, &json!({ "tickets": found.collect::<Vec<_>>() }))
        }
        "tickets" => {
            let number = world.tickets.len() + 1;
            world.tickets.push(json!({ "number": number, "text": asked.json()["text"] }));
            None
        }
        "jobs" => jobs(asked, world),
        other => panic!("nobody knows `{other}`"),
    }
}

fn file(asked: &Asked, world: &World) -> Said {
    let etag = ("etag", "\"1\"".to_owned());
    if asked.method == Method::HEAD {
        return with(200, vec![etag, ("content-length", world.file.len().to_string())], "");
    }
    assert_eq!(asked.header("if-match"), "\"1\"");
    let range = asked.header("range").strip_prefix("bytes=").and_then(|it| it.split_once('-')).expect("a range");
    let (first, last): (usize, usize) = (range.0.parse().expect("a byte"), range.1.parse().expect("a byte"));
    with(206, vec![etag], world.file[first..=last].to_vec())
}

fn upload(asked: &Asked, world: &mut World) -> Said {
    if asked.method == Method::POST {
        return said(201, &json!({ "id": "u-1" }));
    }
    let offset = |world: &World| vec![("upload-offset", world.uploaded.len().to_string())];
    if asked.method == Method::HEAD {
        return with(200, offset(world), "");
    }
    world.patches += 1;
    if asked.header("upload-offset") != world.uploaded.len().to_string() {
        return with(409, offset(world), "");
    }
    world.uploaded.extend_from_slice(&asked.body);
    if world.patches == world.patch_lost { None } else { with(204, offset(world), "") }
}

fn issues(asked: &Asked, _: &str) -> Said {
    match asked.query("cursor") {
        "" => said(200, &json!({ "items": [{ "number": 1 }, { "number": 2 }], "next": "a+b/c=" })),
        "a+b/c=" => said(200, &json!({ "items": [{ "number": 2 }, { "number": 3 }], "next": null })),
        other => said(400, &json!({ "error": format!("no such cursor: {other}") })),
    }
}

/// The same list, of a service below another address.
fn linked(asked: &Asked, base: &str) -> Said {
    let page = |numbers: [u64; 2]| json!([{ "number": numbers[0] }, { "number": numbers[1] }]).to_string();
    match asked.query("page") {
        "" => {
            let next =
                format!("<{base}/linked/issues?page=2>; rel=\"next\", <{base}/linked/issues?page=2>; rel=\"last\"");
            with(200, vec![("link", next)], page([1, 2]))
        }
        _ => with(200, vec![("link", format!("<{base}/linked/issues>; rel=\"first\""))], page([2, 3])),
    }
}

fn jobs(asked: &Asked, world: &mut World) -> Said {
    if asked.path == "/jobs" && asked.method == Method::GET {
        let named = world.jobs.iter().filter(|it| it["name"] == asked.query("name"));
        return said(200, &json!({ "jobs": named.collect::<Vec<_>>() }));
    }
    if asked.path == "/jobs" {
        let mut job = asked.json();
        job["number"] = json!(world.jobs.len() + 1);
        world.jobs.push(job.clone());
        return said(201, &job);
    }
    const LOG: &str = "reading\n1000 rows\ndone\n";
    if asked.path.ends_with("/log") {
        let from: usize = asked.query("from").parse().expect("a number");
        return with(200, Vec::new(), &LOG.as_bytes()[from..]);
    }
    let index = asked.index();
    let ends = world.exit_codes.get(index).copied().flatten();
    let job = &mut world.jobs[index];
    if asked.method == Method::DELETE {
        job["canceled"] = json!(true);
        return said(202, &json!({}));
    }
    if job["looked"] == true {
        job["exit_code"] = json!(ends);
    }
    job["looked"] = json!(true);
    said(200, job)
}
