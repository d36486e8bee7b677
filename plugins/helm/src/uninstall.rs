//! `uninstall`: a release and its resources go; that they are gone already is fine.

use crate::helm::{Helm, cluster_role, tool};
use crate::target::{Namespace, ReleaseName};
use crate::upgrade::{CALL_MAX, hooks_within};
use crate::wait::default_hook_timeout;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_sdk::{Action, Answer, Context, Effect, HumanDuration, Limits, Outcome, Role, Tool};

/// Uninstalls a release.
pub(crate) struct Uninstall;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UninstallInput {
    /// Name of the release.
    release: ReleaseName,
    /// Its namespace; else the connection's property `namespace`, else `default`.
    #[serde(default)]
    namespace: Option<Namespace>,
    /// Keeps the history, so that a rollback can bring the release back.
    #[serde(default)]
    keep_history: bool,
    /// How long each of the chart's hooks may take, at most 9 minutes: helm runs them in the foreground, so the operator
    /// has to give the tool `helm` as much time.
    #[serde(default = "default_hook_timeout")]
    hook_timeout: HumanDuration,
}

/// What was uninstalled.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Uninstalled {
    /// Name of the release.
    release: String,
    /// Its namespace.
    namespace: String,
    /// The revision that was there last; none if there was none.
    last_revision: Option<u64>,
    /// Whether this step uninstalled it; false if it was gone before the step began.
    uninstalled: bool,
}

/// The checkpoint of what was there before: an attempt whose answer was lost leaves nothing else to tell it by.
const BEFORE: &str = "before";

/// What was there before the step wrote anything.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Before {
    last_revision: Option<u64>,
    was_there: bool,
}

impl Action for Uninstall {
    const NAME: &'static str = "uninstall";
    const DESCRIPTION: &'static str = "Uninstalls a release, if it is there.";
    const EFFECT: Effect = Effect::IdempotentWrite;

    type Input = UninstallInput;
    type Output = Uninstalled;
    type State = ();

    fn connections() -> Vec<Role> {
        vec![cluster_role()]
    }

    fn tools() -> Vec<Tool> {
        vec![tool(&["uninstall", "history"])]
    }

    fn limits() -> Limits {
        Limits::default().wall(CALL_MAX)
    }

    fn start(ctx: &Context, input: UninstallInput) -> Answer<Self> {
        let helm = Helm::connect(ctx, &input.release, input.namespace.as_ref())?;
        let history = helm.history()?;
        let done = |Before { last_revision, was_there }: Before| {
            Ok(Outcome::done(Uninstalled {
                release: helm.release.to_string(),
                namespace: helm.namespace.to_string(),
                last_revision,
                uninstalled: was_there,
            }))
        };
        let last_revision = history.last().map(|last| last.revision);
        let Some(last) = history.last().filter(|last| last.status != "uninstalled" || !input.keep_history) else {
            if let Some(before) = ctx.recorded::<Before>(BEFORE)? {
                ctx.log().info(format!(
                    "{} is gone: an earlier attempt of this step was about to uninstall it",
                    helm.place()
                ));
                return done(before);
            }
            ctx.log().info(format!("{} is not installed", helm.place()));
            return done(Before { last_revision, was_there: false });
        };
        // One that was cut off while it was being uninstalled goes on where it was.
        if last.status != "uninstalling" {
            helm.check_lock(Some(last))?;
        }
        if ctx.dry_run() {
            ctx.log().info(format!("would uninstall {}, at revision {}", helm.place(), last.revision));
            return done(Before { last_revision, was_there: false });
        }
        let before = Before { last_revision, was_there: last.status != "uninstalled" };
        // What an earlier attempt saw may not be what is there now; only what is gone is told by it.
        ctx.checkpoint(BEFORE, || Ok(before.clone()))?;
        helm.uninstall(input.keep_history, hooks_within(input.hook_timeout))?;
        done(before)
    }
}
