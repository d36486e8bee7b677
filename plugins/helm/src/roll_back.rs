//! `rollback`: takes a release to an earlier revision, and waits until its workloads are ready.

use crate::helm::{Helm, Hooks, Revision, cluster_role, tool};
use crate::readiness::Workload;
use crate::target::{Namespace, ReleaseName};
use crate::upgrade::{CALL_MAX, hooks_within};
use crate::wait::{Looked, Pace, Waiting, default_hook_timeout, default_poll_interval, default_timeout};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use windlass_sdk::{
    Action, Answer, Cancel, Context, Effect, Ended, Event, Failure, Find, Found, HumanDuration, Limits, Outcome, Role,
    Tool, suspend,
};

/// What holds what is rolled back to what, of each piece of work.
const INTENT: &str = "rollback";

/// Rolls a release back.
pub(crate) struct RollBack;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RollBackInput {
    /// Name of the release.
    release: ReleaseName,
    /// Its namespace; else the connection's property `namespace`, else `default`.
    #[serde(default)]
    namespace: Option<Namespace>,
    /// The revision to go back to; the last that was deployed before this one if not said.
    #[serde(default)]
    #[schemars(range(min = 1))]
    revision: Option<u64>,
    /// How long the workloads may take to be ready.
    #[serde(default = "default_timeout")]
    timeout: HumanDuration,
    /// How long each of the chart's hooks may take, at most 9 minutes: helm runs them in the foreground, so the operator
    /// has to give the tool `helm` as much time.
    #[serde(default = "default_hook_timeout")]
    hook_timeout: HumanDuration,
    /// How often to look at the workloads; less often, up to 10 s, while nothing changes.
    #[serde(default = "default_poll_interval")]
    poll_interval: HumanDuration,
}

impl RollBackInput {
    fn pace(&self) -> Pace {
        Pace { timeout: self.timeout, interval: self.poll_interval }
    }
}

/// A release that is at an earlier revision's state again.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RolledBack {
    /// Name of the release.
    release: String,
    /// Its namespace.
    namespace: String,
    /// The revision that the rollback made.
    revision: u64,
    /// The revision that it went away from.
    from_revision: u64,
    /// The revision whose state it has.
    to_revision: u64,
    /// helm's status of the revision.
    status: String,
    /// Its workloads.
    workloads: Vec<Workload>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    from: u64,
    to: u64,
}

/// What the wait carries.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RollingBack {
    intent: Intent,
    waiting: Waiting,
}

impl Action for RollBack {
    const NAME: &'static str = "rollback";
    const DESCRIPTION: &'static str =
        "Takes a release back to an earlier revision and waits until its workloads are ready.";
    const EFFECT: Effect = Effect::Write;

    type Input = RollBackInput;
    type Output = RolledBack;
    type State = RollingBack;

    fn connections() -> Vec<Role> {
        vec![cluster_role()]
    }

    fn tools() -> Vec<Tool> {
        vec![tool(&["rollback", "status", "history"])]
    }

    fn limits() -> Limits {
        Limits::default().wall(CALL_MAX)
    }

    fn start(ctx: &Context, input: RollBackInput) -> Answer<Self> {
        let helm = Helm::connect(ctx, &input.release, input.namespace.as_ref())?;
        let history = helm.history()?;
        let Some(last) = history.last() else {
            let message = format!("there is no release {}", helm.place());
            return Err(Failure::not_found("release-not-found", message));
        };
        if let Some(intent) = intent(ctx)?
            && is_done(last, intent)
        {
            ctx.log().info(format!("revision {} is what an earlier attempt of this step made", last.revision));
            return Ok(wait(ctx, &helm, &input, intent));
        }
        helm.check_lock(Some(last))?;
        let to = match input.revision {
            Some(to) => to,
            None => target(ctx, &helm, &history, last)?,
        };
        if ctx.dry_run() {
            ctx.log().info(format!("would roll {} back from revision {} to {to}", helm.place(), last.revision));
            return Ok(Outcome::done(RolledBack {
                release: helm.release.to_string(),
                namespace: helm.namespace.to_string(),
                revision: last.revision + 1,
                from_revision: last.revision,
                to_revision: to,
                status: "dry-run".to_owned(),
                workloads: Vec::new(),
            }));
        }
        let intent = ctx.once(INTENT, || Ok(Intent { from: last.revision, to }))?;
        ctx.log().info(format!("rolling {} back from revision {} to {}", helm.place(), last.revision, intent.to));
        helm.roll_back(intent.to, Hooks::Within(hooks_within(input.hook_timeout)))?;
        Ok(wait(ctx, &helm, &input, intent))
    }

    fn resume(ctx: &Context, input: RollBackInput, state: RollingBack, _: Event) -> Answer<Self> {
        let helm = Helm::connect(ctx, &input.release, input.namespace.as_ref())?;
        let intent = state.intent;
        let looked = state.waiting.look(&helm, input.pace(), |release| {
            let description = &release.info.description;
            if description == &format!("Rollback to {}", intent.to) {
                return Ok(());
            }
            let message = format!(
                "revision {} of {} is no rollback to {}: it says `{description}`",
                release.version,
                helm.place(),
                intent.to
            );
            Err(match release.info.status.as_str() {
                "failed" => Failure::rejected("rollback-failed", message),
                _ => Failure::conflict("superseded", message).never(),
            })
        })?;
        match looked {
            Looked::Later(waiting, wait, status) => {
                Ok(suspend(RollingBack { intent, waiting }).after(wait).status(status))
            }
            Looked::Ready(release, workloads) => Ok(Outcome::done(RolledBack {
                release: helm.release.to_string(),
                namespace: helm.namespace.to_string(),
                revision: release.version,
                from_revision: intent.from,
                to_revision: intent.to,
                status: release.info.status,
                workloads,
            })),
        }
    }
}

impl Find for RollBack {
    fn find(ctx: &Context, input: RollBackInput) -> Found<Self> {
        let helm = Helm::connect(ctx, &input.release, input.namespace.as_ref())?;
        let Some(intent) = intent(ctx)? else {
            return Ok(None);
        };
        let history = helm.history()?;
        match history.last() {
            Some(last) if is_done(last, intent) => Ok(Some(wait(ctx, &helm, &input, intent))),
            Some(last) if last.revision > intent.from => {
                helm.check_lock(Some(last)).map_err(Failure::pause)?;
                let message = format!(
                    "revision {} of {} came after {} and is no rollback to {}: it says `{}`",
                    last.revision,
                    helm.place(),
                    intent.from,
                    intent.to,
                    last.description
                );
                Err(Failure::conflict("superseded", message).pause())
            }
            _ => Ok(None),
        }
    }
}

impl Cancel for RollBack {
    type CancelState = ();

    /// helm has no way to stop halfway. No call of it runs when this does, so what it left can be told for certain.
    fn cancel(ctx: &Context, input: RollBackInput, _: Option<RollingBack>) -> Ended<()> {
        let helm = Helm::connect(ctx, &input.release, input.namespace.as_ref())?;
        let last = helm.history()?.pop();
        Ok(Outcome::done(match (intent(ctx)?, last) {
            (Some(intent), Some(last)) if last.revision > intent.from => json!({
                "left": "the rollback stays as it is", "revision": last.revision, "status": last.status,
                "description": last.description,
            }),
            _ => json!({ "left": "nothing was written" }),
        }))
    }
}

/// What the last piece of work was about to do.
fn intent(ctx: &Context) -> Result<Option<Intent>, Failure> {
    Ok(ctx.starts().pop().map(|it| it.recorded(INTENT)).transpose()?.flatten())
}

/// The revision to go back to where the input names none. When the step is tried again, or run again, and nobody did
/// anything in between, it is the one of before: "the last that was deployed" is then the one that the step went away from.
fn target(ctx: &Context, helm: &Helm, history: &[Revision], last: &Revision) -> Result<u64, Failure> {
    for started in ctx.starts().iter().rev() {
        if let Some(Intent { from, to }) = started.recorded(INTENT)? {
            let mut since = history.iter().filter(|it| it.revision > from);
            if since.all(|it| it.status == "failed" || it.goes_back_to(to)) {
                return Ok(to);
            }
            break;
        }
    }
    earlier(history, last).ok_or_else(|| {
        let message = format!("no revision of {} before {} was ever deployed", helm.place(), last.revision);
        Failure::not_found("revision-not-found", message).never()
    })
}

fn is_done(last: &Revision, intent: Intent) -> bool {
    last.revision == intent.from + 1 && last.goes_back_to(intent.to) && last.status == "deployed"
}

/// The newest revision before the last that was deployed once.
fn earlier(history: &[Revision], last: &Revision) -> Option<u64> {
    let before = history.iter().rev().filter(|revision| revision.revision < last.revision);
    before
        .filter(|revision| revision.status == "superseded" || revision.status == "deployed")
        .map(|revision| revision.revision)
        .next()
}

fn wait(ctx: &Context, helm: &Helm, input: &RollBackInput, intent: Intent) -> Outcome<RolledBack, RollingBack> {
    let waiting = Waiting::begin(ctx, input.pace());
    suspend(RollingBack { intent, waiting })
        .after(Waiting::first_look(input.pace()))
        .status(format!("waiting for the workloads of {}", helm.place()))
}
