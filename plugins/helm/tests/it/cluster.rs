//! The plugin with a helm that is really run: the real one against a cluster, or the stand-in.
//!
//! The helm is `WINDLASS_TEST_HELM`, the cluster `WINDLASS_TEST_KUBECONFIG` (`conformance/kubernetes/with-cluster.sh` sets
//! both); without them these tests say so and do nothing. Only the plugin's clock is made up: helm and the cluster take
//! the time they take.

use serde_json::{Map, Value, json};
use std::cell::Cell;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};
use windlass_plugin_helm::plugin;
use windlass_sdk::host::{ToolCommand, ToolError};
use windlass_sdk::testing::{MockHost, TestStep};
use windlass_sdk::{FailureClass, ToolOutput};

/// A helm and a cluster, with a namespace that nobody else uses.
struct Cluster {
    helm: PathBuf,
    kubeconfig: PathBuf,
    namespace: String,
    /// The next upgrade is killed as soon as its revision is there.
    kill_next_upgrade: Rc<Cell<bool>>,
}

impl Cluster {
    /// None, said on standard error, where there is no helm to run.
    fn of_environment(test: &str) -> Option<Self> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let (Some(helm), Some(kubeconfig)) = (variable("WINDLASS_TEST_HELM"), variable("WINDLASS_TEST_KUBECONFIG"))
        else {
            let reason = "WINDLASS_TEST_HELM and WINDLASS_TEST_KUBECONFIG name no helm and no cluster";
            writeln!(std::io::stderr(), "skipped: {test}: {reason}").expect("standard error takes a line");
            return None;
        };
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_nanos();
        let namespace = format!("windlass-{test}-{}", nanos % 1_000_000_000_000);
        Some(Self { helm, kubeconfig, namespace, kill_next_upgrade: Rc::default() })
    }

    fn is_stand_in(&self) -> bool {
        let output = Command::new(&self.helm).args(["version", "--short"]).output().expect("helm runs");
        String::from_utf8_lossy(&output.stdout).contains("standin")
    }

    fn host(&self) -> MockHost {
        let (helm, kubeconfig, kill) = (self.helm.clone(), self.kubeconfig.clone(), Rc::clone(&self.kill_next_upgrade));
        MockHost::new().connection("cluster", "https://cluster.test").tools(move |command| {
            let is_write =
                command.arguments[0] == "upgrade" && !command.arguments.iter().any(|it| it.contains("dry-run"));
            if is_write && kill.take() {
                run_and_kill(&helm, &kubeconfig, command)
            } else {
                Ok(run(&helm, &kubeconfig, command))
            }
        })
    }

    /// Runs helm by hand, as somebody else would.
    fn by_hand(&self, arguments: &[&str]) -> ToolOutput {
        let mut arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
        arguments.extend(["--namespace".to_owned(), self.namespace.clone()]);
        let command =
            ToolCommand { tool: "helm".to_owned(), arguments, connection: None, files: Vec::new(), stdin: Vec::new() };
        run(&self.helm, &self.kubeconfig, &command)
    }

    fn step(&self, action: &str, more: Value) -> TestStep {
        let mut input = json!({ "release": "pay", "namespace": self.namespace });
        input.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        TestStep::new(plugin(), action, input)
    }

    fn upgrade(&self, tag: &str) -> TestStep {
        self.step("upgrade", upgrade_of(&payments(), json!({ "image": { "tag": tag } })))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.by_hand(&["uninstall", "pay"]);
    }
}

/// On the plugin's clock, which goes from look to look, this is some two thousand looks.
const LONG: &str = "6h";

fn upgrade_of(chart_files: &Map<String, Value>, values: Value) -> Value {
    json!({ "chart_files": chart_files, "values": values, "create_namespace": true, "timeout": LONG, "hook_timeout": "20s" })
}

fn payments_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workflows/charts/payments")
}

/// The demo's chart.
fn payments() -> Map<String, Value> {
    let folder = payments_folder();
    let names = [
        "Chart.yaml",
        "values.yaml",
        "templates/configmap.yaml",
        "templates/deployment.yaml",
        "templates/service.yaml",
    ];
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("the demo's chart is there");
    names.into_iter().map(|name| (name.to_owned(), json!(read(name)))).collect()
}

fn prepared(helm: &Path, kubeconfig: &Path, command: &ToolCommand, folder: &Path) -> Command {
    for (path, contents) in &command.files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder can be made");
        std::fs::write(path, contents).expect("a file can be written");
    }
    let mut prepared = Command::new(helm);
    prepared
        .args(&command.arguments)
        .current_dir(folder)
        .env("HOME", folder)
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null());
    prepared
}

fn run(helm: &Path, kubeconfig: &Path, command: &ToolCommand) -> ToolOutput {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let output = prepared(helm, kubeconfig, command, folder.path()).output().expect("helm runs");
    ToolOutput {
        tool: command.tool.clone(),
        exit_code: output.status.code().expect("helm ends by itself"),
        stdout: output.stdout,
        stderr: output.stderr,
        truncated: false,
    }
}

/// Kills helm once the revision that it makes is pending; its hook never ends, so it cannot get past that by itself.
fn run_and_kill(helm: &Path, kubeconfig: &Path, command: &ToolCommand) -> Result<ToolOutput, ToolError> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut child = prepared(helm, kubeconfig, command, folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("helm starts");
    let namespace = command.arguments.iter().skip_while(|it| *it != "--namespace").nth(1).expect("a namespace");
    let history = ToolCommand {
        arguments: ["history", "pay", "--output", "json", "--namespace", namespace].map(str::to_owned).to_vec(),
        files: Vec::new(),
        ..command.clone()
    };
    while !run(helm, kubeconfig, &history).stdout_text().contains("pending-") {
        assert_eq!(child.try_wait().expect("helm can be asked"), None, "helm ended before it could be killed");
    }
    child.kill().expect("helm can be killed");
    child.wait().expect("helm can be waited for");
    Err(ToolError::Killed("SIGKILL".to_owned()))
}

#[test]
fn a_release_from_its_installation_to_its_end() {
    let Some(cluster) = Cluster::of_environment("life") else { return };
    let host = cluster.host();
    let read = |action: &str| cluster.step(action, json!({})).run(&host).expect(action);

    let failure = cluster.step("status", json!({})).run(&host).expect_err("nothing is there");
    assert_eq!(failure.class, FailureClass::NotFound, "{failure}");
    let lint = TestStep::new(plugin(), "lint", json!({ "chart_files": payments() }));
    lint.run(&host).expect("the chart is good");

    // Installed; with the same key once more it is only waited for.
    let first = cluster.upgrade("1.0.0");
    let output = first.run(&host).expect("it installs");
    assert_eq!(
        (&output["revision"], &output["prior_revision"], &output["status"]),
        (&json!(1), &Value::Null, &json!("deployed"))
    );
    assert_eq!(output["workloads"][0]["ready"], 2, "{output:#}");
    assert_eq!(first.run(&host).expect("it is there")["revision"], 1);
    assert_eq!(read("status")["ready"], true);
    assert_eq!(read("values")["values"], json!({ "image": { "tag": "1.0.0" } }));

    // Another step upgrades it. Steps of a test share their key, so the first one's mark has to go.
    cluster.by_hand(&["rollback", "pay", "1"]);
    let host = cluster.host();
    let second = cluster.upgrade("1.0.1");
    let inputs = json!({ "chart_files": payments(), "values": { "image": { "tag": "1.0.1" } } });
    let diff = cluster.step("diff", inputs).run(&host).expect("it compares");
    assert_eq!(diff["summary"], "1 value changes, ConfigMap/pay-settings changed, Deployment/pay changed");
    let output = second.run(&host).expect("it upgrades");
    assert_eq!((&output["revision"], &output["prior_revision"]), (&json!(3), &json!(2)));
    assert!(matches!(second.find(&host), Ok(Some(_))), "its effect is found");

    // And takes it back; a second rollback finds that done.
    for _ in 0..2 {
        let back = second.rollback(&host, Some(&output)).expect("it rolls back");
        assert_eq!((&back["rolled_back_to"], &back["revision"]), (&json!(2), &json!(4)));
    }
    let history = cluster.step("history", json!({})).run(&host).expect("history");
    assert_eq!(history["deployed_revision"], 4);

    // A rollback of its own, then the end.
    let output = cluster.step("rollback", json!({ "revision": 3, "timeout": LONG })).run(&host).expect("it goes to 3");
    assert_eq!((&output["revision"], &output["to_revision"]), (&json!(5), &json!(3)));
    // Once more as the same step, whose first attempt took it away, and as another one, for which it is gone.
    let uninstall = cluster.step("uninstall", json!({}));
    for (host, uninstalled) in [(&host, true), (&host, true), (&cluster.host(), false)] {
        assert_eq!(uninstall.run(host).expect("it goes")["uninstalled"], uninstalled);
    }
}

#[test]
fn a_bad_image_fails_the_step_and_the_rollback_puts_it_right() {
    let Some(cluster) = Cluster::of_environment("bad") else { return };
    cluster.upgrade("1.0.0").run(&cluster.host()).expect("it installs");
    cluster.by_hand(&["rollback", "pay", "1"]);

    let host = cluster.host();
    let mut input = upgrade_of(&payments(), json!({ "image": { "tag": "1.0.1bad" } }));
    input["timeout"] = json!("10m");
    let step = cluster.step("upgrade", input);
    let failure = step.run(&host).expect_err("it never gets ready");
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Rejected, "not-ready"), "{failure}");
    for part in ["Deployment/pay 0/2", "ImagePullBackOff"] {
        assert!(failure.message.contains(part), "{part} in {failure}");
    }

    // Its own timeout is over in some sixty looks, which may be too few for a cluster to get ready in.
    let back = cluster.upgrade("1.0.1bad").rollback(&host, None).expect("it rolls back");
    assert_eq!((&back["rolled_back_to"], &back["revision"]), (&json!(2), &json!(4)));
    assert_eq!(cluster.step("status", json!({})).run(&host).expect("status")["ready"], true);
}

#[test]
fn a_first_installation_is_rolled_back_by_its_removal_and_a_changed_one_is_not() {
    let Some(cluster) = Cluster::of_environment("first") else { return };
    let host = cluster.host();
    let step = cluster.upgrade("1.0.0");
    let output = step.run(&host).expect("it installs");
    assert_eq!(step.rollback(&host, Some(&output)).expect("it goes")["uninstalled"], true);
    assert_eq!(step.rollback(&host, Some(&output)).expect("it is gone")["rolled_back_to"], Value::Null);

    // Somebody has rolled back to what the step made: it is still that.
    let host = cluster.host();
    let output = step.run(&host).expect("it installs again");
    cluster.by_hand(&["rollback", "pay", "1"]);
    let back = step.rollback(&host, Some(&output)).expect("it goes");
    assert_eq!((&back["uninstalled"], &back["revision"]), (&json!(true), &json!(2)));

    let host = cluster.host();
    let output = step.run(&host).expect("it installs once more");
    let chart = payments_folder();
    let chart = chart.to_str().expect("a folder's name is text");
    let by_hand = cluster.by_hand(&["upgrade", "pay", chart, "--set", "image.tag=1.0.9"]);
    assert_eq!(by_hand.exit_code, 0, "{}", String::from_utf8_lossy(&by_hand.stderr));
    let failure = step.rollback(&host, Some(&output)).expect_err("somebody else was there");
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Conflict, "changed-since"), "{failure}");
}

/// The demo's chart with a hook before each upgrade and a test.
fn with_hooks() -> Map<String, Value> {
    let mut files = payments();
    let hook = "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: \"{{ .Release.Name }}-before\"\n  annotations:\n    \"helm.sh/hook\": pre-install,pre-upgrade\nspec:\n  backoffLimit: 0\n  template:\n    spec:\n      restartPolicy: Never\n      containers:\n        - name: migrate\n          image: \"registry.example.test/migrate:{{ .Values.hook }}\"\n";
    let test = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: \"{{ .Release.Name }}-test\"\n  annotations:\n    \"helm.sh/hook\": test\nspec:\n  restartPolicy: Never\n  containers:\n    - name: probe\n      image: \"registry.example.test/probe:{{ .Values.test }}\"\n";
    files.insert("templates/hook.yaml".to_owned(), json!(hook));
    files.insert("templates/test.yaml".to_owned(), json!(test));
    files
}

#[test]
fn an_upgrade_whose_helm_is_killed_goes_on_in_the_next_attempt() {
    let Some(cluster) = Cluster::of_environment("killed") else { return };
    if cluster.is_stand_in() {
        let reason = "the stand-in runs no hooks, so it cannot be killed in one";
        writeln!(std::io::stderr(), "skipped: {reason}").expect("standard error takes a line");
        return;
    }
    let host = cluster.host();
    let step = |hook: &str| {
        cluster
            .step("upgrade", upgrade_of(&with_hooks(), json!({ "hook": hook, "test": "1", "image": { "tag": "2" } })))
    };
    cluster.kill_next_upgrade.set(true);
    let failure = step("bad").run(&host).expect_err("helm is killed in its hook");
    assert_eq!(failure.code, "tool-killed", "{failure}");

    // Anybody else is told that it is locked, and this step's own next attempt is not.
    let others = cluster.host();
    let failure = step("1").run(&others).expect_err("another step");
    assert_eq!(failure.code, "release-locked", "{failure}");
    assert_eq!(step("1").find(&host), Ok(None));
    let output = step("1").attempt(2).run(&host).expect("the next attempt goes on");
    assert_eq!((&output["revision"], &output["prior_revision"]), (&json!(3), &Value::Null));

    let tested = cluster.step("test", json!({})).run(&host).expect("the chart's test passes");
    assert_eq!(tested["tests"][0]["phase"], "Succeeded");
}

#[test]
fn hooks_and_tests_that_fail_are_named() {
    let Some(cluster) = Cluster::of_environment("hooks") else { return };
    if cluster.is_stand_in() {
        let reason = "the stand-in runs no hooks, so none of them fails";
        writeln!(std::io::stderr(), "skipped: {reason}").expect("standard error takes a line");
        return;
    }
    let step = |hook: &str, test: &str| {
        cluster.step("upgrade", upgrade_of(&with_hooks(), json!({ "hook": hook, "test": test })))
    };
    let host = cluster.host();
    let failure = step("fail", "1").run(&host).expect_err("the hook fails");
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Rejected, "hook-failed"), "{failure}");
    step("1", "fail").attempt(2).run(&host).expect("the next attempt installs it");
    let failure = cluster.step("test", json!({})).run(&host).expect_err("the test fails");
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Rejected, "tests-failed"), "{failure}");
    assert!(failure.message.contains("pay-test"), "{failure}");
}

#[test]
fn a_user_without_permission_is_told_so() {
    let Some(mut cluster) = Cluster::of_environment("viewer") else { return };
    let Some(viewer) = std::env::var_os("WINDLASS_TEST_KUBECONFIG_VIEWER") else {
        writeln!(std::io::stderr(), "skipped: WINDLASS_TEST_KUBECONFIG_VIEWER names no kubeconfig").expect("a line");
        return;
    };
    cluster.kubeconfig = viewer.into();
    let failure = cluster.upgrade("1.0.0").run(&cluster.host()).expect_err("it is forbidden");
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Forbidden, "cluster-forbidden"), "{failure}");
}
