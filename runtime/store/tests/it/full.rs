//! A disk that fills up: appends fail with a reason, and go on once there is room.
//!
//! The disk is played by the limit on the size of a process's files, which makes a write fail the way a full disk does.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

#[test]
fn appends_fail_and_go_on_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let (state, acks) = (folder.path().join("state"), folder.path().join("acks"));
    fs::create_dir(&state).expect("created");
    File::create(&acks).expect("created");
    // A process that ignores the signal is told by the error instead; only a shell can say so without unsafe code.
    let mut child = Command::new("bash")
        .args(["-c", "trap '' XFSZ; exec \"$0\" write", env!("CARGO_BIN_EXE_store_subject")])
        .env("STATE", &state)
        .env("ACKS", &acks)
        .env("KIND", "full")
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let id = Pid::from_child(&child);
    let mut said = BufReader::new(child.stdout.take().expect("piped")).lines().map(|it| it.expect("a line"));
    for _ in 0..3 {
        // Only when it writes: opening a store on a full disk fails as a whole.
        while acks.metadata().expect("there").len() == 0 {
            assert!(child.try_wait().expect("asked").is_none(), "the child ended by itself");
            std::thread::yield_now();
        }
        let size = state.join("store/data/sled/db").metadata().expect("there").len();
        limit(id, Some(size + 100_000));
        let failed = said.by_ref().find(|it| it.starts_with("failed")).expect("it fails");
        assert!(failed.starts_with("failed for want of room: cannot "), "{failed}");
        limit(id, None);
        said.by_ref().find(|it| it == "recovered").expect("it recovers");
    }
    child.kill().expect("killed");
    child.wait().expect("ended");

    let output = Command::new(env!("CARGO_BIN_EXE_store_subject")).arg("check").arg(&state).output().expect("started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: std::collections::HashSet<String> =
        String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect();
    assert!(!found.iter().any(|it| it.starts_with("TORN")), "{found:?}");
    let acknowledged = fs::read_to_string(&acks).expect("read");
    let lost: Vec<&str> = acknowledged.lines().filter(|it| !found.contains(*it)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

fn limit(process: Pid, bytes: Option<u64>) {
    prlimit(Some(process), Resource::Fsize, Rlimit { current: bytes, maximum: None }).expect("limited");
}
