//! Native tools: a script that stands for helm.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};
use windlass_model::connection::Tool;
use windlass_model::digest::Digest;
use windlass_sandbox::{Access, CallReport, LogSource};

use crate::support::{Given, call, code, connection, done, gone, message, with_tool, world};

const SCRIPT: &str = r#"#!/bin/sh
case "$1" in
  echo) shift; echo "$@"; cat; echo "to stderr" >&2 ;;
  env) env | sort; pwd; ls -A; stat -c %a . ;;
  cat) cat "$2" ;;
  fail) exit 7 ;;
  hang) sleep 1000 & echo $$ $!; echo $$ $! >&2; wait ;;
  children) sleep 1000 & echo $!; exit 0 ;;
  die) kill -TERM $$ ;;
  flood) while :; do echo "0123456789012345678901234567890123456789"; done ;;
  leak) cat "$KUBECONFIG"; sed -n 's/.*token: //p' "$KUBECONFIG" | tr -d '\n' | base64 -w0 ;;
esac
"#;

/// Written once, before anything is started: a file that is open for writing cannot be run.
fn program() -> &'static (tempfile::TempDir, PathBuf) {
    static PROGRAM: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("helm");
        std::fs::write(&path, SCRIPT).expect("writable");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("ours");
        (folder, path)
    })
}

pub(crate) fn tool(more: Value) -> Tool {
    let mut tool = json!({
        "name": "helm", "path": program().1, "digest": Digest::of(SCRIPT.as_bytes()).to_string(),
        "subcommands": ["echo", "env", "hang", "flood", "leak", "cat", "fail", "children", "die"],
        "connections": ["server"], "wall_ms": 20_000
    });
    if let (Some(tool), Value::Object(more)) = (tool.as_object_mut(), more) {
        tool.extend(more);
    }
    serde_json::from_value(tool).expect("a tool")
}

async fn run(tool: Tool, input: Value) -> CallReport {
    run_given(tool, Given { input, ..Given::default() }).await
}

pub(crate) async fn run_given(tool: Tool, mut given: Given) -> CallReport {
    let kubeconfig = json!({"authentication": {"type": "kubeconfig", "kubeconfig": "env:KUBECONFIG_TEST"}});
    world().await.secrets.set("KUBECONFIG_TEST", "users:\n- name: robot\n  user:\n    token: kub3-s3cret-token\n");
    let mut connection = connection("", kubeconfig);
    connection.base_url = None;
    let access = Access { connections: [("cluster".parse().expect("a role"), connection)].into(), ..Access::default() };
    given.access = with_tool(access, tool);
    call("run-tool", given).await
}

/// The tool and its child, as `hang` prints them: on standard output for the plugin, on standard error
/// for the log, where one who does not see the plugin's answer can read them.
fn pids(printed: &str) -> [&str; 2] {
    let mut pids = printed.split_whitespace();
    [pids.next().expect("the tool"), pids.next().expect("its child")]
}

/// Whether a process is there and is not a zombie.
fn lives(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
        .is_ok_and(|it| !it.rsplit(')').next().unwrap_or_default().trim_start().starts_with(['Z', 'X']))
}

async fn dies(pid: &str) {
    let gone = async {
        while lives(pid) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("it is killed");
}

#[tokio::test]
async fn a_granted_tool_runs_and_is_logged() {
    let given = Given { input: json!({"arguments": ["echo", "a b", "--flag"]}), ..Given::default() };
    let host = given.host.clone();
    let report = run_given(tool(json!({})), given).await;
    assert_eq!(report.usage.tool_calls, 1);
    assert_eq!(
        done(report)[0],
        json!({"stdout": "a b --flag\nstandard input", "stderr": "to stderr\n", "again": "", "end": "Ok(0)"})
    );
    // What it prints is the plugin's to log.
    assert_eq!(host.messages(), ["to stderr"]);
    assert_eq!(host.lines.lock().expect("not poisoned")[0].source, LogSource::Tool("helm".to_owned()));
    assert_eq!(done(run(tool(json!({})), json!({"arguments": ["fail"]})).await)[0]["end"], "Ok(7)");
    let killed = done(run(tool(json!({})), json!({"arguments": ["die"]})).await);
    assert!(killed[0]["end"].as_str().expect("a text").contains("signal 15"), "{killed}");
}

#[tokio::test]
async fn a_tool_sees_nothing_of_the_host() {
    let input = json!({"arguments": ["env"], "file": "charts/values.yaml", "role": "cluster"});
    let output = done(run(tool(json!({})), input).await);
    let stdout = output[0]["stdout"].as_str().expect("a text");
    let (variables, rest): (Vec<&str>, Vec<&str>) = stdout.lines().partition(|it| it.contains('='));
    let names: Vec<&str> = variables.iter().filter_map(|it| it.split('=').next()).collect();
    let ours = ["HOME", "KUBECONFIG", "LANG", "PATH", "PWD", "TMPDIR"];
    // What shells set by themselves.
    assert!(names.iter().all(|it| ours.contains(it) || ["OLDPWD", "SHLVL", "_"].contains(it)), "{names:?}");
    let home = variables.iter().find_map(|it| it.strip_prefix("HOME=")).expect("a home");
    assert_eq!(rest, [home, ".tmp", "charts", "700"]);
    assert!(!std::path::Path::new(home).exists(), "it is removed");
    let kubeconfig = variables.iter().find_map(|it| it.strip_prefix("KUBECONFIG=")).expect("a kubeconfig");
    assert!(!std::path::Path::new(kubeconfig).exists(), "it is removed");
    let output = done(
        run(tool(json!({})), json!({"arguments": ["cat", "charts/values.yaml"], "file": "charts/values.yaml"})).await,
    );
    assert_eq!(output[0]["stdout"], "from the plugin");
}

#[tokio::test]
async fn the_credential_of_a_tool_does_not_come_back() {
    let given = Given { input: json!({"arguments": ["leak"], "role": "cluster"}), ..Given::default() };
    let host = given.host.clone();
    let report = run_given(tool(json!({})), given).await;
    let text = format!("{report:?} {host:?}");
    assert!(done(report)[0]["stdout"].as_str().expect("a text").contains("token: ***"));
    assert!(!text.contains("kub3") && !text.contains("a3ViMy1zM2NyZXQtdG9rZW4"), "{text}");
}

#[tokio::test]
async fn a_tool_ends_at_its_limits() {
    let output = done(run(tool(json!({"wall_ms": 300})), json!({"arguments": ["hang"]})).await);
    assert!(output[0]["end"].as_str().expect("a text").contains("TimedOut"), "{output}");
    for pid in pids(output[0]["stdout"].as_str().expect("a text")) {
        dies(pid).await;
    }
    let output = done(run(tool(json!({"output_bytes": 100_000})), json!({"arguments": ["flood"]})).await);
    assert!(output[0]["end"].as_str().expect("a text").contains("OutputLimit"), "{output}");
    assert!(output[0]["stdout"].as_str().expect("a text").len() <= 100_000);
    let report = run(tool(json!({})), json!({"arguments": ["echo"], "times": 4})).await;
    assert_eq!(code(&report), "tool-calls-limit");
}

#[tokio::test]
async fn children_and_dropped_tools_are_killed() {
    let output = done(run(tool(json!({})), json!({"arguments": ["children"]})).await);
    assert_eq!(output[0]["end"], "Ok(0)");
    dies(output[0]["stdout"].as_str().expect("a pid")).await;
    let given = Given { input: json!({"arguments": ["hang"], "drop": true}), ..Given::default() };
    assert_eq!(done(run_given(tool(json!({})), given).await), json!([]));
}

#[tokio::test]
async fn a_call_that_is_dropped_takes_its_tool_with_it() {
    let given = Given { input: json!({"arguments": ["hang"]}), ..Given::default() };
    let host = Arc::downgrade(&given.host);
    let running = tokio::spawn(run_given(tool(json!({})), given));
    let started = async {
        loop {
            match host.upgrade().and_then(|it| it.messages().first().cloned()) {
                Some(pid) => break pid,
                None => tokio::task::yield_now().await,
            }
        }
    };
    let pid = tokio::time::timeout(Duration::from_secs(60), started).await.expect("it starts");
    let [tool, child] = pids(&pid);
    assert!(lives(tool) && lives(child));
    running.abort();
    gone(&host).await;
    assert!(!lives(tool), "whoever has the call made hears of its end by the host that it lets go");
    dies(child).await;
}

#[tokio::test]
async fn what_is_not_granted_or_not_the_declared_program_does_not_run() {
    let report = run(tool(json!({"subcommands": ["env"]})), json!({"arguments": ["echo"]})).await;
    assert_eq!(code(&report), "tool-denied");
    assert!(message(&report).contains("`windlass tool change helm --subcommand echo`"), "{}", message(&report));
    let report = run(tool(json!({"digest": Digest::of(b"another").to_string()})), json!({"arguments": ["echo"]})).await;
    assert_eq!(code(&report), "on-purpose");
    assert!(message(&report).contains("not the declared"), "{}", message(&report));
    let report = run(tool(json!({})), json!({"arguments": ["echo"], "file": "../outside"})).await;
    assert!(message(&report).contains("without `..`"), "{}", message(&report));
}

/// Set for the process that plays the host which is killed.
const VICTIM: &str = "WINDLASS_TEST_VICTIM";

/// Not a test by itself: what the victim runs. Does nothing where nobody asked for a victim.
#[tokio::test]
async fn victim_runs_a_tool() {
    if let Some(pid_file) = std::env::var_os(VICTIM) {
        let given = Given { input: json!({"arguments": ["hang"]}), ..Given::default() };
        let host = given.host.clone();
        let running = tokio::spawn(run_given(tool(json!({})), given));
        while host.messages().is_empty() {
            tokio::task::yield_now().await;
        }
        std::fs::write(pid_file, &host.messages()[0]).expect("writable");
        let _ = running.await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_host_that_is_killed_takes_its_tools_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let pid_file = folder.path().join("pid");
    let mut victim = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "tools::victim_runs_a_tool"])
        .env(VICTIM, &pid_file)
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    let started = async {
        loop {
            match std::fs::read_to_string(&pid_file) {
                Ok(pid) if !pid.is_empty() => break pid,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    let started = tokio::time::timeout(Duration::from_secs(60), started).await;
    let alive = started.as_ref().is_ok_and(|it| pids(it).into_iter().all(lives));
    victim.kill().expect("it runs");
    victim.wait().expect("it ends");
    assert!(alive, "the tool was running");
    for pid in pids(&started.expect("it starts")) {
        dies(pid).await;
    }
}
