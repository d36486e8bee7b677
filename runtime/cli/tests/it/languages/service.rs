//! The job service that the examples work with.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    line: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    /// A job's key and what it is.
    jobs: Vec<(String, Value)>,
    next: Option<Next>,
    /// What every job becomes at once.
    end: Option<Value>,
    calls_back: bool,
}

enum Next {
    Answer(u16),
    Break,
    Page,
}

/// Listens until the test ends.
pub(crate) struct Jobs {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

impl Jobs {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let _ = serve(stream, &shared);
            }
        });
        Self { url, state }
    }

    /// The requests of a method to a path, without their queries.
    pub(crate) fn seen(&self, line: &str) -> Vec<Seen> {
        let state = self.state.lock().expect("not poisoned");
        state.seen.iter().filter(|it| it.line == line).cloned().collect()
    }

    /// From now on.
    pub(crate) fn will_be(&self, id: &str, fields: Value) {
        let mut state = self.state.lock().expect("not poisoned");
        let Value::Object(fields) = fields else { panic!("fields of a job") };
        let job = state.jobs.iter_mut().find(|(_, job)| job["id"] == id).expect("a job");
        job.1.as_object_mut().expect("a job").extend(fields);
    }

    /// From now on, every job that is submitted has ended like this when it is looked at.
    pub(crate) fn will_end(&self, fields: Value) {
        self.state.lock().expect("not poisoned").end = Some(fields);
    }

    /// From now on, whoever submits a job and says where is called back.
    pub(crate) fn will_call_back(&self) {
        self.state.lock().expect("not poisoned").calls_back = true;
    }

    /// Answers the next request with this status.
    pub(crate) fn will_answer(&self, status: u16) {
        self.state.lock().expect("not poisoned").next = Some(Next::Answer(status));
    }

    /// Answers the next request with a page for people, as a login or a proxy does.
    pub(crate) fn will_answer_a_page(&self) {
        self.state.lock().expect("not poisoned").next = Some(Next::Page);
    }

    /// Breaks the connection of the next request in the middle of its answer.
    pub(crate) fn will_break(&self) {
        self.state.lock().expect("not poisoned").next = Some(Next::Break);
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let seen = read(&stream)?;
    let mut state = state.lock().expect("not poisoned");
    state.seen.push(seen.clone());
    let next = state.next.take();
    let kind = if let Some(Next::Page) = next { "text/html" } else { "application/json" };
    let (status, body, promised) = match next {
        Some(Next::Page) => (200, "<html>\r\n  <body>Please log in to the corporate network first".to_owned(), 0),
        Some(Next::Answer(status)) => (status, json!({ "error": { "message": "try later" } }).to_string(), 0),
        Some(Next::Break) => (200, "{".to_owned(), 100),
        // As servers do that are strict about a DELETE: to some it is a request with a body.
        None if seen.body.is_empty() && seen.header("transfer-encoding").is_some() => {
            (400, json!({ "error": { "message": "no body, and in chunks" } }).to_string(), 0)
        }
        None => {
            let (status, body) = answer(&seen, &mut state);
            (status, if status == 204 { String::new() } else { body.to_string() }, 0)
        }
    };
    let length = body.len() + promised;
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {status} Said\r\ncontent-type: {kind}\r\nretry-after: 7\r\nconnection: close\r\n")?;
    if status != 204 {
        write!(stream, "content-length: {length}\r\n")?;
    }
    write!(stream, "\r\n{body}")
}

/// Tells whoever listens there, and waits for the answer.
fn call_back(address: &str) {
    let (host, path) = address.strip_prefix("http://").and_then(|it| it.split_once('/')).expect("an address");
    let mut stream = TcpStream::connect(host).expect("somebody listens");
    let head = format!("POST /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
    stream.write_all(head.as_bytes()).expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
}

fn read(stream: &TcpStream) -> std::io::Result<Seen> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let first = head.first().cloned().unwrap_or_default();
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Vec<(String, String)> = head
        .iter()
        .skip(1)
        .filter_map(|it| it.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut seen = Seen { line: format!("{method} {path}"), query: query.to_owned(), headers, body: Vec::new() };
    let length = seen.header("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
    if seen.header("transfer-encoding").is_some() {
        seen.body = chunked(&mut reader)?;
    } else {
        seen.body = vec![0; length];
        reader.read_exact(&mut seen.body)?;
    }
    Ok(seen)
}

fn chunked(reader: &mut impl std::io::BufRead) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut size = String::new();
        reader.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk)?;
        if size == 0 {
            return Ok(body);
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

fn answer(seen: &Seen, state: &mut State) -> (u16, Value) {
    match seen.line.as_str() {
        "POST /v1/jobs" => {
            let title = seen.json()["title"].clone();
            if title == "bad" {
                return (422, json!({ "error": "no such index" }));
            }
            let key = seen.header("idempotency-key").unwrap_or_default().to_owned();
            let job = json!({ "id": format!("j-{}", state.jobs.len() + 1), "state": "queued" });
            let mut kept = job.clone();
            if let (Some(Value::Object(end)), Some(kept)) = (&state.end, kept.as_object_mut()) {
                kept.extend(end.clone());
            }
            state.jobs.push((key, kept));
            if let Some(address) = seen.json()["notify"].as_str().filter(|_| state.calls_back) {
                call_back(address);
            }
            (201, job)
        }
        "GET /v1/jobs" => {
            let jobs = state.jobs.iter().filter(|(key, _)| seen.query == format!("key={key}"));
            (200, json!({ "jobs": jobs.map(|(_, job)| job.clone()).collect::<Vec<_>>() }))
        }
        other => {
            let (method, path) = other.split_once(' ').unwrap_or_default();
            let id = path.strip_prefix("/v1/jobs/").unwrap_or_default();
            let Some(at) = state.jobs.iter().position(|(_, job)| job["id"] == id) else {
                return (404, json!({ "error": "no such job" }));
            };
            if method == "DELETE" {
                state.jobs.remove(at);
                return (204, Value::Null);
            }
            (200, state.jobs[at].1.clone())
        }
    }
}
