//! A workflow with everything it will use pinned: what the first event of a release records.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::expression::Expression;
use crate::graph::{Graph, StepIndex};
use crate::manifest::Effect;
use crate::name::{ConnectionName, RoleName, StepName};
use crate::template::Template;
use crate::workflow::{Gate, Step, Workflow};

/// A workflow and its pins. Once a release has one it never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "PlanDocument", into = "PlanDocument")]
pub struct Plan {
    workflow: Workflow,
    pins: Vec<Pin>,
    graph: Graph,
    index: BTreeMap<StepName, StepIndex>,
    delivering: Vec<StepIndex>,
    beyond_rehearsal: BTreeSet<StepIndex>,
    promises: bool,
}

/// What one step will use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// What is called.
    #[serde(flatten)]
    pub runs: Runs,
    /// The plugin's version, for people; of a workflow 0.0.0.
    pub version: semver::Version,
    /// What repeating the action would do.
    pub effect: Effect,
    /// Whether the action implements `cancel`.
    pub cancel: bool,
    /// Whether the action implements `rollback`.
    pub rollback: bool,
    /// Whether the action implements `find`.
    pub find: bool,
    /// Which connection each role is bound to.
    pub connections: BTreeMap<RoleName, ConnectionName>,
}

/// What a step calls, by digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runs {
    /// A component.
    Component(Digest),
    /// Releases of another plan.
    Plan(Digest),
}

impl Runs {
    /// Of whatever it is.
    pub fn digest(self) -> Digest {
        match self {
            Self::Component(it) | Self::Plan(it) => it,
        }
    }
}

impl Pin {
    /// What a step that runs a workflow will use. Beginning, stopping and rolling back a release can be repeated.
    pub fn of_workflow(plan: Digest) -> Self {
        Self {
            runs: Runs::Plan(plan),
            version: semver::Version::new(0, 0, 0),
            effect: Effect::IdempotentWrite,
            cancel: true,
            rollback: true,
            find: false,
            connections: BTreeMap::new(),
        }
    }
}

/// The form in which a plan is kept: everything else follows from it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct PlanDocument {
    workflow: Workflow,
    pins: Vec<Pin>,
}

/// Why a workflow and pins make no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlan {
    /// One pin per step is needed.
    #[error("{steps} steps but {pins} pins")]
    PinCount {
        /// Steps of the workflow.
        steps: usize,
        /// Pins given.
        pins: usize,
    },
    /// The steps need each other in a circle.
    #[error(transparent)]
    Graph(#[from] crate::graph::InvalidGraph),
}

impl Plan {
    /// Pins a workflow: one pin per step, in the workflow's order.
    pub fn new(workflow: Workflow, pins: Vec<Pin>) -> Result<Self, InvalidPlan> {
        if workflow.steps.len() != pins.len() {
            return Err(InvalidPlan::PinCount { steps: workflow.steps.len(), pins: pins.len() });
        }
        let graph = Graph::of(&workflow)?;
        let index = graph.steps().map(|it| (workflow.steps[it.as_usize()].name.clone(), it)).collect();
        let delivering: Vec<StepIndex> =
            graph.steps().filter(|it| workflow.steps[it.as_usize()].delivers.is_some()).collect();
        let requires = workflow.steps.iter().any(|it| !it.requires.is_empty());
        let nests = pins.iter().any(|it| matches!(it.runs, Runs::Plan(_)));
        let promises = requires || nests || !delivering.is_empty();
        let beyond_rehearsal = beyond_rehearsal(&workflow, &graph);
        Ok(Self { workflow, pins, graph, index, delivering, beyond_rehearsal, promises })
    }

    /// The steps that deliver a version of a service.
    pub fn delivering(&self) -> &[StepIndex] {
        &self.delivering
    }

    /// Whether a rehearsal leaves this step out: it is a point of no return, or comes after one, and is not among what
    /// runs last in any case.
    pub fn is_beyond_rehearsal(&self, index: StepIndex) -> bool {
        self.beyond_rehearsal.contains(&index)
    }

    /// Whether releases of it, or inside of them, may need or deliver versions of services.
    pub fn promises(&self) -> bool {
        self.promises
    }

    /// The workflow.
    pub fn workflow(&self) -> &Workflow {
        &self.workflow
    }

    /// Who needs whom.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Where a step stands.
    pub fn index_of(&self, name: &StepName) -> Option<StepIndex> {
        self.index.get(name).copied()
    }

    /// The step at a place.
    pub fn step(&self, index: StepIndex) -> &Step {
        &self.workflow.steps[index.as_usize()]
    }

    /// What a step will use.
    pub fn pin(&self, index: StepIndex) -> &Pin {
        &self.pins[index.as_usize()]
    }

    /// The steps whose input, condition or gates use the output of `step`.
    pub fn users_of(&self, step: StepIndex) -> Vec<StepIndex> {
        let users = self
            .graph
            .steps()
            .filter(|it| self.expressions_of(*it).any(|it| self.outputs_in(it, false).contains(&step)));
        users.collect()
    }

    /// The steps whose outputs a step looks at, be it for their presence only.
    pub fn read_by(&self, step: StepIndex) -> BTreeSet<StepIndex> {
        self.expressions_of(step).flat_map(|it| self.outputs_in(it, true)).collect()
    }

    /// The steps whose outputs a template looks at.
    pub fn read_in(&self, template: &Template) -> BTreeSet<StepIndex> {
        template.expressions().into_iter().flat_map(|it| self.outputs_in(it, true)).collect()
    }

    /// What a step's input, condition, items and gates are made of.
    fn expressions_of(&self, step: StepIndex) -> impl Iterator<Item = &Expression> {
        let step = self.step(step);
        let messages = step.gates.iter().filter_map(|Gate::Approval(it)| it.message.as_ref());
        let items = step.for_each.iter().flat_map(|it| it.templates().into_iter().chain(&it.reduce));
        let templates = std::iter::once(&step.with).chain(messages).chain(items);
        templates.flat_map(Template::expressions).chain(&step.when)
    }

    /// The steps whose outputs an expression uses, or also those for whose presence it only asks.
    fn outputs_in(&self, expression: &Expression, presence: bool) -> Vec<StepIndex> {
        let used = expression.references().into_iter().filter(|it| presence || !it.presence);
        let steps = used.filter_map(|it| match it.path.as_slice() {
            [root, of, what, ..] if root == "steps" && what == "output" => self.index_of(&of.parse().ok()?),
            // `steps.build` as a whole has its output in it.
            [root, of] if root == "steps" && presence => self.index_of(&of.parse().ok()?),
            _ => None,
        });
        steps.collect()
    }

    /// Its written form, the same bytes for the same plan.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a plan holds only what JSON can hold")
    }
}

fn beyond_rehearsal(workflow: &Workflow, graph: &Graph) -> BTreeSet<StepIndex> {
    let mut beyond = BTreeSet::new();
    for index in graph.steps() {
        let step = &workflow.steps[index.as_usize()];
        if !step.finally && (step.pivot || graph.parents(index).any(|it| beyond.contains(&it))) {
            beyond.insert(index);
        }
    }
    beyond
}

impl TryFrom<PlanDocument> for Plan {
    type Error = InvalidPlan;
    fn try_from(document: PlanDocument) -> Result<Self, InvalidPlan> {
        Self::new(document.workflow, document.pins)
    }
}

impl From<Plan> for PlanDocument {
    fn from(plan: Plan) -> Self {
        Self { workflow: plan.workflow, pins: plan.pins }
    }
}
