//! A disk that fills up: appends fail with a reason, and go on once there is room.
//!
//! The disk is played by the limit on the size of a process's files, which makes a write fail the way a full disk does,
//! and where root allows it by a small file system, which is one.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
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
    assert_nothing_lost(&acks, String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect());
}

/// Fills its own file system, writes again once there is room, and when it was killed checks what is left.
const ON_A_SMALL_DISK: &str = r#"
mount -t tmpfs -o size=24m tmpfs "$STATE" && echo mounted || exit 0
head -c 6m /dev/zero >"$STATE/first"
head -c 6m /dev/zero >"$STATE/second"
"$0" write & echo "process $!"
wait $!
exec "$0" check "$STATE"
"#;

#[test]
fn on_a_disk_that_is_full_nothing_is_lost_and_work_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let (state, acks) = (folder.path().join("state"), folder.path().join("acks"));
    fs::create_dir(&state).expect("created");
    File::create(&acks).expect("created");
    // A mount of its own: nobody else sees it, and it goes with the processes.
    let started = Command::new("unshare")
        .args(["--mount", "bash", "-c", ON_A_SMALL_DISK, env!("CARGO_BIN_EXE_store_subject")])
        .env("STATE", &state)
        .env("ACKS", &acks)
        .env("KIND", "full")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return skip(&format!("`unshare` does not start: {error}")),
    };
    let mut said = BufReader::new(child.stdout.take().expect("piped")).lines().map(|it| it.expect("a line"));
    if said.next().as_deref() != Some("mounted") {
        child.wait().expect("ended");
        return skip("this user may not mount a file system");
    }
    let first = said.next().expect("a line");
    let process: i32 = first.strip_prefix("process ").and_then(|it| it.parse().ok()).expect("a process");
    // The way to a file system that only those processes have mounted.
    let inside = |name: &str| format!("/proc/{process}/root{}/{name}", state.display());
    let failed = said.by_ref().find(|it| it.starts_with("failed")).expect("it fails");
    assert!(failed.starts_with("failed for want of room: cannot "), "{failed}");
    fs::remove_file(inside("first")).expect("removed");
    said.by_ref().find(|it| it == "recovered").expect("it recovers");
    // sled writes when it opens, so the check needs room, too.
    fs::remove_file(inside("second")).expect("removed");
    let process = Pid::from_raw(process).expect("a process");
    rustix::process::kill_process(process, rustix::process::Signal::KILL).expect("killed");
    let found = said.collect();
    assert!(child.wait().expect("ended").success());
    assert_nothing_lost(&acks, found);
}

/// Fills its own file system, and opens what is there with a little more room each time, before there is plenty.
const OPENED_WITH_LITTLE_ROOM: &str = r#"
mount -t tmpfs -o size=24m tmpfs "$STATE" && echo mounted || exit 0
coproc "$0" write
while read -r said <&"${COPROC[0]}"; do case $said in failed*) break; esac; done
kill -9 "$COPROC_PID"; wait
mount -o remount,size=100m "$STATE"
mv "$STATE/store" "$STATE/full"
for room in $(seq 0 8 96); do
  rm -rf "$STATE/store"; cp -a "$STATE/full" "$STATE/store"
  used=$(df -k --output=used "$STATE" | tail -1)
  mount -o remount,size=$((used + room))k "$STATE"
  "$0" check "$STATE" >/dev/null && echo opened || echo refused
  mount -o remount,size=100m "$STATE"
  "$0" check "$STATE" | sed "s/^/$room /"
done
"#;

#[test]
fn what_could_not_be_opened_for_want_of_room_is_whole_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let (state, acks) = (folder.path().join("state"), folder.path().join("acks"));
    fs::create_dir(&state).expect("created");
    File::create(&acks).expect("created");
    let ran = Command::new("unshare")
        .args(["--mount", "bash", "-c", OPENED_WITH_LITTLE_ROOM, env!("CARGO_BIN_EXE_store_subject")])
        .env("STATE", &state)
        .env("ACKS", &acks)
        .env("KIND", "full")
        .stdin(Stdio::null())
        .output();
    let ran = match ran {
        Ok(ran) => ran,
        Err(error) => return skip(&format!("`unshare` does not start: {error}")),
    };
    let said = String::from_utf8(ran.stdout).expect("text");
    let mut lines = said.lines();
    if lines.next() != Some("mounted") {
        return skip("this user may not mount a file system");
    }
    let (opened, found): (Vec<&str>, Vec<&str>) = lines.partition(|it| matches!(*it, "opened" | "refused"));
    assert!(opened.contains(&"refused"), "with no room at all it cannot be opened: {opened:?}");
    for room in (0..=96).step_by(8) {
        let prefix = format!("{room} ");
        let found = found.iter().filter_map(|it| it.strip_prefix(&prefix)).map(str::to_owned).collect();
        assert_nothing_lost(&acks, found);
    }
}

/// Says why a test could not be made; there is no other way to tell.
#[expect(clippy::print_stderr, reason = "this is what people read when they ask why")]
fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

/// Compares what was acknowledged with what a check found whole.
fn assert_nothing_lost(acks: &Path, found: HashSet<String>) {
    assert!(!found.iter().any(|it| it.starts_with("TORN")), "{found:?}");
    let acknowledged = fs::read_to_string(acks).expect("read");
    let lost: Vec<&str> = acknowledged.lines().filter(|it| !found.contains(*it)).collect();
    assert!(lost.is_empty(), "{} are lost, the first of them {:?}", lost.len(), &lost[..lost.len().min(5)]);
}

fn limit(process: Pid, bytes: Option<u64>) {
    prlimit(Some(process), Resource::Fsize, Rlimit { current: bytes, maximum: None }).expect("limited");
}
