//! The vendors' own clients against the simulators.
//!
//! They need a Python which has them: `WINDLASS_TEST_PYTHON`, else `python3`. Without one a test says that it
//! is skipped and why; `clients/requirements.txt` says what to install.

use crate::client::{Client, start_with};
use serde_json::json;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use windlass_counterparts::{Running, SimulatorKind};

/// A Python which can import a module, or why there is none.
fn python(module: &str) -> Result<String, String> {
    let (program, chosen) = match std::env::var("WINDLASS_TEST_PYTHON") {
        Ok(program) => (program, true),
        Err(_) => ("python3".to_owned(), false),
    };
    let tried = Command::new(&program)
        .args(["-W", "ignore", "-c", &format!("import {module}")])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match tried {
        Ok(status) if status.success() => Ok(program),
        Ok(_) if chosen => panic!("WINDLASS_TEST_PYTHON={program} cannot import {module}"),
        Ok(_) => Err(format!("{program} cannot import {module}; set WINDLASS_TEST_PYTHON")),
        Err(error) if chosen => panic!("WINDLASS_TEST_PYTHON={program}: {error}"),
        Err(error) => Err(format!("no {program}: {error}")),
    }
}

/// Runs a client's script, or says why not.
#[expect(clippy::print_stderr, reason = "a skipped test says so and why")]
async fn run(module: &str, script: &str, arguments: Vec<String>) -> Option<Output> {
    let program = match python(module) {
        Ok(program) => program,
        Err(reason) => {
            eprintln!("skipped: {script}: {reason}");
            return None;
        }
    };
    let path = format!("{}/clients/{script}", env!("CARGO_MANIFEST_DIR"));
    let output = tokio::task::spawn_blocking(move || {
        Command::new(program)
            .args(["-B", "-W", "ignore", &path])
            .args(arguments)
            .stdin(Stdio::null())
            .env_remove("http_proxy")
            .env_remove("HTTP_PROXY")
            .env("NO_PROXY", "127.0.0.1")
            .output()
    });
    Some(output.await.expect("a thread").expect("a Python"))
}

fn check(output: &Output) -> serde_json::Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}\n{stderr}"))
}

async fn jenkins(require_crumb: bool) -> Option<Running> {
    let running = start_with(SimulatorKind::Jenkins, |options| {
        options.require_crumb = require_crumb;
        options.queue = Duration::from_millis(1_200);
        options.duration = Duration::from_millis(1_000);
    })
    .await;
    let folder = json!({ "name": "team/service/build" });
    assert_eq!(Client::new(&running.url).json("POST", "/_sim/jobs", folder).await.status, 200);
    let arguments = vec![running.url.clone(), "windlass".to_owned(), "simulated-token".to_owned()];
    let output = run("jenkins", "jenkins_client.py", arguments).await?;
    assert_eq!(check(&output)["build"], 1);
    Some(running)
}

#[tokio::test]
async fn python_jenkins_works_against_the_simulated_jenkins() {
    let Some(running) = jenkins(false).await else { return };
    let keys: Vec<_> = running.effects_of("build.queued").into_iter().map(|it| it.key).collect();
    assert_eq!(keys, [Some("key-1".to_owned()), None, None, None]);
}

#[tokio::test]
async fn python_jenkins_works_with_crumbs_required() {
    jenkins(true).await;
}

#[tokio::test]
async fn pysnow_works_against_the_simulated_servicenow() {
    let running = start_with(SimulatorKind::ServiceNow, |_| {}).await;
    let arguments = [
        running.address.to_string().as_str(),
        "windlass",
        "simulated-token",
        "windlass-client",
        "simulated-secret",
        running.url.as_str(),
    ]
    .map(str::to_owned)
    .to_vec();
    let Some(output) = run("pysnow", "servicenow_client.py", arguments).await else { return };
    assert_eq!(check(&output)["change"], "CHG0000001");
    assert_eq!(running.effects_of("attachment.created").len(), 1);
}
