//! The stand-in for helm: its command line, its shapes, and what a kill leaves behind.

use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use windlass_counterparts::helm::{NOTICE, run};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chart");
const PROGRAM: &str = env!("CARGO_BIN_EXE_windlass-standin-helm");

/// A cluster of its own.
struct Cluster {
    folder: tempfile::TempDir,
}

/// How a call ended.
#[derive(Debug)]
struct Called {
    code: u8,
    out: String,
    err: String,
}

impl Called {
    fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The error, without the notice.
    fn error(&self) -> &str {
        assert_eq!(self.code, 1, "{self:?}");
        let rest = self.err.strip_prefix(NOTICE).expect("the notice comes first");
        rest.trim().strip_prefix("Error: ").expect("an error")
    }
}

impl Cluster {
    fn new(settings: &Value) -> Cluster {
        let cluster = Cluster { folder: tempfile::tempdir().expect("a folder") };
        std::fs::write(cluster.path("settings.json"), settings.to_string()).expect("settings");
        let server = format!("file://{}", cluster.folder.path().display());
        let config = format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster:\n    server: {server}\n\
             users:\n- name: u\n  user:\n    token: t\ncontexts:\n- name: x\n  context:\n    cluster: c\n    user: u\n    namespace: demo\n\
             current-context: x\n"
        );
        std::fs::write(cluster.path("kubeconfig"), config).expect("a kubeconfig");
        cluster
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn helm(&self, line: &str) -> Called {
        let config = format!("--kubeconfig={}", self.path("kubeconfig").display());
        call(line.split_whitespace().map(str::to_owned).chain([config]))
    }

    fn history(&self) -> Vec<(u64, String, String)> {
        let history = self.helm("history payments -o json").json();
        let text = |it: &Value| it.as_str().expect("text").to_owned();
        history
            .as_array()
            .expect("a list")
            .iter()
            .map(|it| (it["revision"].as_u64().expect("a number"), text(&it["status"]), text(&it["description"])))
            .collect()
    }

    fn deployment(&self) -> Value {
        let status = self.helm("status payments -o json --show-resources").json();
        status["info"]["resources"]["v1/Deployment"][0].clone()
    }

    /// Looks until something is so.
    fn until(&self, what: &str, wanted: impl Fn(&Cluster) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !wanted(self) {
            assert!(Instant::now() < deadline, "waited too long for {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn effects(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("effects.jsonl")).unwrap_or_default();
        text.lines()
            .map(|line| {
                let effect: Value = serde_json::from_str(line).expect("JSON");
                format!("{} {}", effect["kind"].as_str().expect("a kind"), effect["target"].as_str().expect("a target"))
            })
            .collect()
    }
}

fn call(arguments: impl IntoIterator<Item = String>) -> Called {
    let arguments: Vec<OsString> = ["helm".to_owned()].into_iter().chain(arguments).map(OsString::from).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(arguments, &mut out, &mut err);
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Called { code, out: text(out), err: text(err) }
}

fn quick() -> Cluster {
    let cluster = Cluster::new(&json!({ "ready_ms": 0, "observe_ms": 0 }));
    assert_eq!(cluster.helm(&format!("install payments {CHART} --create-namespace")).code, 0);
    cluster
}

#[test]
fn a_release_is_installed_upgraded_rolled_back_and_removed() {
    let cluster = Cluster::new(&json!({ "ready_ms": 30, "observe_ms": 5 }));
    let missing = cluster.helm(&format!("install payments {CHART}"));
    assert_eq!(missing.error(), "INSTALLATION FAILED: create: failed to create: namespaces \"demo\" not found");
    let installed =
        cluster.helm(&format!("install payments {CHART} --create-namespace --wait --description one -o json")).json();
    assert_eq!(installed["info"]["status"], "deployed");
    assert_eq!(installed["chart"]["metadata"]["appVersion"], "4.5.6");
    assert_eq!(installed["info"]["notes"], "payments 1.0.0 is in demo.\n");
    assert_eq!(
        cluster.helm(&format!("install payments {CHART}")).error(),
        "INSTALLATION FAILED: cannot re-use a name that is still in use"
    );
    let upgraded = cluster.helm(&format!("upgrade payments {CHART} --set image.tag=2.0.0 --wait"));
    assert!(upgraded.out.starts_with("Release \"payments\" has been upgraded. Happy Helming!\nNAME: payments\n"));
    assert_eq!(cluster.helm("get values payments -o json").json(), json!({ "image": { "tag": "2.0.0" } }));
    assert_eq!(cluster.helm("get values payments").out, "USER-SUPPLIED VALUES:\nimage:\n  tag: \"2.0.0\"\n");
    assert_eq!(cluster.helm("get values payments --revision 1 -o json").out, "null\n");
    assert_eq!(cluster.helm("get values payments -a -o json").json()["replicas"], 2);
    assert!(cluster.helm("get manifest payments").out.contains("image: \"example.test/payments:2.0.0\""));
    assert_eq!(cluster.helm("rollback payments 1 --wait").out, "Rollback was a success! Happy Helming!\n");
    assert_eq!(cluster.helm("rollback payments 99").error(), "release has no 99 version");
    let history = cluster.history();
    let expected = [(1, "superseded", "one"), (2, "superseded", "Upgrade complete"), (3, "deployed", "Rollback to 1")];
    let shown: Vec<_> =
        history.iter().map(|(number, status, text)| (*number, status.as_str(), text.as_str())).collect();
    assert_eq!(shown, expected);
    let list = cluster.helm("list -o json").json();
    assert_eq!((&list[0]["revision"], &list[0]["chart"]), (&json!("3"), &json!("payments-1.2.3")));
    assert_eq!(cluster.helm("uninstall payments --keep-history").out, "release \"payments\" uninstalled\n");
    assert_eq!(cluster.helm("status payments -o json").json()["info"]["status"], "uninstalled");
    assert_eq!(
        cluster.helm("uninstall payments --keep-history").error(),
        "the release named \"payments\" is already deleted"
    );
    assert_eq!(cluster.helm("list -o json").json(), json!([]));
    assert_eq!(cluster.helm("uninstall payments").code, 0);
    assert_eq!(cluster.helm("status payments").error(), "release: not found");
    assert_eq!(
        cluster.helm("uninstall payments").error(),
        "uninstall: Release not loaded: payments: release: not found"
    );
    assert_eq!(
        cluster.effects(),
        [
            "release.installed demo/payments",
            "release.upgraded demo/payments",
            "release.rolled_back demo/payments",
            "release.uninstalled demo/payments",
        ]
    );
}

#[test]
fn a_bad_image_fails_the_wait_and_atomic_goes_back() {
    let cluster = quick();
    let upgrade = format!("upgrade payments {CHART} --set image.tag=2-bad --timeout 60ms");
    assert_eq!(cluster.helm(&format!("{upgrade} --wait")).error(), "UPGRADE FAILED: context deadline exceeded");
    assert_eq!(cluster.history()[1].1, "failed");
    assert_eq!(cluster.history()[0].1, "deployed", "a failed upgrade supersedes nothing");
    assert_eq!(
        cluster.helm(&format!("{upgrade} --atomic")).error(),
        "UPGRADE FAILED: release payments failed, and has been rolled back due to atomic being set: context deadline exceeded"
    );
    let history = cluster.history();
    let last = history.last().expect("a revision");
    assert_eq!((last.1.as_str(), last.2.as_str()), ("deployed", "Rollback to 1"));
    let install = cluster.helm(&format!("install other {CHART} --set image.tag=bad --atomic --timeout 20ms"));
    assert!(install.error().contains("has been uninstalled due to atomic being set"), "{install:?}");
    assert_eq!(cluster.helm("status other").error(), "release: not found");
}

#[test]
fn readiness_shows_in_the_resources() {
    let cluster = Cluster::new(&json!({ "ready_ms": 800, "observe_ms": 0 }));
    cluster.helm(&format!("install payments {CHART} --create-namespace"));
    let early = cluster.deployment();
    assert_eq!(early["status"]["unavailableReplicas"], 2, "{early}");
    assert!(early["status"].get("readyReplicas").is_none());
    cluster.until("two ready", |it| it.deployment()["status"]["readyReplicas"] == 2);
    let ready = cluster.deployment();
    assert_eq!(ready["status"]["observedGeneration"], ready["metadata"]["generation"]);
    assert_eq!(ready["status"]["conditions"][0]["reason"], "MinimumReplicasAvailable");
    cluster.helm(&format!("upgrade payments {CHART} --set image.tag=bad"));
    let stuck = cluster.deployment();
    assert_eq!(stuck["metadata"]["generation"], 2);
    assert_eq!(
        (&stuck["status"]["readyReplicas"], &stuck["status"]["updatedReplicas"], &stuck["status"]["replicas"]),
        (&json!(2), &json!(1), &json!(3)),
        "{stuck}"
    );
    let resources = cluster.helm("status payments -o json --show-resources").json()["info"]["resources"].clone();
    let keys: Vec<&String> = resources.as_object().expect("a map").keys().collect();
    assert_eq!(keys, ["v1/Deployment", "v1/Pod(related)", "v1/Service"]);
    let pods = resources["v1/Pod(related)"][0]["items"].as_array().expect("pods").clone();
    let phases: Vec<_> = pods.iter().map(|pod| pod["status"]["phase"].as_str().expect("a phase")).collect();
    assert_eq!(phases, ["Running", "Running", "Pending"]);
}

#[test]
fn values_come_from_files_and_flags_and_stay_when_none_are_given() {
    let cluster = quick();
    let file = cluster.path("values.yaml");
    std::fs::write(&file, "image:\n  tag: from-file\nreplicas: 3\n").expect("values");
    let line = format!("upgrade payments {CHART} -f {} --set replicas=4,extra=007 --set-string port=1", file.display());
    assert_eq!(cluster.helm(&line).code, 0);
    let expected = json!({ "image": { "tag": "from-file" }, "replicas": 4, "extra": "007", "port": "1" });
    assert_eq!(cluster.helm("get values payments -o json").json(), expected);
    cluster.helm(&format!("upgrade payments {CHART}"));
    assert_eq!(cluster.helm("get values payments -o json").json(), expected, "none given: the current stay");
    cluster.helm(&format!("upgrade payments {CHART} --reuse-values --set replicas=5"));
    assert_eq!(cluster.helm("get values payments -o json").json()["extra"], "007");
    cluster.helm(&format!("upgrade payments {CHART} --set replicas=6"));
    assert_eq!(cluster.helm("get values payments -o json").json(), json!({ "replicas": 6 }));
    cluster.helm(&format!("upgrade payments {CHART} --reset-values --history-max 2"));
    assert_eq!(cluster.helm("get values payments -o json").json(), Value::Null);
    assert_eq!(cluster.history().iter().map(|it| it.0).collect::<Vec<_>>(), [5, 6]);
}

#[test]
fn a_dry_run_changes_nothing() {
    let cluster = quick();
    for flag in ["--dry-run", "--dry-run=client", "--dry-run=server"] {
        let dry = cluster.helm(&format!("upgrade payments {CHART} --set image.tag=9 -o json {flag}")).json();
        assert_eq!(dry["info"]["status"], "pending-upgrade");
        assert!(dry["manifest"].as_str().expect("a manifest").contains("payments:9"));
    }
    assert_eq!(cluster.helm(&format!("install second {CHART} --dry-run")).code, 0);
    assert_eq!(cluster.helm("rollback payments 1 --dry-run").code, 0);
    assert_eq!(cluster.helm("uninstall payments --dry-run").code, 0);
    assert_eq!(cluster.history().len(), 1);
    assert_eq!(cluster.effects(), ["release.installed demo/payments"]);
}

#[test]
fn upgrade_can_install_and_tests_tell_their_phase() {
    let cluster = Cluster::new(&json!({ "ready_ms": 0 }));
    assert_eq!(
        cluster.helm(&format!("upgrade payments {CHART}")).error(),
        "UPGRADE FAILED: \"payments\" has no deployed releases"
    );
    let installed = cluster.helm(&format!("upgrade --install payments {CHART} --create-namespace"));
    assert!(installed.out.starts_with("Release \"payments\" does not exist. Installing it now.\n"));
    let tested = cluster.helm("test payments --timeout 5s");
    assert!(tested.out.contains("TEST SUITE:     payments-test\n"), "{tested:?}");
    assert!(tested.out.contains("Phase:          Succeeded\n"));
    let status = cluster.helm("status payments -o json").json();
    assert_eq!(status["hooks"][0]["last_run"]["phase"], "Succeeded");
    cluster.helm("uninstall payments --keep-history");
    assert_eq!(cluster.helm(&format!("upgrade -i payments {CHART}")).code, 0, "over a removed one");
    assert_eq!(cluster.history().last().map(|it| (it.0, it.1.as_str())), Some((2, "deployed")));
}

#[test]
fn a_killed_upgrade_stays_pending_until_it_is_rolled_back() {
    let cluster = quick();
    std::fs::write(cluster.path("settings.json"), json!({ "ready_ms": 0, "apply_ms": 600_000 }).to_string())
        .expect("settings");
    let mut child = Command::new(PROGRAM)
        .args(["upgrade", "payments", CHART, "--set", "image.tag=2", "--kubeconfig"])
        .arg(cluster.path("kubeconfig"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the stand-in");
    cluster.until("a pending revision", |it| it.history().len() == 2);
    child.kill().expect("a kill");
    child.wait().expect("an end");
    std::fs::write(cluster.path("settings.json"), json!({ "ready_ms": 0 }).to_string()).expect("settings");
    assert_eq!(cluster.history()[1].1, "pending-upgrade");
    assert_eq!(
        cluster.helm(&format!("upgrade payments {CHART}")).error(),
        "UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress"
    );
    assert_eq!(cluster.effects(), ["release.installed demo/payments"], "it had not done anything yet");
    assert_eq!(cluster.helm("rollback payments 1").code, 0);
    assert_eq!(cluster.helm(&format!("upgrade payments {CHART}")).code, 0);
}

#[test]
fn two_upgrades_at_once_do_not_both_happen() {
    let cluster = quick();
    std::fs::write(cluster.path("settings.json"), json!({ "ready_ms": 0, "apply_ms": 1_000 }).to_string())
        .expect("settings");
    let codes: Vec<u8> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| cluster.helm(&format!("upgrade payments {CHART}")).code)).collect();
        threads.into_iter().map(|it| it.join().expect("a thread")).collect()
    });
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    assert_eq!(cluster.history().len(), 2);
}

#[test]
fn errors_are_in_helms_words() {
    let cluster = quick();
    let cases = [
        ("frobnicate", "unknown command \"frobnicate\" for \"helm\"\nRun 'helm --help' for usage."),
        ("list --bogus", "unknown flag: --bogus"),
        ("test payments -o json", "unknown shorthand flag: 'o' in -o"),
        ("install x ./nochart", "INSTALLATION FAILED: path \"./nochart\" not found"),
        ("history absent", "release: not found"),
        (
            "status ../../etc",
            "invalid release name, must match regex ^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$ and the length must not be longer than 53",
        ),
        ("status payments -n ../x", "invalid namespace \"../x\""),
    ];
    for (line, expected) in cases {
        assert_eq!(cluster.helm(line).error(), expected, "{line}");
    }
}

#[test]
fn without_a_cluster_or_its_token_nothing_is_reached() {
    let cluster = Cluster::new(&json!({ "token": "other" }));
    assert_eq!(
        cluster.helm("list").error(),
        "Kubernetes cluster unreachable: the server has asked for the client to provide credentials"
    );
    let absent = call(["list", "--kubeconfig", "/nonexistent"].map(str::to_owned));
    assert_eq!(absent.error(), "Kubernetes cluster unreachable: stat /nonexistent: no such file or directory");
    let real = cluster.path("real");
    std::fs::write(&real, "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:6443'}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n")
        .expect("a kubeconfig");
    let real = call(["list".to_owned(), format!("--kubeconfig={}", real.display())]);
    assert!(real.error().contains("knows only clusters at file:///"), "{real:?}");
    assert_eq!(call(["version", "--short"].map(str::to_owned)).out, "v3.17.3+standin\n");
    assert_eq!(call(["version", "--template", "{{.Version}}"].map(str::to_owned)).out, "v3.17.3+standin");
}

#[test]
fn lint_and_template_refuse_what_they_cannot_do() {
    let good = call(["lint".to_owned(), CHART.to_owned()]);
    assert!(good.out.ends_with("1 chart(s) linted, 0 chart(s) failed\n"), "{good:?}");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("templates")).expect("a folder");
    std::fs::write(folder.path().join("Chart.yaml"), "name: x\nversion: 1.0.0\n").expect("a chart");
    std::fs::write(folder.path().join("templates/a.yaml"), "kind: A\nb: {{ range .Values.c }}\n").expect("a file");
    let path = folder.path().display().to_string();
    let bad = call(["lint".to_owned(), path.clone()]);
    assert_eq!(bad.error(), "1 chart(s) linted, 1 chart(s) failed");
    let rendered = call(["template".to_owned(), "r".to_owned(), path]);
    assert_eq!(rendered.error(), "template: x/templates/a.yaml:2: the stand-in cannot render {{ range .Values.c }}");
}

/// What the stand-in renders and how it lints, against the real helm, where `WINDLASS_TEST_HELM` names one.
#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so and why")]
fn it_renders_and_lints_as_helm_does() {
    let Some(helm) = std::env::var_os("WINDLASS_TEST_HELM") else {
        eprintln!("skipped: WINDLASS_TEST_HELM names no helm to compare with");
        return;
    };
    let lines: &[&[&str]] = &[
        &["template", "payments", CHART, "-n", "demo"],
        &["template", "payments", CHART, "--set", "image.tag=3,replicas=5", "--skip-tests"],
        &["template", CHART, "--set-string", "image.tag=3", "--no-hooks"],
        &["lint", CHART],
    ];
    for line in lines {
        let real = Command::new(Path::new(&helm)).args(*line).stdin(Stdio::null()).output().expect("helm");
        let ours = call(line.iter().map(|it| (*it).to_owned()));
        assert_eq!(ours.out, String::from_utf8_lossy(&real.stdout), "{line:?}");
        assert_eq!(Some(i32::from(ours.code)), real.status.code(), "{line:?}");
    }
}
