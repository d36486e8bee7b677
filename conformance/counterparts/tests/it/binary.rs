//! `windlass-simulator` as a process: ready file, deaths around it, and stopping.

use crate::client::Client;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_windlass-simulator");

/// Waits for something to come true.
fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn ready(path: &Path) -> Value {
    wait("the ready file", || {
        let text = std::fs::read_to_string(path).ok()?;
        Some(serde_json::from_str(&text).expect("a ready file is whole when it is there"))
    })
}

fn signal(pid: u64, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status();
    assert!(status.expect("kill").success());
}

fn exit_code(child: &mut Child) -> Option<i32> {
    wait("the end", || child.try_wait().expect("a child")).code()
}

#[tokio::test]
async fn it_tells_where_it_is_and_stops_when_asked() {
    for kind in ["jenkins", "servicenow", "echo"] {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ready.json");
        let mut child = Command::new(PROGRAM)
            .arg(kind)
            .arg("--ready-file")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the simulator");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let told: Value = serde_json::from_str(&line).expect("one line of JSON");
        assert_eq!(told, ready(&file));
        assert_eq!(told["kind"], kind);
        assert_eq!(told["pid"], child.id());
        let client = Client::new(told["url"].as_str().expect("a URL"));
        assert_eq!(client.get("/_sim").await.json()["kind"], kind);
        assert_eq!(client.post("/_sim/shutdown").await.status, 200);
        assert_eq!(exit_code(&mut child), Some(0), "{kind}");
    }
}

/// A simulator started by a shell that is gone, with nobody reading its stdout, gets a SIGHUP and goes on.
#[tokio::test]
async fn it_outlives_its_parent_and_ends_on_sigterm() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ready.json");
    let script = "\"$0\" jenkins --ready-file \"$1\" & exit 0";
    let mut shell = Command::new("sh")
        .args(["-c", script, PROGRAM])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    drop(shell.stdout.take());
    assert!(shell.wait().expect("a shell").success());
    let told = ready(&file);
    let pid = told["pid"].as_u64().expect("a pid");
    signal(pid, "HUP");
    let client = Client::new(told["url"].as_str().expect("a URL"));
    for _ in 0..3 {
        assert_eq!(client.get("/api/json").await.status, 200);
    }
    signal(pid, "TERM");
    let address = told["url"].as_str().expect("a URL").trim_start_matches("http://").to_owned();
    wait("nobody to listen", || std::net::TcpStream::connect(&address).is_err().then_some(()));
}
