//! `kill -9` at any moment: what was acknowledged is there.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Kills a child that writes so often, each time after some more acknowledgements, and checks after each.
fn check(kind: &str, rounds: u64, acknowledgements_max: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let (state, acks) = (folder.path().join("state"), folder.path().join("acks"));
    fs::create_dir(&state).expect("created");
    File::create(&acks).expect("created");
    let mut random = StdRng::seed_from_u64(7);
    let mut acknowledged = 0;
    for round in 0..rounds {
        let wanted = acknowledged + random.random_range(1..=acknowledgements_max);
        let mut child = start(kind, &state, &acks);
        wait_for(&acks, wanted, &mut child);
        child.kill().expect("killed");
        child.wait().expect("ended");
        let required = lines(&acks);
        acknowledged = required.len();
        let found = found(&state);
        let torn: Vec<&String> = found.iter().filter(|it| it.starts_with("TORN")).collect();
        assert!(torn.is_empty(), "round {round}: {torn:?}");
        let found: std::collections::HashSet<&String> = found.iter().collect();
        let lost: Vec<&String> = required.iter().filter(|it| !found.contains(it)).collect();
        assert!(lost.is_empty(), "round {round}: {} of {acknowledged} lost: {lost:?}", lost.len());
    }
}

#[test]
fn small_records_survive() {
    check("small", 8, 600);
}

#[test]
fn large_groups_survive() {
    check("large", 4, 3000);
}

#[test]
fn large_payloads_survive() {
    check("payload", 4, 300);
}

#[test]
fn creations_survive() {
    check("creation", 6, 20);
}

#[test]
fn archived_releases_survive() {
    check("archive", 6, 600);
}

#[test]
fn backups_survive() {
    check("backup", 6, 600);
}

fn subject() -> Command {
    Command::new(env!("CARGO_BIN_EXE_store_subject"))
}

fn start(kind: &str, state: &Path, acks: &Path) -> Child {
    let mut command = subject();
    command.arg("write").env("STATE", state).env("ACKS", acks).env("KIND", kind).stdout(Stdio::null());
    command.spawn().expect("started")
}

/// Waits until so many lines are acknowledged.
fn wait_for(acks: &Path, lines: usize, child: &mut Child) {
    let mut reader = BufReader::new(File::open(acks).expect("opened"));
    let since = Instant::now();
    let (mut count, mut line) = (0, String::new());
    while count < lines {
        line.clear();
        let at = reader.stream_position().expect("a position");
        reader.read_line(&mut line).expect("read");
        if line.ends_with('\n') {
            count += 1;
            continue;
        }
        reader.seek(SeekFrom::Start(at)).expect("back");
        assert!(child.try_wait().expect("asked").is_none(), "the child ended by itself");
        assert!(since.elapsed() < Duration::from_secs(120), "{count} of {lines} acknowledged");
        std::thread::yield_now();
    }
}

/// The whole lines of a file.
fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("read");
    let end = text.rfind('\n').map_or(0, |it| it + 1);
    text[..end].lines().map(str::to_owned).collect()
}

fn found(state: &Path) -> Vec<String> {
    let output = subject().arg("check").arg(state).output().expect("started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}
