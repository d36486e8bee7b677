//! The services of the cookbook, invented for it: exports that take a while, builds, a store, uploads in pieces, lists in
//! pages, a ledger, a desk without idempotency keys, a batch system. What takes time goes on each time it is looked at.

use std::collections::BTreeMap;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::http::{Reply, Request};

/// What the store holds below any name.
const FILE_BYTES: usize = 2_500;
const ETAG: &str = "\"1\"";
const LOG: &str = "reading\n1000 rows\ndone\n";

/// What the services know.
#[derive(Default)]
pub(crate) struct Recipes {
    /// How often each export was looked at.
    exports: BTreeMap<String, u32>,
    /// Idempotency key of each build, and whether it was looked at.
    builds: Vec<(String, bool)>,
    /// Idempotency key and bytes of each upload.
    uploads: Vec<(String, Vec<u8>)>,
    tickets: Vec<Value>,
    jobs: Vec<Job>,
    /// What the batch jobs made of the table that they work on.
    is_loaded: bool,
}

/// A batch job: `LOAD` and `UNLOAD` do that when they end, `FAIL-8` ends with that exit code.
struct Job {
    program: String,
    name: String,
    looks: u32,
    is_canceled: bool,
}

impl Job {
    /// It ends when it is looked at for the second time.
    fn exit_code(&self) -> Option<i32> {
        let code = self.program.strip_prefix("FAIL-").and_then(|it| it.parse().ok()).unwrap_or(0);
        (!self.is_canceled && self.looks > 1).then_some(code)
    }

    fn shown(&self, index: usize) -> Value {
        let exit_code = self.exit_code();
        json!({
            "number": index + 1, "program": self.program, "name": self.name, "exit_code": exit_code,
            "canceled": self.is_canceled, "running": exit_code.is_none() && !self.is_canceled,
        })
    }
}

fn not_found() -> Reply {
    Reply::json(StatusCode::NOT_FOUND, &json!({ "error": "there is no such thing" }))
}

fn created(value: &Value) -> Reply {
    Reply::json(StatusCode::CREATED, value)
}

fn ok(value: &Value) -> Reply {
    Reply::json(StatusCode::OK, value)
}

fn bad(error: impl ToString) -> Reply {
    Reply::json(StatusCode::BAD_REQUEST, &json!({ "error": error.to_string() }))
}

fn header<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    request.headers.get(name).and_then(|it| it.to_str().ok())
}

/// The thing that was made under this key, by its index, making it if there is none; without a key always a new one.
fn once<T>(made: &mut Vec<(String, T)>, request: &Request, thing: T) -> usize {
    let key = header(request, "idempotency-key").unwrap_or_default().to_owned();
    let known = made.iter().position(|(it, _)| !key.is_empty() && *it == key);
    known.unwrap_or_else(|| {
        made.push((key, thing));
        made.len() - 1
    })
}

fn index(number: &str, prefix: &str) -> Option<usize> {
    number.strip_prefix(prefix)?.parse::<usize>().ok()?.checked_sub(1)
}

impl Recipes {
    pub(crate) fn answer(&mut self, request: &Request) -> Reply {
        let is = |method: Method| request.method == method;
        match request.parts().as_slice() {
            ["exports", export] if is(Method::GET) => self.export(export),
            ["builds"] if is(Method::POST) => {
                let at = once(&mut self.builds, request, false);
                created(&json!({ "number": at + 1 }))
            }
            ["builds"] => ok(&json!({ "builds": (1..=self.builds.len()).collect::<Vec<_>>() })),
            ["builds", number] => self.build(number),
            ["files", _] => file(request),
            ["uploads"] if is(Method::POST) => {
                let at = once(&mut self.uploads, request, Vec::new());
                created(&json!({ "id": format!("u-{}", at + 1) }))
            }
            ["uploads"] => {
                let all: Vec<Value> = self.uploads.iter().map(|(_, it)| json!({ "bytes": it.len() })).collect();
                ok(&json!({ "uploads": all }))
            }
            ["uploads", id] => self.upload(request, id),
            ["issues"] => by_cursor(request),
            ["forge", "issues"] => by_link(request),
            ["accounts", _] if header(request, "authorization").is_some_and(|it| it.starts_with("Bearer ")) => {
                ok(&json!({ "balance": 250 }))
            }
            ["accounts", _] => Reply::json(StatusCode::UNAUTHORIZED, &json!({ "error": "who are you?" })),
            ["tickets"] if is(Method::POST) => self.open_ticket(request),
            ["tickets"] => {
                let text = request.query_value("text").unwrap_or_default();
                let found: Vec<&Value> =
                    self.tickets.iter().filter(|it| it["text"].to_string().contains(text)).collect();
                ok(&json!({ "tickets": found }))
            }
            ["jobs"] if is(Method::POST) => self.submit(request),
            ["jobs"] => {
                let name = request.query_value("name");
                let named = self.jobs.iter().enumerate().filter(|(_, it)| name.is_none_or(|name| it.name == name));
                ok(&json!({ "jobs": named.map(|(at, it)| it.shown(at)).collect::<Vec<_>>() }))
            }
            ["jobs", number, "log"] if index(number, "").is_some_and(|it| it < self.jobs.len()) => {
                let from = request.query_value("from").and_then(|it| it.parse::<usize>().ok()).unwrap_or(0);
                Reply::text(StatusCode::OK, LOG.get(from..).unwrap_or_default())
            }
            ["jobs", number] => self.job(request, number),
            ["table"] => ok(&json!({ "loaded": self.is_loaded })),
            _ => not_found(),
        }
    }

    fn export(&mut self, export: &str) -> Reply {
        let looks = self.exports.entry(export.to_owned()).or_default();
        *looks += 1;
        match looks {
            1 | 2 => ok(&json!({ "state": "running" })).with("retry-after", "1"),
            _ => ok(&json!({ "state": "done", "rows": 42 })),
        }
    }

    fn build(&mut self, number: &str) -> Reply {
        let Some((_, was_looked_at)) = index(number, "").and_then(|it| self.builds.get_mut(it)) else {
            return not_found();
        };
        if std::mem::replace(was_looked_at, true) {
            ok(&json!({ "state": "passed", "digest": "sha256:12" }))
        } else {
            ok(&json!({ "state": "running" }))
        }
    }

    fn upload(&mut self, request: &Request, id: &str) -> Reply {
        let Some((_, bytes)) = index(id, "u-").and_then(|it| self.uploads.get_mut(it)) else { return not_found() };
        let offset = bytes.len();
        let at = |status, offset: usize| Reply::new(status).with("upload-offset", offset.to_string());
        if request.method == Method::HEAD {
            return at(StatusCode::OK, offset);
        }
        if header(request, "upload-offset") != Some(offset.to_string().as_str()) {
            return at(StatusCode::CONFLICT, offset);
        }
        bytes.extend_from_slice(&request.body);
        at(StatusCode::NO_CONTENT, bytes.len())
    }

    fn open_ticket(&mut self, request: &Request) -> Reply {
        let mut ticket: Value = match request.json() {
            Ok(ticket) => ticket,
            Err(error) => return bad(error),
        };
        ticket["number"] = json!(self.tickets.len() + 1);
        self.tickets.push(ticket.clone());
        created(&ticket)
    }

    fn submit(&mut self, request: &Request) -> Reply {
        let asked: Value = match request.json() {
            Ok(asked) => asked,
            Err(error) => return bad(error),
        };
        let text = |name: &str| asked[name].as_str().unwrap_or_default().to_owned();
        self.jobs.push(Job { program: text("program"), name: text("name"), looks: 0, is_canceled: false });
        let at = self.jobs.len() - 1;
        created(&self.jobs[at].shown(at))
    }

    fn job(&mut self, request: &Request, number: &str) -> Reply {
        let Some((at, job)) = index(number, "").and_then(|at| Some((at, self.jobs.get_mut(at)?))) else {
            return not_found();
        };
        if request.method == Method::DELETE {
            if job.exit_code().is_some() {
                return Reply::json(StatusCode::CONFLICT, &json!({ "error": "it has ended" }));
            }
            job.is_canceled = true;
            return Reply::json(StatusCode::ACCEPTED, &job.shown(at));
        }
        job.looks += 1;
        if job.exit_code() == Some(0) {
            match job.program.as_str() {
                "LOAD" => self.is_loaded = true,
                "UNLOAD" => self.is_loaded = false,
                _ => {}
            }
        }
        ok(&job.shown(at))
    }
}

fn file(request: &Request) -> Reply {
    let content: Vec<u8> = (b'a'..=b'z').cycle().take(FILE_BYTES).collect();
    if request.method == Method::HEAD {
        return Reply::new(StatusCode::OK).with("etag", ETAG).with("content-length", FILE_BYTES.to_string());
    }
    if header(request, "if-match").is_some_and(|it| it != ETAG) {
        return Reply::new(StatusCode::PRECONDITION_FAILED);
    }
    let range = header(request, "range").and_then(|it| it.strip_prefix("bytes=")?.split_once('-'));
    let range = range.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    match range.and_then(|(first, last): (usize, usize)| content.get(first..=last)) {
        Some(piece) => Reply::new(StatusCode::PARTIAL_CONTENT).with("etag", ETAG).body(piece.to_vec()),
        None => Reply::new(StatusCode::OK).with("etag", ETAG).body(content),
    }
}

fn by_cursor(request: &Request) -> Reply {
    match request.query_value("cursor") {
        None => ok(&json!({ "items": [{ "number": 1 }, { "number": 2 }], "next": "a+b/c=" })),
        Some("a+b/c=") => ok(&json!({ "items": [{ "number": 2 }, { "number": 3 }], "next": null })),
        Some(_) => bad("there is no such cursor"),
    }
}

fn by_link(request: &Request) -> Reply {
    let page = |numbers: [u64; 2]| json!([{ "number": numbers[0] }, { "number": numbers[1] }]);
    match request.query_value("page") {
        None => {
            ok(&page([1, 2])).with("link", "</forge/issues?page=2>; rel=\"next\", </forge/issues?page=2>; rel=\"last\"")
        }
        Some(_) => ok(&page([2, 3])).with("link", "</forge/issues>; rel=\"first\""),
    }
}
