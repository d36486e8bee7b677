//! Dry runs: when the host ends a step in its plugin's place, and what stands for its output then.
//!
//! The sandbox has stopped what would have written; here is only what follows from that. A plugin whose request was
//! stopped usually fails of it, and one that waits would wait for what was never begun: both are ended here, and the
//! release goes on with what the step gave in the newest release in which it succeeded, or else with an example of its
//! output's schema. Either is marked as such.

use std::sync::Arc;

use serde_json::{Map, Value};
use windlass_engine::{CallResult, DryOrder, Release, StepState};
use windlass_model::digest::Digest;
use windlass_model::dry_run::{DryRun, Origin, Would};
use windlass_model::example::example;
use windlass_model::failure::{FailureClass, StepError};
use windlass_model::grant::{Denial, Missing};
use windlass_model::name::{ReleaseId, StepName};
use windlass_model::plan::Plan;
use windlass_model::workflow::Uses;
use windlass_sandbox::{CallOutcome, CallReport, Plugin};

use crate::runtime::Inner;
use crate::topic::redacted;

/// How many releases are looked at for what a step once gave.
const LOOKED_AT_MAX: u64 = 20;

/// What an end of a call means in a dry run.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// The plugin gave an output.
    Done(Value),
    /// The host ends the step; why, where the list of what was stopped does not say it.
    Ended(Option<String>),
    /// It failed for a reason that is real.
    Failed(StepError),
}

/// Judges how a call ended in a dry run. `was_stopped`: whether anything of it was stopped; `reads_made_up`: whether its
/// input holds what stands for another step's output.
pub fn judge(
    result: Result<CallOutcome, StepError>,
    was_stopped: bool,
    denials: &[Denial],
    reads_made_up: bool,
) -> Verdict {
    // What is not granted would not be in a real run either.
    let is_refused = denials.iter().any(|it| it.missing != Missing::DryRun);
    match result {
        Ok(CallOutcome::Done(output)) => Verdict::Done(output),
        Ok(CallOutcome::Suspended { status, .. }) => Verdict::Ended(Some(format!("it would wait: {status}"))),
        Ok(CallOutcome::NotFound) => Verdict::Ended(Some("it looked for its effect, and there is none".to_owned())),
        Err(error) if was_stopped && !is_refused => {
            let follows_at_once = error.details.iter().any(|(name, _)| name == "remedy");
            Verdict::Ended((!follows_at_once).then(|| format!("after that it failed: {error}")))
        }
        Err(error) if reads_made_up && may_come_of_values(error.class) && !is_refused => {
            Verdict::Ended(Some(format!("it failed, with values that are made up: {error}")))
        }
        Err(error) => Verdict::Failed(error),
    }
}

/// Whether a failure can come of what the input holds; how a system is, and whether it lets one in, cannot.
fn may_come_of_values(class: FailureClass) -> bool {
    match class {
        FailureClass::NotFound
        | FailureClass::Conflict
        | FailureClass::Invalid
        | FailureClass::Rejected
        | FailureClass::Canceled
        | FailureClass::Forbidden
        | FailureClass::Internal => true,
        FailureClass::Transient
        | FailureClass::RateLimited
        | FailureClass::TimedOut
        | FailureClass::Unauthenticated => false,
    }
}

/// What a step's output has to be, and an example of it.
pub(crate) enum Shape {
    /// An action's.
    Action(Arc<Plugin>, String),
    /// That of releases of a plan.
    Plan(Arc<Plan>),
}

impl Shape {
    fn accepts(&self, output: &Value) -> bool {
        match self {
            Self::Action(plugin, action) => plugin.output_problems(action, output).is_none(),
            Self::Plan(plan) => {
                let workflow = plan.workflow();
                let is_good = |name: &String| {
                    let declared = workflow.output_types.get(name);
                    output.get(name).is_some_and(|it| declared.is_none_or(|declared| declared.problems(it).is_empty()))
                };
                workflow.outputs.keys().all(is_good)
            }
        }
    }

    fn example(&self) -> Value {
        match self {
            Self::Action(plugin, action) => {
                let action = plugin.manifest().actions.get(action.as_str());
                action.and_then(|it| example(&it.output)).unwrap_or_default()
            }
            Self::Plan(plan) => {
                let workflow = plan.workflow();
                let value = |name: &String| workflow.output_types.get(name).and_then(|it| example(&it.schema));
                let outputs = workflow.outputs.keys();
                Value::Object(outputs.map(|it| (it.clone(), value(it).unwrap_or_default())).collect::<Map<_, _>>())
            }
        }
    }
}

/// Said of an output that stands for one that would differ.
const OTHER_INPUT: &str = "its output was given for another input";

/// Which step of which release something stands in for.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) release: ReleaseId,
    pub(crate) step: StepName,
    pub(crate) uses: Uses,
    pub(crate) input: Arc<Value>,
}

/// What the call of a component came to in a dry run.
pub(crate) async fn settle(
    inner: &Arc<Inner>,
    place: Place,
    shape: Shape,
    order: &DryOrder,
    report: CallReport,
) -> Result<CallResult, StepError> {
    let CallReport { result, denials, would, omitted, .. } = report;
    let would: Vec<Would> =
        would.into_iter().map(|it| Would { what: redacted(it.what), body: redacted(it.body), ..it }).collect();
    match judge(result, !would.is_empty(), &denials, order.reads_made_up) {
        Verdict::Done(output) if would.is_empty() => Ok(CallResult::Done(output)),
        Verdict::Done(output) => {
            let dry_run = DryRun { would, omitted, origin: Origin::Plugin, note: None };
            Ok(CallResult::WouldDo { output, dry_run: Box::new(dry_run) })
        }
        Verdict::Ended(note) => Ok(stand_in(inner, place, shape, would, omitted, note.map(redacted)).await),
        Verdict::Failed(mut error) => {
            error.details.extend(would.into_iter().map(|it| ("would".to_owned(), it.what)));
            Err(error)
        }
    }
}

/// Ends a step in its plugin's place.
pub(crate) async fn stand_in(
    inner: &Arc<Inner>,
    place: Place,
    shape: Shape,
    would: Vec<Would>,
    omitted: u64,
    note: Option<String>,
) -> CallResult {
    let inner = inner.clone();
    let found = tokio::task::spawn_blocking(move || match inner.given_before(&place, &shape) {
        Some(given) => (given.output, Origin::Release(given.release), !given.same_input),
        None => (shape.example(), Origin::Schema, false),
    });
    // It panics only where the store does; an output of nothing is as made up as any.
    let (output, origin, other_input) = found.await.unwrap_or((Value::Null, Origin::Schema, false));
    let note = note.into_iter().chain(other_input.then(|| OTHER_INPUT.to_owned())).reduce(|a, b| format!("{a}; {b}"));
    CallResult::WouldDo { output, dry_run: Box::new(DryRun { would, omitted, origin, note }) }
}

impl Inner {
    /// What the step gave for the same input in the newest release of the workflow in which it succeeded, or for another,
    /// if that still fits.
    fn given_before(&self, place: &Place, shape: &Shape) -> Option<Given> {
        let mut for_another = None;
        let workflow = place.release.workflow();
        let newest = place.release.number();
        for number in (newest.saturating_sub(LOOKED_AT_MAX)..newest).rev() {
            let id = ReleaseId::new(workflow.clone(), number);
            let is_real = |it: &windlass_store::Outline| !it.rehearsal && !it.dry_run;
            if !self.store.outline(&id).ok().flatten().as_ref().is_some_and(is_real) {
                continue;
            }
            let Ok(release) = self.replay(&id) else { continue };
            match given(&release, place).filter(|it| shape.accepts(&it.output)) {
                Some(given) if given.same_input => return Some(given),
                given => for_another = for_another.or(given),
            }
        }
        for_another
    }

    /// The plan that a step runs, for what its releases give.
    pub(crate) fn shape_of_plan(&self, digest: Digest) -> Result<Shape, StepError> {
        let missing = |why: String| StepError::host(FailureClass::Internal, "plan-missing", why);
        let plan = self.plan(digest).map_err(|error| missing(error.to_string()))?;
        plan.map(Shape::Plan).ok_or_else(|| missing(format!("plan {digest} is not in the store")))
    }
}

/// What a step gave in a release.
struct Given {
    release: ReleaseId,
    output: Value,
    same_input: bool,
}

/// What a step of this name that runs the same gave in a release, if it succeeded there.
fn given(release: &Release, place: &Place) -> Option<Given> {
    // Another release may have had fewer items.
    let first_item = place.step.item().map(|_| place.step.of_item(1));
    let index = release.index_of(&place.step).or_else(|| release.index_of(&first_item?))?;
    let run = release.step(index);
    let is_same = match (&release.definition(index).uses, &place.uses) {
        (Uses::Action(here), Uses::Action(there)) => here.plugin == there.plugin && here.action == there.action,
        (here, there) => here == there,
    };
    let output = run.output.as_deref().filter(|_| is_same && run.state == StepState::Succeeded)?.clone();
    let same_input = run.input.as_deref() == Some(&*place.input);
    Some(Given { release: release.id().clone(), output, same_input })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn failed(class: FailureClass) -> StepError {
        StepError::host(class, "code", "why")
    }

    fn denial(missing: Missing) -> Denial {
        Denial { asked: "POST https://ci/x".to_owned(), missing, remedy: "r".to_owned() }
    }

    #[test]
    fn what_is_real_fails_and_what_comes_of_the_dry_run_does_not() {
        let (dry, real) = ([denial(Missing::DryRun)], [denial(Missing::DryRun), denial(Missing::Manifest)]);
        let not_found = || Err(failed(FailureClass::NotFound));
        assert_eq!(judge(Ok(CallOutcome::Done(json!(1))), true, &dry, false), Verdict::Done(json!(1)));
        let waits = CallOutcome::Suspended { state: vec![], wakes: vec![], status: "in the queue".to_owned() };
        assert_eq!(judge(Ok(waits), false, &[], false), Verdict::Ended(Some("it would wait: in the queue".to_owned())));
        let mut at_once = failed(FailureClass::Forbidden);
        at_once.details.push(("remedy".to_owned(), "r".to_owned()));
        assert_eq!(judge(Err(at_once), true, &dry, false), Verdict::Ended(None));
        let later = "after that it failed: code (not_found): why".to_owned();
        assert_eq!(judge(not_found(), true, &dry, false), Verdict::Ended(Some(later)));
        // Not granted is not granted, whatever else was stopped or made up.
        assert!(matches!(judge(not_found(), true, &real, true), Verdict::Failed(_)));
        assert!(matches!(judge(not_found(), false, &real[1..], true), Verdict::Failed(_)));
        // Nothing was stopped and nothing is made up.
        assert!(matches!(judge(not_found(), false, &[], false), Verdict::Failed(_)));
        assert!(matches!(judge(not_found(), false, &[], true), Verdict::Ended(Some(_))));
        for class in [FailureClass::Unauthenticated, FailureClass::Transient, FailureClass::TimedOut] {
            assert!(matches!(judge(Err(failed(class)), false, &[], true), Verdict::Failed(_)), "{class}");
        }
    }
}
