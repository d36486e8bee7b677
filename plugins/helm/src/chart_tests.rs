//! `test`: runs the tests that a chart brings along.
//!
//! helm runs them in the foreground and can neither begin them and return nor look at tests that run, so this is the
//! one action whose call lasts as long as what it does.

use crate::helm::{Helm, cluster_role, tool};
use crate::stderr;
use crate::target::{Namespace, ReleaseName};
use crate::upgrade::{CALL_MAX, hooks_within};
use crate::wait::default_hook_timeout;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_sdk::{Action, Answer, Context, Effect, Failure, HumanDuration, Limits, Outcome, Role, Tool};

/// Runs a release's tests.
pub(crate) struct RunTests;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestInput {
    /// Name of the release.
    release: ReleaseName,
    /// Its namespace; else the connection's property `namespace`, else `default`.
    #[serde(default)]
    namespace: Option<Namespace>,
    /// How long each test may take, at most 9 minutes: helm runs them in the foreground, so the operator has to give the
    /// tool `helm` as much time.
    #[serde(default = "default_hook_timeout")]
    timeout: HumanDuration,
    /// Whether the logs of the tests' pods go into the log.
    #[serde(default)]
    logs: bool,
}

/// What the tests came to; one that failed is a failed step.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Tested {
    /// Name of the release.
    release: String,
    /// Its namespace.
    namespace: String,
    /// The revision that was tested.
    revision: u64,
    /// The tests; none if the chart has none.
    tests: Vec<TestRun>,
}

/// One test's last run.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TestRun {
    /// Its name.
    name: String,
    /// `Succeeded`, `Failed`, `Running` or `Unknown`.
    phase: String,
    /// When it began.
    started_at: String,
    /// When it ended.
    completed_at: String,
}

impl Action for RunTests {
    const NAME: &'static str = "test";
    const DESCRIPTION: &'static str = "Runs the tests of a release's chart.";
    /// A second run replaces the pods of the first.
    const EFFECT: Effect = Effect::IdempotentWrite;

    type Input = TestInput;
    type Output = Tested;
    type State = ();

    fn connections() -> Vec<Role> {
        vec![cluster_role()]
    }

    fn tools() -> Vec<Tool> {
        vec![tool(&["test", "status", "history"])]
    }

    fn limits() -> Limits {
        Limits::default().wall(CALL_MAX)
    }

    fn start(ctx: &Context, input: TestInput) -> Answer<Self> {
        let helm = Helm::connect(ctx, &input.release, input.namespace.as_ref())?;
        helm.check_lock(helm.history()?.last())?;
        let output = if ctx.dry_run() {
            None
        } else {
            ctx.progress().status(format!("testing {}", helm.place()));
            Some(helm.test(hooks_within(input.timeout), input.logs)?)
        };
        let Some(release) = helm.status()? else {
            let message = format!("there is no release {}", helm.place());
            return Err(Failure::not_found("release-not-found", message));
        };
        let is_test = |events: &[String]| events.iter().any(|event| event == "test" || event == "test-success");
        let tests: Vec<TestRun> = release
            .hooks
            .unwrap_or_default()
            .into_iter()
            .filter(|hook| is_test(&hook.events))
            .map(|hook| TestRun {
                name: hook.name,
                phase: hook.last_run.phase,
                started_at: hook.last_run.started_at,
                completed_at: hook.last_run.completed_at,
            })
            .collect();
        if let Some(output) = output.filter(|output| output.exit_code != 0) {
            let failed: Vec<&str> =
                tests.iter().filter(|test| test.phase == "Failed").map(|test| test.name.as_str()).collect();
            let failure = stderr::failure(&output, &format!("testing {}", helm.place()));
            if failed.is_empty() {
                return Err(failure);
            }
            let message = format!("tests of {} failed: {}: {}", helm.place(), failed.join(", "), failure.message);
            return Err(Failure::rejected("tests-failed", message).detail("tests", failed.join(", ")));
        }
        if tests.is_empty() {
            ctx.log().warn(format!("the chart of {} has no tests", helm.place()));
        }
        Ok(Outcome::done(Tested {
            release: helm.release.to_string(),
            namespace: helm.namespace.to_string(),
            revision: release.version,
            tests,
        }))
    }
}
