//! A process that is asked to end ends what it does, and another one takes its place.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use crate::support::{Process, Site, eventually, noop};

/// The other side: each request is answered when the test says so.
struct Desk {
    listener: TcpListener,
    url: String,
}

impl Desk {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        Self { listener, url }
    }

    /// Waits for the next request; gives its path, and how to answer it.
    fn next(&self) -> (String, TcpStream) {
        eventually("it is asked for something", || self.asked())
    }

    /// The next request, if there is one.
    fn asked(&self) -> Option<(String, TcpStream)> {
        let (mut stream, _) = self.listener.accept().ok()?;
        stream.set_nonblocking(false).expect("a socket");
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("a request");
            request.push(byte[0]);
        }
        let path = String::from_utf8_lossy(&request).split(' ').nth(1).expect("a path").to_owned();
        Some((path, stream))
    }

    /// Whether nobody asks for anything.
    fn is_idle(&self) -> bool {
        self.listener.accept().is_err()
    }
}

fn fine(mut stream: TcpStream) {
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}").expect("it listens");
}

/// Two requests that nobody may repeat blindly.
const ORDERS: &str = r"windlass: v1
workflow: orders
steps:
  first: { uses: http/request@^0.1, connection: desk, with: { method: POST, path: /first } }
  second: { needs: [first], uses: http/request@^0.1, connection: desk, with: { method: POST, path: /second } }
";

fn orders() -> (Site, Desk) {
    let (site, desk) = (Site::new(), Desk::open());
    site.write("orders.yaml", ORDERS);
    site.good(&["connection", "add", "desk", "--url", &desk.url, "--private-network"]);
    (site, desk)
}

#[test]
fn what_is_being_done_ends_before_the_process_does_and_nothing_begins() {
    let (site, desk) = orders();
    let mut serve = site.serve();
    site.good(&["run", "orders.yaml", "--detach"]);
    let (path, first) = desk.next();
    assert_eq!(path, "/first");
    serve.ask_to_stop();
    // It still answers, and takes what comes; nothing of that is begun.
    site.good(&["run", "orders.yaml", "--detach"]);
    assert!(serve.ended().is_none());
    fine(first);
    let status = eventually("it ends", || serve.ended());
    assert!(status.success(), "{status}");
    assert!(desk.is_idle(), "nothing was begun");

    // The next one does what is left, and asks nobody.
    let _serve = site.serve();
    let mut paths: Vec<String> = Vec::new();
    for _ in 0..3 {
        let (path, stream) = desk.next();
        paths.push(path);
        fine(stream);
    }
    paths.sort();
    assert_eq!(paths, ["/first", "/second", "/second"]);
    assert!(site.ended("orders-1").succeeded);
    assert!(site.ended("orders-2").succeeded);
    assert!(desk.is_idle());
}

#[test]
fn a_run_that_cannot_be_started_cuts_nothing_off_that_it_took_over() {
    let (site, desk) = orders();
    let mut serve = site.serve();
    site.good(&["run", "orders.yaml", "--detach"]);
    let (_, first) = desk.next();
    serve.ask_to_stop();
    fine(first);
    eventually("it ends", || serve.ended());
    // The second step is left. This process takes it over, and has nothing else to do.
    // Nothing is wrong with its file: only who starts it is refused.
    let rules = "rollback: { rehearsed_within: 30d }\nsteps:";
    site.write("wrong.yaml", &ORDERS.replace("orders", "wrong").replace("steps:", rules));
    let mut run = Process::start(&mut site.command(&["run", "wrong.yaml"]));
    let ran = |run: &mut Process| eventually("it ends", || run.ended()).code();
    let asked = eventually("it has ended, or asks for something first", || {
        desk.asked().map(Some).or_else(|| run.ended().map(|_| None))
    });
    // Nobody says how far it came.
    if let Some((path, second)) = asked {
        assert_eq!(path, "/second");
        fine(second);
    }
    assert_eq!(ran(&mut run), Some(2));
    let _serve = site.serve();
    if let Some((_, second)) = eventually("it goes on, or is over", || {
        let is_over = site.show("orders-1").is_some_and(|it| it.ended);
        desk.asked().map(Some).or_else(|| is_over.then_some(None))
    }) {
        fine(second);
    }
    assert!(site.ended("orders-1").succeeded);
}

#[test]
fn who_asks_twice_does_not_wait() {
    let (site, desk) = orders();
    let mut serve = site.serve();
    site.good(&["run", "orders.yaml", "--detach"]);
    let (_, _never_answered) = desk.next();
    serve.ask_to_stop();
    let ended = || {
        // The first time it may not have looked yet; asking more often does no harm.
        serve.ask_to_stop();
        serve.ended()
    };
    let status = eventually("it ends", ended);
    assert!(status.success(), "{status}");
    let _serve = site.serve();
    site.until("orders-1", "a person is asked", |it| it.waits.iter().any(|it| it.text.contains("unknown")));
}

/// A release of it runs until ana approves.
fn gated(name: &str) -> String {
    format!("windlass: v1\nworkflow: {name}\nsteps:\n  work:\n    uses: noop/noop\n{GATE}")
}

const GATE: &str = "    gates: [{ approval: { from: user:ana } }]\n";

fn gates(names: &[&str]) -> Site {
    let site = Site::empty();
    site.good(&["plugin", "install", noop().to_str().expect("text")]);
    for name in names {
        site.write(&format!("{name}.yaml"), &gated(name));
    }
    site
}

#[test]
fn who_watches_a_release_goes_on_with_it_when_the_process_that_drives_it_ends() {
    let site = gates(&["one", "two", "three"]);
    let start = |name: &str| {
        let process = Process::start(&mut site.command(&["run", &format!("{name}.yaml")]));
        site.until(&format!("{name}-1"), "it waits", |it| it.waits.iter().any(|it| it.cause == "approval"));
        process
    };
    let mut one = start("one");
    let (mut two, mut three) = (start("two"), start("three"));
    // The first one drives all three.
    site.good(&["release", "approve", "one-1", "--as", "ana"]);
    let status = eventually("its release is over", || one.ended());
    assert!(status.success(), "{status}");
    // Whoever of the others has taken its place drives both.
    site.until("two-1", "somebody answers", |it| !it.ended);
    site.good(&["release", "approve", "three-1", "--as", "ana"]);
    let status = eventually("its release is over", || three.ended());
    assert!(status.success(), "{status}");
    assert!(two.ended().is_none());
    site.good(&["release", "approve", "two-1", "--as", "ana"]);
    let status = eventually("its release is over", || two.ended());
    assert!(status.success(), "{status}");
}

#[test]
fn who_stops_a_run_is_told_that_the_release_goes_on() {
    let site = gates(&["one"]);
    let mut run = site.command(&["run", "one.yaml"]);
    let child = run.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().expect("it starts");
    site.until("one-1", "it waits", |it| it.waits.iter().any(|it| it.cause == "approval"));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("SIGINT");
    let output = child.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("one-1 goes on when something runs here again"), "{told}");
    let _serve = site.serve();
    site.good(&["release", "approve", "one-1", "--as", "ana"]);
    assert!(site.ended("one-1").succeeded);
}

#[test]
fn what_is_refused_moves_no_other_release() {
    let site = gates(&["one"]);
    let mut serve = site.serve();
    site.good(&["run", "one.yaml", "--detach"]);
    site.until("one-1", "it waits", |it| it.waits.iter().any(|it| it.cause == "approval"));
    serve.ask_to_stop();
    eventually("it ends", || serve.ended());
    // Whoever runs next goes on with it.
    site.good(&["release", "approve", "one-1", "--as", "ana"]);
    let before = site.show("one-1").expect("it is there").records;
    site.write("wrong.yaml", &gated("wrong").replace("noop/noop", "noop/nop"));
    let asks = gated("asks").replace("steps:", "parameters: { version: { type: string } }\nsteps:");
    site.write("asks.yaml", &asks);
    let refused = |arguments: &[&str], code: i32, says: &str| {
        let ran = site.run(arguments);
        assert!(ran.code == Some(code) && ran.stderr.contains(says), "{arguments:?}: {ran:?}");
        let now = site.show("one-1").expect("it is there");
        assert_eq!((now.records, now.ended), (before, false), "{arguments:?}: it went on");
    };
    refused(&["run", "wrong.yaml"], 1, "`nop`");
    refused(&["run", "asks.yaml"], 2, "`version`");
    refused(&["run", "asks.yaml", "--param", "versoin=1"], 2, "`versoin`");
    refused(&["run", "wrong.yaml", "--dry-run"], 1, "`nop`");
    let ran = site.good(&["run", "asks.yaml", "--param", "version=1", "--dry-run"]);
    assert!(ran.stderr.contains("1 other release that nobody went on with: here, too"), "{ran:?}");
    assert!(site.ended("one-1").succeeded);
    // What it gives is told, on a terminal or not; nobody else is there any more.
    let gives = format!("{asks}outputs:\n  version: ${{{{ parameters.version }}}}\n");
    site.write("gives.yaml", &gives.replace("workflow: asks", "workflow: gives").replace(GATE, ""));
    let ran = site.good(&["run", "gives.yaml", "--param", "version=1"]);
    assert!(ran.stdout.contains("version: 1") && !ran.stderr.contains("nobody went on with"), "{ran:?}");
}
