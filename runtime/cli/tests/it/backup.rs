//! A backup of an installation at work, made into another one that goes on with it.

use crate::support::Site;
use crate::support::release::{Deployment, RELEASE, payments};

#[test]
fn an_open_release_goes_on_from_a_backup() {
    let (site, counterparts) = payments(Deployment::Succeeds, 0, 0);
    let mut serve = site.serve();
    site.good(&["run", "payments.yaml", "--param", "version=1.2.3", "--detach"]);
    site.until(RELEASE, "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    // While the process is at work.
    let report = site.json(&["backup", "kept"]);
    assert_eq!((&report["releases"], &report["left_out"]), (&1.into(), &serde_json::json!([])), "{report}");
    let again = site.run(&["backup", "kept"]);
    assert!(again.code == Some(2) && again.stderr.contains("is there already"), "{again:?}");
    // Restored aside, by who made it and by who only has it; nothing of that is left.
    let temporary = site.state().with_file_name("temporary");
    std::fs::create_dir(&temporary).expect("a folder");
    let proves = |arguments: &[&str]| {
        let ran = site.command(arguments).env("TMPDIR", &temporary).output().expect("it starts");
        assert_eq!(std::fs::read_dir(&temporary).expect("readable").count(), 0, "{ran:?}");
        ran
    };
    let proven = proves(&["--json", "backup", "verify", "kept"]);
    let proven: serde_json::Value = serde_json::from_slice(&proven.stdout).expect("JSON");
    assert_eq!((&proven["replayed"], &proven["digest"]), (&1.into(), &report["digest"]), "{proven}");
    let proven = proves(&["backup", "kept-and-proven", "--verify-after"]);
    let text = String::from_utf8_lossy(&proven.stdout);
    assert!(proven.status.success() && text.contains("1 releases replayed, the same digest"), "{proven:?}");
    let folder = site.state().with_file_name("kept");
    let secret = std::fs::read(counterparts.secret()).expect("the secret");
    let secret = String::from_utf8(secret).expect("text");
    for entry in std::fs::read_dir(folder.join("store")).expect("the backup").flatten() {
        if entry.path().is_file() {
            let bytes = std::fs::read(entry.path()).expect("readable");
            let found = bytes.windows(secret.trim().len()).any(|it| it == secret.trim().as_bytes());
            assert!(!found, "{} holds a secret", entry.path().display());
        }
    }
    // The installation is lost; the release had gone no further.
    serve.kill_9();
    std::fs::remove_dir_all(site.state()).expect("it was there");

    let sound = site.run(&["restore", "kept", "--verify"]);
    assert!(sound.code == Some(0) && sound.stdout.contains("is sound"), "{sound:?}");
    assert!(!site.state().exists(), "only looked at");
    let restored = site.good(&["restore", "kept"]).stderr;
    assert!(restored.contains("1 open release waits") && restored.contains("they may do it again"), "{restored}");
    let twice = site.run(&["restore", "kept"]);
    assert!(twice.code == Some(2) && twice.stderr.contains("holds an installation already"), "{twice:?}");
    site.check();
    let _serve = site.serve();
    site.good(&["release", "approve", RELEASE, "--as", "ana"]);
    assert!(site.ended(RELEASE).succeeded);
}

#[test]
fn a_damaged_backup_is_refused_and_leaves_nothing() {
    let site = Site::new();
    site.good(&["backup", "kept"]);
    let folder = site.state().with_file_name("kept");
    let store = folder.join("store");
    let file = std::fs::read_dir(&store).expect("the backup").flatten().map(|it| it.path()).filter(|it| it.is_file());
    let largest = file.max_by_key(|it| it.metadata().map_or(0, |it| it.len())).expect("a file");
    let mut bytes = std::fs::read(&largest).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&largest, bytes).expect("writable");
    for arguments in [&["restore", "kept", "--verify"][..], &["restore", "kept"], &["backup", "verify", "kept"]] {
        let empty = Site::empty();
        let mut command = empty.command(&[]);
        let ran =
            command.args(arguments).current_dir(folder.parent().expect("a folder")).arg("--state").arg(empty.state());
        let ran = ran.output().expect("it starts");
        assert_eq!(ran.status.code(), Some(2), "{ran:?}");
        assert!(!empty.state().join("store").exists());
    }
}

#[test]
fn a_repair_of_a_sound_store_changes_nothing() {
    let (site, _counterparts) = payments(Deployment::Succeeds, 0, 0);
    let serve = site.serve();
    site.good(&["run", "payments.yaml", "--param", "version=1.2.3", "--detach"]);
    site.until(RELEASE, "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    let repaired = site.good(&["store", "check", "--repair"]);
    assert!(
        repaired.stderr.contains("repaired: 0 outlines, 0 numbers, 0 places in lists; put into quarantine: none"),
        "{repaired:?}"
    );
    drop(serve);
}
