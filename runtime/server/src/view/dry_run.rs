//! What a dry run shows: what would have been done, and what its values are worth.

use serde::{Deserialize, Serialize};
use windlass_engine::Release;
use windlass_model::dry_run::{DryRun, Origin, Would};
use windlass_model::event::Event;
use windlass_model::graph::StepIndex;
use windlass_model::time::Span;
use windlass_model::workflow::Gate;

/// What a dry run tells of a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DryStepView {
    /// What was stopped, in order: requests and tools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub would: Vec<Would>,
    /// How many more were stopped than are told.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u64,
    /// Whom it would ask and what it would wait for before it starts, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// Where its output comes from, if the plugin's read-only work did not give it: `plugin`, `schema`, or a release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_from: Option<String>,
    /// Whether its output may differ from what it would be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub made_up: bool,
    /// Why the step was ended in its plugin's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl DryStepView {
    pub(super) fn of(release: &Release, index: StepIndex) -> Option<Self> {
        if !release.is_dry_run() {
            return None;
        }
        let (definition, run) = (release.definition(index), release.step(index));
        let mut view = Self::default();
        // What requires a version says so where its turn would have come.
        for required in definition.requires.iter().filter(|_| run.began_at.is_some()) {
            view.left_out.push(match release.with_scope(|scope| required.resolve(scope)) {
                Ok(need) => format!("would wait until {need} is live"),
                Err(error) => {
                    format!("would wait for a version of {}, which cannot be told: {error}", required.service)
                }
            });
        }
        let Some(dry) = run.dry.as_deref() else { return Some(view).filter(|it| *it != Self::default()) };
        view.left_out.extend(dry.delay.map(would_wait));
        for (Gate::Approval(gate), question) in definition.gates.iter().zip(&dry.questions) {
            let who: Vec<String> = gate.from.iter().map(ToString::to_string).collect();
            view.left_out.push(would_ask(&format!("{} of {}", gate.min, who.join(" or ")), question));
        }
        view.made_up = dry.made_up;
        match (&dry.told, &dry.unknown) {
            (Some(DryRun { would, omitted, origin, note }), _) => {
                (view.would, view.omitted) = (would.clone(), *omitted);
                view.output_from = Some(from(origin));
                view.note.clone_from(note);
            }
            (None, Some(problem)) => view.note = Some(format!("its items are unknown: {problem}")),
            (None, None) => {}
        }
        Some(view)
    }
}

fn would_ask(whom: &str, question: &str) -> String {
    if question.is_empty() { format!("would ask {whom}") } else { format!("would ask {whom}: {question}") }
}

fn would_wait(delay: Span) -> String {
    format!("would wait {delay}")
}

fn from(origin: &Origin) -> String {
    match origin {
        Origin::Plugin => "plugin".to_owned(),
        Origin::Schema => "schema".to_owned(),
        Origin::Release(release) => release.to_string(),
    }
}

/// What a dry run leaves out as a whole, a sentence each.
pub(super) fn left_out(release: &Release) -> Vec<String> {
    let workflow = release.plan().workflow();
    let group = workflow.concurrency.as_ref().filter(|_| release.is_dry_run());
    let group = group.map(|it| match it.resolve(&release.created().parameters) {
        Ok(group) => format!("would take a place in group {}, and wait for one", group.name),
        Err(error) => error.to_string(),
    });
    group.into_iter().collect()
}

/// Tells an event that only dry runs have.
pub(super) fn tell(event: &Event) -> Option<String> {
    Some(match event {
        Event::GatesLeftOut { questions, delay, .. } => {
            let asked = questions.iter().map(|it| would_ask("for approval", it));
            let all: Vec<String> = delay.map(would_wait).into_iter().chain(asked).collect();
            format!("dry run: {}", all.join("; "))
        }
        Event::InputUnknown { problem, .. } => format!("dry run: an expression reads what is made up: {problem}"),
        Event::DryRunTold { dry_run, .. } => {
            let DryRun { would, omitted, origin, note } = &**dry_run;
            let mut all: Vec<String> = would.iter().map(|it| format!("would {}", it.what)).collect();
            if *omitted > 0 {
                all.push(format!("and {omitted} more"));
            }
            all.extend(note.clone());
            all.push(match origin {
                Origin::Plugin => "its output is the plugin's".to_owned(),
                Origin::Schema => "its output is made of its schema".to_owned(),
                Origin::Release(release) => format!("its output is that of {release}"),
            });
            format!("dry run: {}", all.join("; "))
        }
        _ => return None,
    })
}
