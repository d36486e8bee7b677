//! All our own plugins and examples against the certification suite, and the matrix in the documentation.

use std::path::{Path, PathBuf};
use std::process::Command;

use windlass_certify::{Certification, markdown};

use crate::cookbook::cookbook;
use crate::languages::{examples, root};
use crate::support::{Process, Site, WINDLASS, component, eventually, noop, simulator, skipped, standin_helm};

/// Plugins at a time.
const AT_A_TIME: usize = 3;

const MATRIX: &str = "conformance/certify/MATRIX.md";

const ABOUT: &str = "# Our own plugins against the suite

Made by a test from what `windlass plugin certify` says; it fails where this page differs (`WINDLASS_BLESS=1` writes it anew). [What each check means](README.md). ✔ passed, ✘ failed, – does not apply. What they talk to, and the helm that ours runs, are [simulated](../counterparts/README.md).

";

/// A plugin: how it is named in the matrix, its folder, its component.
struct Subject {
    name: String,
    folder: PathBuf,
    component: PathBuf,
}

/// `windlass plugin certify`, with our simulators and the stand-in for helm on the path.
fn certify(component: &Path, file: &Path) -> Result<Certification, String> {
    let programs = [simulator(), standin_helm()].map(|it| it.parent().expect("a folder").to_owned());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(programs.into_iter().chain(std::env::split_paths(&path))).expect("a path");
    let mut command = Command::new(WINDLASS);
    command.args(["--json", "plugin", "certify"]).arg(component).arg("--file").arg(file).env("PATH", path);
    let ran = command.output().expect("windlass starts");
    let said = || String::from_utf8_lossy(&ran.stderr).into_owned();
    let view: serde_json::Value = serde_json::from_slice(&ran.stdout).map_err(|_| said())?;
    serde_json::from_value(view["result"].clone()).map_err(|error| format!("{error}: {view}"))
}

fn subjects() -> (Vec<Subject>, bool) {
    let mut all = true;
    let mut subjects = Vec::new();
    for (language, component) in examples() {
        all &= component.is_some();
        let name = format!("[example in {language}](../../sdk/{language}/example)");
        let folder = root().join(format!("sdk/{language}/example"));
        subjects.extend(component.map(|component| Subject { name, folder, component }));
    }
    for plugin in ["http", "jenkins", "servicenow", "helm"] {
        subjects.push(Subject {
            name: format!("[{plugin}](../../plugins/{plugin})"),
            folder: root().join("plugins").join(plugin),
            component: component(plugin),
        });
    }
    subjects.push(Subject {
        name: "[cookbook](../../sdk/cookbook)".to_owned(),
        folder: root().join("sdk/cookbook"),
        component: cookbook().into(),
    });
    let folder = root().join("conformance/noop");
    subjects.push(Subject { name: "[noop](../noop)".to_owned(), folder, component: noop().to_owned() });
    (subjects, all)
}

#[test]
fn our_plugins_pass_and_the_matrix_says_so() {
    let (subjects, all) = subjects();
    let mut results = Vec::new();
    for some in subjects.chunks(AT_A_TIME) {
        std::thread::scope(|scope| {
            let certifying: Vec<_> = some
                .iter()
                .map(|it| scope.spawn(|| certify(&it.component, &it.folder.join("conformance.yaml"))))
                .collect();
            for (subject, ended) in some.iter().zip(certifying) {
                let result = ended.join().expect("no panic").unwrap_or_else(|said| panic!("{}: {said}", subject.name));
                assert!(!result.has_failed(), "{}: {}", subject.name, result.to_json());
                results.push((subject.name.clone(), result));
            }
        });
    }
    let matrix = format!("{ABOUT}{}", markdown(results.iter().map(|(name, it)| (name.as_str(), it))));
    if !all {
        return skipped("the matrix is compared where no language is missing");
    }
    let file = root().join(MATRIX);
    if std::env::var_os("WINDLASS_BLESS").is_some() {
        std::fs::write(&file, &matrix).expect("the matrix");
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(written, matrix, "{MATRIX} is not what the suite says; WINDLASS_BLESS=1 writes it anew");
}

#[test]
fn the_examples_are_exercised_by_one_and_the_same_file() {
    let of = |language: &str| {
        std::fs::read_to_string(root().join("sdk").join(language).join("example/conformance.yaml")).expect("a file")
    };
    for language in ["js", "python", "c", "go"] {
        assert_eq!(of(language), of("rust"), "{language}");
    }
}

const WRONG: &str = "certify: v1\ncases:\n  - action: noop\n  - action: wait\n    input: { for: 1s }\n    ends: { failed: { code: never } }\nwithout: { ask: nobody is there }\n";

#[test]
fn a_failure_is_told_with_its_transcript_which_can_be_played_again() {
    let site = Site::empty();
    site.write("conformance.yaml", WRONG);
    let noop = noop().to_str().expect("UTF-8");
    let certify = ["plugin", "certify", noop, "--file", "conformance.yaml"];
    let whole = [&certify[..], &["--out", "result.json", "--transcripts", "failures"]].concat();
    let ran = site.run(&whole);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for expected in ["failed wait: run 1", "expected: it fails with `never`", "not exercised ask", "not certified"] {
        assert!(ran.stdout.contains(expected), "{expected:?} is not in {ran:?}");
    }
    let result = std::fs::read_to_string(site.path("result.json")).expect("a result");
    let read: Certification = serde_json::from_str(&result).expect("a result");
    assert!(read.has_failed() && !read.certified && read.at.is_none());
    // The same again, byte for byte.
    site.run(&whole);
    assert_eq!(std::fs::read_to_string(site.path("result.json")).expect("a result"), result);

    let replay = [&certify[..], &["--replay", "failures/wait.run.1.json"]].concat();
    let played = site.run(&replay);
    assert_eq!(played.code, Some(1), "{played:?}");
    for expected in ["call         start", "suspended", "call         resume", "done         {}"] {
        assert!(played.stdout.contains(expected), "{expected:?} is not in {played:?}");
    }
    // A part says nothing of the rest.
    let part = site.run(&[&certify[..], &["--action", "noop", "--only", "dry-run"]].concat());
    assert_eq!(part.code, Some(0), "{part:?}");
    assert!(part.stdout.contains("only a whole run certifies") && !part.stdout.contains("ask"), "{part:?}");
    // It is mended.
    site.write("conformance.yaml", &WRONG.replace("    ends: { failed: { code: never } }\n", ""));
    let mended = site.run(&replay);
    assert!(mended.code == Some(0) && mended.stdout.contains("goes as it should"), "{mended:?}");
}

#[test]
fn what_cannot_be_used_is_said_with_its_place() {
    let site = Site::empty();
    let noop = noop().to_str().expect("UTF-8");
    let fails = |text: &str, more: &[&str], expected: &str| {
        site.write("conformance.yaml", text);
        let ran = site.run(&[&["plugin", "certify", noop, "--file", "conformance.yaml"], more].concat());
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(expected), "{expected:?} is not in {ran:?}");
    };
    fails("certify: v1\ncase: []\n", &[], "line 2");
    fails(&WRONG.replace("action: noop", "action: nop"), &[], "no action `nop`; it has");
    fails(WRONG, &["--action", "ask"], "no case of the file is of this action");
    fails(WRONG, &["--only", "twice"], "`once`");
    fails(WRONG, &["--replay", "conformance.yaml"], "no transcript");
    let nobody = "certify: v1\ncounterpart: { command: [no-such-program, '{listen}'] }\ncases: [{ action: noop }]\n";
    fails(nobody, &[], "`no-such-program {listen}`: it does not start");
    let ends = "certify: v1\ncounterpart: { command: ['false', '{listen}'] }\ncases: [{ action: noop }]\n";
    fails(ends, &[], "it ended at once");
    std::fs::remove_file(site.path("conformance.yaml")).expect("it was there");
    let ran = site.run(&["plugin", "certify", noop, "--file", "conformance.yaml"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("which says how it is exercised"), "{ran:?}");
}

/// What was started for it does not outlive it.
#[test]
fn whoever_stops_it_stops_what_was_started_for_it() {
    let site = Site::empty();
    let file = "certify: v1\ncounterpart: { command: [sh, -c, 'echo $$ >pid.new; mv pid.new pid; exec sleep 600'] }\ncases: [{ action: noop }]\n";
    site.write("conformance.yaml", file);
    let mut certify = site.command(&["plugin", "certify"]);
    certify.arg(noop()).args(["--file", "conformance.yaml"]);
    let mut certify = Process::start(&mut certify);
    let there = |file: &str| std::fs::read_to_string(site.state().with_file_name(file)).ok();
    let pid = eventually("the counterpart runs", || there("pid"));
    let process = PathBuf::from("/proc").join(pid.trim());
    assert!(process.exists());
    certify.stop();
    eventually("it has ended with it", || (!process.exists()).then_some(()));
}
