//! A state directory, and the command used on it.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use windlass_server::view::ReleaseView;

use super::{DEADLINE, Process, eventually, ready};

/// The command under test.
pub(crate) const WINDLASS: &str = env!("CARGO_BIN_EXE_windlass");

/// A folder with a state directory and workflow files.
pub(crate) struct Site {
    folder: tempfile::TempDir,
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }
}

impl Site {
    /// With all plugins installed and nothing else.
    pub(crate) fn new() -> Self {
        Self::of(ready())
    }

    /// With a copy of another state directory that nobody has open.
    pub(crate) fn of(state: &Path) -> Self {
        let site = Self { folder: tempfile::tempdir().expect("a folder") };
        copy(state, &site.state());
        site
    }

    /// With nothing.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    /// Where commands run.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// A file next to the state directory, where commands run.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file next to the state directory, where commands run.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let file = self.folder.path().join(name);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("the folder");
        std::fs::write(file, text).expect("the file");
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(WINDLASS);
        command
            .args(["--state", "state"])
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("WINDLASS_STATE")
            .env("NO_COLOR", "1");
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("windlass starts");
        let pid = rustix::process::Pid::from_child(&child);
        let (ended, has_ended) = std::sync::mpsc::channel::<()>();
        // One that waits for a person would wait for ever.
        let watchdog = std::thread::spawn(move || {
            if has_ended.recv_timeout(DEADLINE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        });
        let output = child.wait_with_output().expect("it ends");
        drop(ended);
        watchdog.join().expect("no panic");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs a command that has to end well.
    pub(crate) fn good(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(0), "windlass {arguments:?}: {ran:?}");
        ran
    }

    /// Runs a command that has to end well, for its JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        self.good(&[&["--json"], arguments].concat()).json()
    }

    /// Starts a command that keeps running, and waits until it answers others.
    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        self.answers(Process::start(&mut self.command(arguments)))
    }

    /// Waits until a process answers.
    pub(crate) fn answers(&self, mut process: Process) -> Process {
        let socket = self.state().join("socket");
        eventually("it answers on its socket", || {
            if let Some(status) = process.ended() {
                panic!("it ended at once: {status}");
            }
            UnixStream::connect(&socket).ok()
        });
        process
    }

    pub(crate) fn serve(&self) -> Process {
        self.start(&["serve"])
    }

    /// A release as it stands, if it was started.
    /// GET of whoever answers on the socket: the status and the JSON.
    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        let mut socket = UnixStream::connect(self.state().join("socket")).expect("somebody answers");
        socket.write_all(format!("GET {path} HTTP/1.0\r\nhost: windlass\r\n\r\n").as_bytes()).expect("written");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
        let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a status");
        (status, serde_json::from_str(body).expect("JSON"))
    }

    pub(crate) fn show(&self, release: &str) -> Option<ReleaseView> {
        let ran = self.run(&["--json", "release", "show", release]);
        let shown = (ran.code == Some(0)).then(|| ran.json())?;
        Some(serde_json::from_value(shown["release"].clone()).expect("a release"))
    }

    /// Waits until a release is as wanted.
    pub(crate) fn until(&self, release: &str, what: &str, is: impl Fn(&ReleaseView) -> bool) -> ReleaseView {
        let begun = Instant::now();
        eventually(what, || {
            let view = self.show(release)?;
            let is_so = is(&view);
            assert!(is_so || !view.ended, "{release} ended before this happened: {what}: {view:#?}");
            assert!(is_so || begun.elapsed() < DEADLINE, "this did not happen: {what}: {view:#?}");
            is_so.then_some(view)
        })
    }

    /// Waits until a release has ended.
    pub(crate) fn ended(&self, release: &str) -> ReleaseView {
        self.until(release, "it ends", |it| it.ended)
    }

    /// Asserts that the store is as it should be.
    pub(crate) fn check(&self) {
        let report = self.json(&["store", "check"]);
        assert_eq!(report["findings"], serde_json::json!([]), "{report}");
    }
}

/// Copies a folder with all it holds.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        let kind = entry.file_type().expect("its type");
        if kind.is_dir() {
            copy(&entry.path(), &to);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), to).expect("a copy");
        }
    }
}
