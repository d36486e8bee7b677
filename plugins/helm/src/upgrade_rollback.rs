//! The rollback of `upgrade`: to the revision that was deployed before, or away with it if none was.

use crate::helm::{Helm, Hooks, Revision};
use crate::upgrade::{Prior, Upgrade, UpgradeInput, Upgraded, prior};
use crate::wait::{Looked, Waiting};
use serde::{Deserialize, Serialize};
use serde_json::json;
use windlass_sdk::{Context, Ended, Event, Failure, Outcome, Rollback, suspend};

/// The checkpoint of the revision that is rolled back, recorded before it is.
const ROLLED_BACK: &str = "rolled-back-revision";

/// Whose the last revision is.
pub(crate) enum Standing<'a> {
    /// Nothing has happened since before the step.
    Untouched,
    /// The step made it, or was cut off while making it.
    Ours(&'a Revision),
    /// A rollback of the step made it.
    RolledBack(&'a Revision),
    /// Somebody else made it.
    Changed(&'a Revision),
}

/// Tells whose the last revision is, if `own` are the keys of what the step has begun.
pub(crate) fn standing<'a>(
    helm: &Helm,
    history: &'a [Revision],
    prior: &Prior,
    own: &[String],
) -> Result<Standing<'a>, Failure> {
    let Some(last) = history.last().filter(|last| last.revision != prior.last) else {
        return Ok(Standing::Untouched);
    };
    if last.is_marked_by_any(own) {
        return Ok(Standing::Ours(last));
    }
    let rolled_back: Option<u64> = helm.ctx().recorded(ROLLED_BACK)?;
    let follows = rolled_back.is_some_and(|revision| last.revision == revision + 1);
    if follows && prior.revision.is_some_and(|revision| last.goes_back_to(revision)) {
        return Ok(Standing::RolledBack(last));
    }
    // helm gives a revision its description at the very end; until then, and when it failed, there is only the label.
    let interrupted = |revision: &Revision| revision.status.starts_with("pending-");
    let frees_an_interrupted_one = || history.iter().any(|it| interrupted(it) && last.goes_back_to(it.revision));
    let may_be_ours = interrupted(last) || last.status == "failed" || frees_an_interrupted_one();
    if may_be_ours && last.revision > prior.last && helm.is_labelled(own)? {
        return Ok(Standing::Ours(last));
    }
    Ok(Standing::Changed(last))
}

/// What the rollback waits with.
#[derive(Serialize, Deserialize)]
pub(crate) struct RollingBack {
    to: u64,
    waiting: Waiting,
}

impl Rollback for Upgrade {
    type RollbackState = RollingBack;

    fn rollback(ctx: &Context, input: UpgradeInput, _: Option<Upgraded>) -> Ended<RollingBack> {
        let helm = Helm::connect(ctx, &input.release, input.namespace.as_ref())?;
        let Some(prior) = prior(ctx)? else {
            return Ok(nothing_to_do(ctx, &helm));
        };
        let history = helm.history()?;
        if history.is_empty()
            || (prior.revision.is_none() && history.last().is_some_and(|it| it.status == "uninstalled"))
        {
            return Ok(nothing_to_do(ctx, &helm));
        }
        let own = helm.own_keys();
        let is_ours = |it: &Revision| it.is_marked_by_any(&own);
        let standing = match standing(&helm, &history, &prior, &own)? {
            // What came later has gone back to what the step made.
            Standing::Changed(last) if history.iter().any(|it| is_ours(it) && last.goes_back_to(it.revision)) => {
                Standing::Ours(last)
            }
            other => other,
        };
        match (standing, prior.revision) {
            (Standing::Untouched, _) => Ok(nothing_to_do(ctx, &helm)),
            // What came later has gone back as far as this would.
            (Standing::Changed(last), Some(to)) if last.goes_back_to(to) && last.status == "deployed" => {
                Ok(wait(ctx, &helm, &input, to))
            }
            (Standing::Changed(last), _) => Err(changed_since(&helm, last)),
            (Standing::Ours(last), None) => {
                ctx.log().info(format!("nothing was deployed before revision {}: uninstalling", last.revision));
                helm.uninstall(prior.last > 0, input.hook_timeout())?;
                Ok(Outcome::done(json!({ "uninstalled": true, "revision": last.revision })))
            }
            (Standing::Ours(last), Some(to)) => {
                ctx.checkpoint(ROLLED_BACK, || Ok(last.revision))?;
                ctx.log().info(format!("rolling {} back from revision {} to {to}", helm.place(), last.revision));
                helm.roll_back(to, Hooks::Within(input.hook_timeout()))?;
                Ok(wait(ctx, &helm, &input, to))
            }
            (Standing::RolledBack(last), Some(to)) => {
                helm.check_lock(Some(last))?;
                Ok(wait(ctx, &helm, &input, to))
            }
            (Standing::RolledBack(last), None) => Err(changed_since(&helm, last)),
        }
    }

    fn resume_rollback(
        ctx: &Context,
        input: UpgradeInput,
        _: Option<Upgraded>,
        state: RollingBack,
        _: Event,
    ) -> Ended<RollingBack> {
        let helm = Helm::connect(ctx, &input.release, input.namespace.as_ref())?;
        let to = state.to;
        let looked = state.waiting.look(&helm, input.pace(), |release| {
            if release.info.description == format!("Rollback to {to}") {
                return Ok(());
            }
            let message = format!(
                "revision {} of {} is no rollback to {to}: it says `{}`",
                release.version,
                helm.place(),
                release.info.description
            );
            Err(Failure::conflict("changed-since", message).pause())
        })?;
        match looked {
            Looked::Later(waiting, wait, status) => {
                Ok(suspend(RollingBack { to, waiting }).after(wait).status(format!("rolling back: {status}")))
            }
            Looked::Ready(release, workloads) => {
                ctx.log().info(format!("{} is back at what revision {to} was", helm.place()));
                Ok(Outcome::done(json!({
                    "rolled_back_to": to, "revision": release.version, "status": release.info.status, "workloads": workloads,
                })))
            }
        }
    }
}

fn wait(ctx: &Context, helm: &Helm, input: &UpgradeInput, to: u64) -> Outcome<serde_json::Value, RollingBack> {
    let waiting = Waiting::begin(ctx, input.pace());
    suspend(RollingBack { to, waiting })
        .after(Waiting::first_look(input.pace()))
        .status(format!("rolled {} back to revision {to}, waiting for its workloads", helm.place()))
}

fn nothing_to_do(ctx: &Context, helm: &Helm) -> Outcome<serde_json::Value, RollingBack> {
    ctx.log().info(format!("the step has left nothing on {} to roll back", helm.place()));
    Outcome::done(json!({ "rolled_back_to": null }))
}

fn changed_since(helm: &Helm, last: &Revision) -> Failure {
    let message = format!(
        "{} was changed since: its revision {} (`{}`, {}) is not what this step made, so it is left as it is",
        helm.place(),
        last.revision,
        last.description,
        last.updated
    );
    Failure::conflict("changed-since", message).detail("revision", last.revision).pause()
}
