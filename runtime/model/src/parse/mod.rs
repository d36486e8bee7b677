//! Reading workflow files.
//!
//! A file goes through four hands: [`node`] (YAML with places), [`workflow`] and [`step`] (what the keys
//! say, as a [`draft`]), then [`crate::check`] (whether it makes sense), and last [`Parsed::workflow`].
//!
//! **Invariant:** no file makes any of them panic, and each reports all it finds.

mod concurrency;
mod draft;
mod fields;
mod for_each;
mod nested;
mod node;
mod output;
mod parameter;
mod phase;
mod rollback;
mod service;
mod step;
mod workflow;

use std::collections::BTreeMap;

use serde_json::Value;

pub(crate) use draft::{
    At, Draft, DraftConnections, DraftItems, DraftOutput, DraftStep, DraftTemplate, DraftUses, PlacedExpression,
};
pub(crate) use fields::one_of;
pub use nested::{FileProblems, Planned, WORKFLOW_DEPTH_MAX, files_used, resolve, validate_all};
pub use node::{DEPTH_MAX, NODES_MAX};
pub(crate) use node::{Kind, Node};
pub use parameter::{check_parameters, parameter_from_text};
pub(crate) use step::names_a_secret;

use crate::check::{self, Catalog};
use crate::name::StepName;
use crate::plan::Plan;
use crate::problem::{Place, Problem, Report, Source, has_errors};
use crate::template::Template;
use crate::time::Span;
use crate::workflow::{ActionRef, Connections, Gate, Parameter, Step, Uses, Workflow};

/// How many steps a workflow may have.
pub const STEPS_MAX: usize = 1000;

/// The longest timeout or delay: a year and a day.
pub const SPAN_MAX: Span = Span(366 * 86_400_000);

/// A workflow file without errors in itself; whether its plugins and connections exist is not known yet.
#[derive(Debug, Clone)]
pub struct Parsed {
    source: Source,
    draft: Draft,
    workflow: Workflow,
}

/// Where something stands in a YAML file of any kind: what `path` leads to, by names of fields and numbers of items, or the
/// innermost on the way there. A field of a list or a mapping is at its name, anything else at its value.
///
/// Of a text that is no YAML everything is at its beginning.
pub fn place_of(source: &Source, path: &[impl AsRef<str>]) -> Place {
    let mut report = Report::new(source);
    let extent = node::read(&mut report).map(|it| it.extent_of(path.iter().map(AsRef::as_ref)));
    source.place(extent.unwrap_or_default())
}

/// Reads a workflow file and checks all that can be checked without plugins.
///
/// There is a workflow when no problem is an error.
pub fn parse(source: &Source) -> (Option<Parsed>, Vec<Problem>) {
    let mut report = Report::new(source);
    let draft = read(&mut report);
    finish(report, draft, source)
}

/// Reads a workflow file and checks it against what is installed: all problems at once, those of the
/// file itself and those with plugins and connections.
pub fn validate(source: &Source, catalog: &dyn Catalog) -> (Option<(Parsed, Plan)>, Vec<Problem>) {
    let mut report = Report::new(source);
    let draft = read(&mut report);
    let pins = draft.as_ref().and_then(|it| check::against(it, catalog, &mut report));
    let (parsed, mut problems) = finish(report, draft, source);
    let plan = parsed.zip(pins).and_then(|(parsed, pins)| match Plan::new(parsed.workflow.clone(), pins) {
        Ok(plan) => Some((parsed, plan)),
        Err(error) => {
            problems.push(Problem::error("plan", error.to_string()));
            None
        }
    });
    (plan, problems)
}

pub(in crate::parse) fn read(report: &mut Report<'_>) -> Option<Draft> {
    let root = node::read(report)?;
    let draft = workflow::read(report, &root)?;
    check::alone(&draft, report);
    Some(draft)
}

pub(in crate::parse) fn finish(
    mut report: Report<'_>,
    draft: Option<Draft>,
    source: &Source,
) -> (Option<Parsed>, Vec<Problem>) {
    let mut parsed = None;
    if let Some(draft) = draft.filter(|_| !report.has_errors()) {
        match complete(&draft) {
            Some(workflow) => parsed = Some(Parsed { source: source.clone(), draft, workflow }),
            None => {
                report.error(Default::default(), "incomplete", "something in this file could not be read");
            }
        }
    }
    (parsed, report.finish())
}

impl Parsed {
    /// The workflow.
    pub fn workflow(&self) -> &Workflow {
        &self.workflow
    }

    /// What a step is for, as its author described it.
    pub fn step_description(&self, step: &StepName) -> Option<&str> {
        self.draft.step(step.as_str())?.description.as_deref()
    }

    /// The file it was read from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Checks it against what is installed, and pins what it will use.
    pub fn plan(&self, catalog: &dyn Catalog) -> Result<Plan, Vec<Problem>> {
        let (plan, problems) = self.check_against(catalog);
        plan.ok_or(problems)
    }

    /// The same, with warnings too when there is a plan.
    pub fn check_against(&self, catalog: &dyn Catalog) -> (Option<Plan>, Vec<Problem>) {
        let mut report = Report::new(&self.source);
        let pins = check::against(&self.draft, catalog, &mut report);
        let mut problems = report.finish();
        let pins = pins.filter(|_| !has_errors(&problems));
        let plan = pins.and_then(|pins| match Plan::new(self.workflow.clone(), pins) {
            Ok(plan) => Some(plan),
            Err(error) => {
                problems.push(Problem::error("plan", error.to_string()));
                None
            }
        });
        (plan, problems)
    }
}

/// The workflow of a draft in which nothing is wrong.
fn complete(draft: &Draft) -> Option<Workflow> {
    Some(Workflow {
        name: draft.name.clone()?,
        description: draft.description.clone(),
        parameters: draft
            .parameters
            .iter()
            .map(|it| {
                let parameter = Parameter {
                    schema: it.schema.clone(),
                    default: it.default.clone(),
                    description: it.description.clone(),
                };
                (it.name.value.clone(), parameter)
            })
            .collect(),
        phases: draft.phases.iter().map(|it| it.value.clone()).collect(),
        phase_rules: draft.phase_rules.clone(),
        deadline: draft.deadline,
        rollback: draft.rollback.clone(),
        steps: draft.steps.iter().map(complete_step).collect::<Option<_>>()?,
        outputs: draft.outputs.iter().map(|it| (it.name.value.clone(), it.value.template.clone())).collect(),
        output_types: draft
            .outputs
            .iter()
            .filter_map(|it| Some((it.name.value.clone(), it.declared.clone()?)))
            .collect(),
        concurrency: draft.concurrency.as_ref().map(concurrency::complete),
        tenant: draft.tenant.clone(),
    })
}

fn complete_step(step: &DraftStep) -> Option<Step> {
    let uses = match (&step.uses, &step.uses_file) {
        (Some(uses), _) => Uses::Action(ActionRef {
            plugin: uses.plugin.value.clone(),
            action: uses.action.value.clone(),
            version: uses.version.value.clone(),
        }),
        // What it is called is known once the file was read; a workflow by itself goes by the file's name.
        (None, Some(file)) => {
            let stem = file.value.rsplit('/').next().and_then(|it| it.split('.').next()).unwrap_or_default();
            let workflow = step.uses_workflow.clone().or_else(|| stem.parse().ok());
            Uses::Workflow { file: file.value.clone(), workflow: workflow.or_else(|| "workflow".parse().ok())? }
        }
        (None, None) => return None,
    };
    Some(Step {
        name: step.name.value.parse().ok()?,
        phase: step.phase.as_ref().map(|it| it.value.parse()).transpose().ok()?,
        needs: step.needs.iter().map(|it| it.value.parse().ok()).collect::<Option<_>>()?,
        uses,
        connections: match &step.connections {
            DraftConnections::Unbound => Connections::Unbound,
            DraftConnections::Only(it) => Connections::Only(it.value.clone()),
            DraftConnections::ByRole(it) => {
                let by_role: BTreeMap<_, _> =
                    it.iter().map(|(role, it)| (role.value.clone(), it.value.clone())).collect();
                Connections::ByRole(by_role)
            }
            DraftConnections::Unreadable => return None,
        },
        with: match &step.with {
            Some(it) => it.template.clone(),
            None => Template::Plain(Value::Object(serde_json::Map::new())),
        },
        for_each: step.for_each.as_ref().map(for_each::complete),
        when: step.when.as_ref().map(|it| it.expression.clone()),
        retry: step.retry.clone(),
        timeout: step.timeout,
        delay: step.delay,
        gates: step.gates.iter().map(|it| Gate::Approval(it.gate.clone())).collect(),
        on_failure: step.on_failure,
        rollback: step.rollback,
        mandatory: step.mandatory,
        pivot: step.pivot,
        rollback_after: step.rollback_after.iter().map(|it| it.value.parse().ok()).collect::<Option<_>>()?,
        requires: step.requires.iter().map(|it| it.requires()).collect(),
        delivers: step.delivers.as_ref().map(|it| it.delivers()),
        finally: step.finally,
    })
}
