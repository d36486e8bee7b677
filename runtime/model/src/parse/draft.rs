//! What a file says, value by value, with places: what the checks work on.
//!
//! A draft holds as much as could be read, so that one mistake does not hide the others; a
//! [`crate::workflow::Workflow`] is made of it only when there is no error.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::concurrency::QueueOrder;
use crate::expression::Expression;
use crate::fan_out::Allowance;
use crate::name::{ActionName, ConnectionName, PhaseName, PluginName, RoleName, ServiceName, TenantName, WorkflowName};
use crate::problem::Extent;
use crate::template::Template;
use crate::time::Span;
use crate::workflow::{
    ApprovalGate, Deadline, OnFailure, OutputType, PhaseRules, RetryPolicy, RollbackPart, RollbackRules,
};

use super::node::Node;

/// A value and where it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) extent: Extent,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    pub(crate) name: Option<WorkflowName>,
    pub(crate) description: Option<String>,
    pub(crate) parameters: Vec<DraftParameter>,
    pub(crate) phases: Vec<At<PhaseName>>,
    pub(crate) phase_rules: BTreeMap<PhaseName, PhaseRules>,
    pub(crate) deadline: Option<Deadline>,
    pub(crate) rollback: Option<RollbackRules>,
    /// The labels of alerts that roll it back.
    pub(crate) alert_labels: Vec<DraftTemplate>,
    /// What speaks for a rollback.
    pub(crate) criteria: Vec<PlacedExpression>,
    pub(crate) phases_extent: Option<Extent>,
    pub(crate) steps: Vec<DraftStep>,
    pub(crate) outputs: Vec<DraftOutput>,
    pub(crate) concurrency: Option<DraftConcurrency>,
    pub(crate) tenant: Option<TenantName>,
}

/// How many releases go on at once.
#[derive(Debug, Clone)]
pub(crate) struct DraftConcurrency {
    pub(crate) group: DraftTemplate,
    pub(crate) order: QueueOrder,
    pub(crate) limit: u32,
}

/// Something that a release gives.
#[derive(Debug, Clone)]
pub(crate) struct DraftOutput {
    pub(crate) name: At<String>,
    pub(crate) value: DraftTemplate,
    /// What it is declared to be.
    pub(crate) declared: Option<OutputType>,
}

#[derive(Debug, Clone)]
pub(crate) struct DraftParameter {
    pub(crate) name: At<String>,
    pub(crate) schema: Value,
    pub(crate) default: Option<Value>,
    pub(crate) description: Option<String>,
}

/// A step. Its name, and those it needs, are texts here: a name that is none still stands for a step.
#[derive(Debug, Clone)]
pub(crate) struct DraftStep {
    pub(crate) name: At<String>,
    pub(crate) description: Option<String>,
    pub(crate) phase: Option<At<String>>,
    pub(crate) needs: Vec<At<String>>,
    pub(crate) uses: Option<DraftUses>,
    /// The file of the workflow that it runs, where it is none of a plugin's actions.
    pub(crate) uses_file: Option<At<String>>,
    /// That workflow's name, once the file was read.
    pub(crate) uses_workflow: Option<WorkflowName>,
    pub(crate) connections: DraftConnections,
    pub(crate) with: Option<DraftTemplate>,
    /// Whether `with` could not be read, so that nothing more is to be said about it.
    pub(crate) with_is_broken: bool,
    /// The key `with`, or the step's name when it has none.
    pub(crate) with_extent: Extent,
    pub(crate) for_each: Option<DraftForEach>,
    pub(crate) when: Option<PlacedExpression>,
    pub(crate) retry: RetryPolicy,
    pub(crate) timeout: Option<Span>,
    pub(crate) delay: Option<Span>,
    pub(crate) gates: Vec<DraftGate>,
    pub(crate) on_failure: OnFailure,
    pub(crate) rollback: RollbackPart,
    pub(crate) mandatory: bool,
    pub(crate) pivot: bool,
    pub(crate) rollback_after: Vec<At<String>>,
    pub(crate) requires: Vec<DraftVersion>,
    pub(crate) delivers: Option<DraftVersion>,
    pub(crate) finally: bool,
}

/// A version of a service, or several that will do.
#[derive(Debug, Clone)]
pub(crate) struct DraftVersion {
    pub(crate) service: ServiceName,
    pub(crate) environment: Option<DraftTemplate>,
    pub(crate) version: DraftTemplate,
}

impl DraftVersion {
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &PlacedExpression> {
        self.environment.iter().chain([&self.version]).flat_map(|it| &it.expressions)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct DraftUses {
    pub(crate) plugin: At<PluginName>,
    pub(crate) action: At<ActionName>,
    pub(crate) version: At<semver::VersionReq>,
}

#[derive(Debug, Clone)]
pub(crate) enum DraftConnections {
    Unbound,
    Only(At<ConnectionName>),
    ByRole(Vec<(At<RoleName>, At<ConnectionName>)>),
    /// Something that could not be read; nothing is said about missing ones.
    Unreadable,
}

impl DraftConnections {
    /// All connections that are named.
    pub(crate) fn named(&self) -> Vec<&At<ConnectionName>> {
        match self {
            Self::Only(connection) => vec![connection],
            Self::ByRole(pairs) => pairs.iter().map(|(_, connection)| connection).collect(),
            Self::Unbound | Self::Unreadable => Vec::new(),
        }
    }
}

/// What a step runs for.
#[derive(Debug, Clone)]
pub(crate) struct DraftForEach {
    pub(crate) items: DraftItems,
    pub(crate) exclude: Vec<serde_json::Map<String, Value>>,
    pub(crate) include: Vec<serde_json::Map<String, Value>>,
    pub(crate) max_parallel: Option<u32>,
    pub(crate) fail_fast: bool,
    pub(crate) failures_allowed: Allowance,
    pub(crate) reduce: Option<DraftTemplate>,
}

#[derive(Debug, Clone)]
pub(crate) enum DraftItems {
    List(DraftTemplate),
    Matrix(Vec<(At<String>, DraftTemplate)>),
}

impl DraftForEach {
    pub(crate) fn of(items: DraftItems) -> Self {
        Self {
            items,
            exclude: Vec::new(),
            include: Vec::new(),
            max_parallel: None,
            fail_fast: true,
            failures_allowed: Allowance::NONE,
            reduce: None,
        }
    }

    /// What is evaluated before the items run.
    pub(crate) fn templates(&self) -> Vec<&DraftTemplate> {
        match &self.items {
            DraftItems::List(it) => vec![it],
            DraftItems::Matrix(axes) => axes.iter().map(|(_, it)| it).collect(),
        }
    }
}

/// An approval gate; its message, if any, with places.
#[derive(Debug, Clone)]
pub(crate) struct DraftGate {
    pub(crate) gate: ApprovalGate,
    pub(crate) message: Option<DraftTemplate>,
}

/// A value with expressions in it.
#[derive(Debug, Clone)]
pub(crate) struct DraftTemplate {
    pub(crate) node: Node,
    pub(crate) template: Template,
    pub(crate) expressions: Vec<PlacedExpression>,
}

/// An expression and where it is.
#[derive(Debug, Clone)]
pub(crate) struct PlacedExpression {
    pub(crate) expression: Expression,
    /// The expression's text, or the whole value when the text is not written in the file as it is.
    pub(crate) extent: Extent,
    /// Whether `extent` is exactly the expression's text.
    pub(crate) exact: bool,
    /// The value it stands in.
    pub(crate) node_extent: Extent,
    /// Whether there is other text around it.
    pub(crate) embedded: bool,
}

impl PlacedExpression {
    /// Where a part of the expression is in the file.
    pub(crate) fn part(&self, range: std::ops::Range<usize>) -> Extent {
        if self.exact {
            Extent { start: self.extent.start + range.start, end: (self.extent.start + range.end).min(self.extent.end) }
        } else {
            self.extent
        }
    }
}

impl Draft {
    pub(crate) fn step(&self, name: &str) -> Option<&DraftStep> {
        self.steps.iter().find(|it| it.name.value == name)
    }

    pub(crate) fn step_names(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map(|it| it.name.value.as_str())
    }
}
