//! `upgrade`: installs or upgrades a release once, and waits until its workloads are ready.
//!
//! **Invariant:** what was there before is recorded before anything is written; a rollback needs nothing else.

use crate::changes::Changes;
use crate::chart::{Chart, ChartInput};
use crate::helm::{Helm, Hooks, Plan, Release, Revision, TOOL, cluster_role, deployed, mark, tool};
use crate::readiness::Workload;
use crate::target::{Namespace, ReleaseName};
use crate::upgrade_rollback::{Standing, standing};
use crate::wait::{Looked, Pace, Waiting, default_hook_timeout, default_poll_interval, default_timeout};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use windlass_sdk::{
    Action, Answer, Cancel, Context, Effect, Ended, Event, Failure, Find, Found, HumanDuration, Limits, Outcome, Role,
    Tool, suspend,
};

const LOG_LINES_MAX: usize = 400;
/// helm runs a chart's hooks in the foreground: the one thing that makes a call long.
pub(crate) const CALL_MAX: Duration = Duration::from_secs(600);
/// What is left of it for the other calls of helm.
const HOOKS_MAX: Duration = Duration::from_secs(540);
const MEMORY_BYTES: u64 = 256 * 1024 * 1024;

/// The checkpoint of what was there before.
const PRIOR: &str = "prior-revision";

/// Installs or upgrades a release.
pub(crate) struct Upgrade;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpgradeInput {
    /// Name of the release.
    pub(crate) release: ReleaseName,
    /// Its namespace; else the connection's property `namespace`, else `default`.
    #[serde(default)]
    pub(crate) namespace: Option<Namespace>,
    /// The chart: `oci://…`, `https://….tgz`, the absolute path of a folder on the machine that runs releases, or with
    /// `repository` a chart's name.
    #[serde(default)]
    chart: Option<String>,
    /// Address of the chart repository.
    #[serde(default)]
    repository: Option<String>,
    /// Version of the chart, or a range of versions.
    #[serde(default)]
    version: Option<String>,
    /// The chart itself, in place of `chart`: text by path, with `Chart.yaml`.
    #[serde(default)]
    chart_files: BTreeMap<String, String>,
    /// Values beside those of the chart.
    #[serde(default)]
    values: Map<String, Value>,
    /// Keeps the values of the deployed revision and adds these to them.
    #[serde(default)]
    reuse_values: bool,
    /// Creates the namespace if it is missing.
    #[serde(default)]
    create_namespace: bool,
    /// How long the workloads may take to be ready.
    #[serde(default = "default_timeout")]
    timeout: HumanDuration,
    /// How long each of the chart's hooks may take, at most 9 minutes: helm runs them in the foreground, so the operator
    /// has to give the tool `helm` as much time.
    #[serde(default = "default_hook_timeout")]
    hook_timeout: HumanDuration,
    /// How many revisions helm keeps; 10 if not said, 0 for all.
    #[serde(default)]
    history_max: Option<u32>,
    /// How often to look at the workloads; less often, up to 10 s, while nothing changes.
    #[serde(default = "default_poll_interval")]
    poll_interval: HumanDuration,
}

impl UpgradeInput {
    pub(crate) fn pace(&self) -> Pace {
        Pace { timeout: self.timeout, interval: self.poll_interval }
    }

    pub(crate) fn hook_timeout(&self) -> Duration {
        hooks_within(self.hook_timeout)
    }
}

/// A hook's time, bounded by what a call has.
pub(crate) fn hooks_within(timeout: HumanDuration) -> Duration {
    timeout.0.min(HOOKS_MAX)
}

/// A release whose workloads are ready.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Upgraded {
    /// Name of the release.
    pub(crate) release: String,
    /// Its namespace.
    pub(crate) namespace: String,
    /// The revision that was made.
    pub(crate) revision: u64,
    /// The revision that was deployed before; none if nothing was.
    pub(crate) prior_revision: Option<u64>,
    /// helm's status of the revision: `deployed`; `dry-run` if nothing was written.
    pub(crate) status: String,
    /// Name and version of the chart.
    pub(crate) chart: String,
    /// What the chart calls the version of its application.
    pub(crate) app_version: String,
    /// What changed, in a line.
    pub(crate) changes: String,
    /// Its workloads.
    pub(crate) workloads: Vec<Workload>,
}

/// What was there before the step wrote anything.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Prior {
    /// The deployed revision; none if nothing was deployed.
    pub(crate) revision: Option<u64>,
    /// The last revision of any status; 0 if there was none.
    pub(crate) last: u64,
}

impl Prior {
    /// What was there before the last revisions that this very step made, when it ran before and somebody has it run again:
    /// what is recorded does not outlive that.
    fn of(history: &[Revision], own: &[String]) -> Self {
        let made = history.iter().rev().take_while(|it| it.is_marked_by_any(own)).count();
        let others = &history[..history.len() - made];
        let was_deployed = |it: &&Revision| matches!(it.status.as_str(), "deployed" | "superseded");
        let before = if made == 0 { deployed(others) } else { others.iter().rev().find(was_deployed) };
        Self { revision: before.map(|it| it.revision), last: others.last().map_or(0, |it| it.revision) }
    }
}

/// What the wait for readiness carries.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Upgrading {
    waiting: Waiting,
    changes: String,
}

impl Action for Upgrade {
    const NAME: &'static str = "upgrade";
    const DESCRIPTION: &'static str =
        "Installs or upgrades a release, shows what changes first, and waits until its workloads are ready.";
    const EFFECT: Effect = Effect::Write;

    type Input = UpgradeInput;
    type Output = Upgraded;
    type State = Upgrading;

    fn connections() -> Vec<Role> {
        vec![cluster_role()]
    }

    fn tools() -> Vec<Tool> {
        vec![tool(&["upgrade", "status", "history", "get", "list", "rollback", "uninstall"])]
    }

    fn limits() -> Limits {
        Limits::default().wall(CALL_MAX).cpu(Duration::from_secs(30)).memory_bytes(MEMORY_BYTES).tool_calls(12)
    }

    fn start(ctx: &Context, input: UpgradeInput) -> Answer<Self> {
        let helm = Helm::connect(ctx, &input.release, input.namespace.as_ref())?;
        let chart = Chart::resolve(&ChartInput {
            chart: input.chart.as_deref(),
            repository: input.repository.as_deref(),
            version: input.version.as_deref(),
            chart_files: &input.chart_files,
        })?;
        let plan = Plan {
            chart: &chart,
            values: &input.values,
            reuse_values: input.reuse_values,
            create_namespace: input.create_namespace,
            history_max: input.history_max,
            hook_timeout: input.hook_timeout(),
        };
        let key = ctx.idempotency_key();
        let mut history = helm.history()?;
        if let Some(last) = history.last().filter(|last| last.status == "deployed" && last.is_marked(key)) {
            ctx.log().info(format!("revision {} is what an earlier attempt of this step made", last.revision));
            return Ok(wait(ctx, &helm, &input, "made by an earlier attempt".to_owned()));
        }
        if free_own_lock(&helm, history.last())? {
            history = helm.history()?;
        }
        helm.check_lock(history.last())?;

        let before = deployed(&history).map(|revision| revision.revision);
        let content = before.map(|revision| helm.content(revision)).transpose()?;
        let changes = Changes::between(content.as_ref(), &helm.render(&plan)?);
        show(ctx, &helm, before, &changes);
        if ctx.dry_run() {
            return Ok(Outcome::done(not_written(&helm, &history, before, &changes)));
        }

        let prior = ctx.checkpoint(PRIOR, || Ok(Prior::of(&history, &helm.own_keys())))?;
        let doing = match prior.revision {
            Some(_) => "upgrading",
            None => "installing",
        };
        ctx.progress().status(format!("{doing} {}", helm.place()));
        helm.upgrade(&plan, key)?;
        Ok(wait(ctx, &helm, &input, changes.summary()))
    }

    fn resume(ctx: &Context, input: UpgradeInput, state: Upgrading, _: Event) -> Answer<Self> {
        let helm = Helm::connect(ctx, &input.release, input.namespace.as_ref())?;
        let key = ctx.idempotency_key();
        match state.waiting.look(&helm, input.pace(), |release| check_own(&helm, release, key))? {
            Looked::Later(waiting, wait, status) => {
                Ok(suspend(Upgrading { waiting, changes: state.changes }).after(wait).status(status))
            }
            Looked::Ready(release, workloads) => {
                let listed = helm.history()?.into_iter().find(|revision| revision.revision == release.version);
                let (chart, app_version) = listed.map(|it| (it.chart, it.app_version)).unwrap_or_default();
                ctx.log().info(format!("revision {} of {} is ready", release.version, helm.place()));
                Ok(Outcome::done(Upgraded {
                    release: helm.release.to_string(),
                    namespace: helm.namespace.to_string(),
                    revision: release.version,
                    prior_revision: prior(ctx)?.and_then(|prior| prior.revision),
                    status: release.info.status,
                    chart,
                    app_version,
                    changes: state.changes,
                    workloads,
                }))
            }
        }
    }
}

impl Find for Upgrade {
    fn find(ctx: &Context, input: UpgradeInput) -> Found<Self> {
        let helm = Helm::connect(ctx, &input.release, input.namespace.as_ref())?;
        let Some(prior) = prior(ctx)? else {
            return Ok(None);
        };
        let history = helm.history()?;
        let found = || Ok(Some(wait(ctx, &helm, &input, "made by an earlier attempt".to_owned())));
        // What is looked for is this piece of work; an earlier one got an answer.
        let own = [ctx.idempotency_key().to_owned()];
        match standing(&helm, &history, &prior, &own)? {
            Standing::Untouched => Ok(None),
            // `start` frees it and goes on.
            Standing::Ours(last) if last.is_locked() => Ok(None),
            Standing::Ours(last) if last.is_marked_by_any(&own) || last.status == "failed" => found(),
            // Freed, but not upgraded yet.
            Standing::Ours(_) => Ok(None),
            Standing::RolledBack(last) | Standing::Changed(last) => {
                if history.iter().any(|it| it.is_marked_by_any(&own)) {
                    return Err(superseded(&helm, last.revision, &last.description).pause());
                }
                Ok(None)
            }
        }
    }
}

impl Cancel for Upgrade {
    type CancelState = ();

    /// helm has no way to stop halfway. No call of it runs when this does, so what it left can be told for certain.
    fn cancel(ctx: &Context, input: UpgradeInput, _: Option<Upgrading>) -> Ended<()> {
        let helm = Helm::connect(ctx, &input.release, input.namespace.as_ref())?;
        let left = match prior(ctx)? {
            None => json!({ "left": "nothing was written" }),
            Some(prior) => {
                let history = helm.history()?;
                match standing(&helm, &history, &prior, &helm.own_keys())? {
                    Standing::Untouched => json!({ "left": "nothing was written" }),
                    Standing::Ours(last) => json!({
                        "left": "the revision stays as it is; a rollback of the step takes it back",
                        "revision": last.revision, "status": last.status, "prior_revision": prior.revision,
                    }),
                    Standing::RolledBack(last) => json!({
                        "left": "the step was rolled back", "revision": last.revision, "status": last.status,
                    }),
                    Standing::Changed(last) => json!({
                        "left": "somebody else has changed the release since",
                        "revision": last.revision, "status": last.status, "description": last.description,
                    }),
                }
            }
        };
        ctx.log().info(format!("stopped waiting for {}: {}", helm.place(), left["left"].as_str().unwrap_or_default()));
        Ok(Outcome::done(left))
    }
}

/// What was there before, if the step got as far as to write.
pub(crate) fn prior(ctx: &Context) -> Result<Option<Prior>, Failure> {
    ctx.recorded(PRIOR)
}

fn wait(ctx: &Context, helm: &Helm, input: &UpgradeInput, changes: String) -> Outcome<Upgraded, Upgrading> {
    let waiting = Waiting::begin(ctx, input.pace());
    suspend(Upgrading { waiting, changes })
        .after(Waiting::first_look(input.pace()))
        .status(format!("waiting for the workloads of {}", helm.place()))
}

/// Frees a release that an attempt of this very step left in the middle: its host was killed, and helm with it. True if
/// it was so.
///
/// Going "back" to the interrupted revision applies what it was to apply and ends it; nothing is deleted, and the
/// upgrade that follows runs the chart's hooks as it should.
fn free_own_lock(helm: &Helm, last: Option<&Revision>) -> Result<bool, Failure> {
    let ctx = helm.ctx();
    let Some(last) = last.filter(|last| last.status.starts_with("pending-")) else {
        return Ok(false);
    };
    let Some(prior) = prior(ctx)? else {
        return Ok(false);
    };
    if ctx.dry_run() || last.revision <= prior.last || !helm.is_labelled(&helm.own_keys())? {
        return Ok(false);
    }
    ctx.log().warn(format!(
        "revision {} of {} is `{}`: an earlier attempt of this step was cut off in the middle; ending it before trying again",
        last.revision,
        helm.place(),
        last.status
    ));
    helm.roll_back(last.revision, Hooks::Skipped)?;
    Ok(true)
}

/// Refuses to wait for a revision of somebody else.
fn check_own(helm: &Helm, release: &Release, key: &str) -> Result<(), Failure> {
    let Release { version, info, .. } = release;
    if info.description == mark(key) {
        return Ok(());
    }
    if info.status == "failed" {
        let message = format!("revision {version} of {} failed: {}", helm.place(), info.description);
        return Err(Failure::rejected("upgrade-failed", message).detail("revision", version));
    }
    Err(superseded(helm, *version, &info.description))
}

fn superseded(helm: &Helm, revision: u64, description: &str) -> Failure {
    let message = format!(
        "somebody else has changed {} since: its revision {revision} says `{description}`, which is not this step's",
        helm.place()
    );
    Failure::conflict("superseded", message).detail("revision", revision).never()
}

/// The diff before apply, for the log.
fn show(ctx: &Context, helm: &Helm, before: Option<u64>, changes: &Changes) {
    let against = match before {
        Some(revision) => format!("against revision {revision}"),
        None => "a first installation".to_owned(),
    };
    ctx.log().info(format!("{}, {against}: {}", helm.place(), changes.summary()));
    let mut lines = changes.lines();
    for line in lines.by_ref().take(LOG_LINES_MAX) {
        ctx.log().field("tool", TOOL).field("part", "diff").info(line);
    }
    let left = lines.count();
    if left > 0 || changes.truncated {
        ctx.log().info(format!("… and more ({left} lines are not shown); `helm/diff` gives all of it"));
    }
}

fn not_written(helm: &Helm, history: &[Revision], before: Option<u64>, changes: &Changes) -> Upgraded {
    let last = history.last();
    Upgraded {
        release: helm.release.to_string(),
        namespace: helm.namespace.to_string(),
        revision: last.map_or(1, |last| last.revision + 1),
        prior_revision: before,
        status: "dry-run".to_owned(),
        chart: last.map(|last| last.chart.clone()).unwrap_or_default(),
        app_version: last.map(|last| last.app_version.clone()).unwrap_or_default(),
        changes: changes.summary(),
        workloads: Vec::new(),
    }
}
