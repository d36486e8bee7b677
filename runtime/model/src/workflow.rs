//! A workflow: what its author wrote, read and checked.
//!
//! Names in it are well formed and point at each other; whether the plugins and connections exist is
//! [`crate::plan`]'s question.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::alert::AlertRule;
use crate::check::schema::{breaches, explain_at};
use crate::concurrency::Concurrency;
use crate::decision::DecisionRules;
use crate::expression::Expression;
use crate::failure::FailureClass;
use crate::fan_out::{Allowance, ForEach};
use crate::manifest::compile_schema;
use crate::name::{ActionName, ConnectionName, PhaseName, PluginName, RoleName, StepName, TenantName, WorkflowName};
use crate::service::{Delivers, Requires};
use crate::template::Template;
use crate::time::Span;

/// The versioned definition of a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workflow {
    /// Its name.
    pub name: WorkflowName,
    /// What it is for.
    pub description: Option<String>,
    /// What a release is started with.
    pub parameters: BTreeMap<String, Parameter>,
    /// Phases in order; empty when the file names none.
    pub phases: Vec<PhaseName>,
    /// What phases have beside their name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub phase_rules: BTreeMap<PhaseName, PhaseRules>,
    /// How long a release may take, counted from its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Deadline>,
    /// When a release is rolled back by itself, and what is expected of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackRules>,
    /// Steps in the order of the file, those that run last included.
    pub steps: Vec<Step>,
    /// What a release gives.
    pub outputs: BTreeMap<String, Template>,
    /// What of that is declared to be of a type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub output_types: BTreeMap<String, OutputType>,
    /// How many of its releases go on at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// Which tenant its releases count for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantName>,
}

/// What an output is declared to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputType {
    /// JSON Schema of the value.
    pub schema: serde_json::Value,
    /// What it means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl OutputType {
    /// How a value breaks it, in words.
    pub fn problems(&self, value: &serde_json::Value) -> Vec<String> {
        match compile_schema(&self.schema) {
            Ok(validator) => breaches(&validator, value).iter().map(explain_at).collect(),
            Err(error) => vec![format!("its declaration is no JSON Schema: {error}")],
        }
    }
}

/// What a phase has beside its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseRules {
    /// How long it may take, counted from the start of its first step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Deadline>,
    /// How many of its steps and items may fail with `on_failure: continue` or within an allowance of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Threshold>,
}

/// How many failures a phase tolerates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threshold {
    /// So many.
    pub failures_allowed: Allowance,
    /// Whether the release is rolled back when there are more; else it fails.
    pub rollback: bool,
}

/// A time by which something is to have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    /// So long after its beginning.
    pub within: Span,
    /// What happens then.
    pub then: OnDeadline,
}

/// When a release is rolled back by itself, beside what its steps, phases and deadlines say, and what is expected
/// of that.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RollbackRules {
    /// How long a rollback may take: its recovery time objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Span>,
    /// What starts one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<RollbackTrigger>,
    /// Alerts that start one, or have somebody decide.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<AlertRule>,
    /// By what, and by whom, it is decided where somebody is to decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionRules>,
    /// How old the last good rehearsal may be when a release starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsed_within: Option<Span>,
}

/// What starts a rollback by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackTrigger {
    /// A breaker is open that one of the release's calls would have to pass.
    Breaker,
}

/// What happens when a deadline passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDeadline {
    /// Running steps are stopped; the release has failed.
    #[default]
    Fail,
    /// Running steps are stopped, and what ran is rolled back.
    Rollback,
    /// Nothing new starts until somebody resumes the release.
    Pause,
}

/// Something a release is started with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// JSON Schema of the value.
    pub schema: serde_json::Value,
    /// Taken when none is given; without it the parameter is required.
    pub default: Option<serde_json::Value>,
    /// What it means.
    pub description: Option<String>,
}

/// One plugin invocation, or one release of another workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Unique in the workflow.
    pub name: StepName,
    /// The phase it belongs to. Steps of a phase start when those of the phases before it ended.
    pub phase: Option<PhaseName>,
    /// Steps that must have ended well.
    pub needs: Vec<StepName>,
    /// What it runs.
    pub uses: Uses,
    /// Which connections it binds.
    pub connections: Connections,
    /// Its input, with expressions.
    pub with: Template,
    /// Whether it runs once for each item of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<ForEach>,
    /// Whether it runs at all.
    pub when: Option<Expression>,
    /// How failures are retried.
    pub retry: RetryPolicy,
    /// How long one attempt may take, waits included.
    pub timeout: Option<Span>,
    /// How long it waits when its turn has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
    /// What must be open before it starts.
    pub gates: Vec<Gate>,
    /// What happens when retries are exhausted.
    pub on_failure: OnFailure,
    /// Its part in a rollback.
    pub rollback: RollbackPart,
    /// Whether nobody may skip it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mandatory: bool,
    /// Whether there is no way back once it may have had its effect.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pivot: bool,
    /// Steps whose effects are rolled back before this one's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rollback_after: Vec<StepName>,
    /// Versions of services that are live before it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requires>,
    /// The version of a service that is live when it has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivers: Option<Delivers>,
    /// Whether it runs when the release is about to end, however it ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub finally: bool,
}

/// What a step runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Uses {
    /// An action of a plugin.
    Action(ActionRef),
    /// A workflow, as a release inside of the release.
    Workflow {
        /// Where its file is, from the file that uses it: `./deploy.yaml`.
        file: String,
        /// Its name.
        workflow: WorkflowName,
    },
}

impl Uses {
    /// The action of a plugin, if it is one.
    pub fn action(&self) -> Option<&ActionRef> {
        match self {
            Self::Action(it) => Some(it),
            Self::Workflow { .. } => None,
        }
    }

    /// Without the versions that will do: `jenkins/trigger-build`.
    pub fn short(&self) -> String {
        match self {
            Self::Action(it) => format!("{}/{}", it.plugin, it.action),
            Self::Workflow { workflow, .. } => format!("workflow {workflow}"),
        }
    }

    /// Whom a wait for it is a wait for.
    pub fn owner(&self) -> String {
        match self {
            Self::Action(it) => it.plugin.to_string(),
            Self::Workflow { workflow, .. } => format!("workflow {workflow}"),
        }
    }
}

/// `plugin/action@version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionRef {
    /// The plugin.
    pub plugin: PluginName,
    /// Its action.
    pub action: ActionName,
    /// Versions that will do; the newest installed one is pinned when the release starts.
    pub version: semver::VersionReq,
}

impl std::fmt::Display for Uses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Action(it) if it.version == semver::VersionReq::STAR => write!(f, "{}/{}", it.plugin, it.action),
            Self::Action(it) => write!(f, "{}/{}@{}", it.plugin, it.action, it.version),
            Self::Workflow { file, .. } => f.write_str(file),
        }
    }
}

/// Which connections a step binds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connections {
    /// None given.
    Unbound,
    /// `connection: ci`: for the action's only role.
    Only(ConnectionName),
    /// `connections: { role: name }`.
    ByRole(BTreeMap<RoleName, ConnectionName>),
}

/// How failures are retried; bounded in every way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts in all, the first included; 1 to 100.
    pub attempts: u32,
    /// Bound of the first delay; it doubles with each attempt.
    pub backoff: Span,
    /// Bound of every delay.
    pub max_backoff: Span,
    /// No attempt begins later than this after the first one did.
    pub within: Option<Span>,
    /// Classes that are retried.
    pub on: Vec<FailureClass>,
}

impl Default for RetryPolicy {
    /// Three attempts in all, 2 s doubling up to a minute, for failures declared transient.
    fn default() -> Self {
        Self {
            attempts: 3,
            backoff: Span::seconds(2),
            max_backoff: Span::seconds(60),
            within: None,
            on: vec![FailureClass::Transient, FailureClass::RateLimited],
        }
    }
}

/// What happens when retries are exhausted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The step waits for a person.
    #[default]
    Pause,
    /// The release fails once its running steps have ended.
    Fail,
    /// Dependents run as if it had succeeded, without its output.
    Continue,
    /// The release is rolled back once its running steps have ended.
    Rollback,
}

/// A step's part in a rollback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackPart {
    /// The plugin's rollback is called, where the action has one.
    #[default]
    Automatic,
    /// It stays as it is.
    Skip,
}

/// What must be open before a step starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// People say yes.
    Approval(ApprovalGate),
}

/// People say yes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApprovalGate {
    /// Who may.
    pub from: Vec<Approver>,
    /// How many different people must; at least 1.
    pub min: u32,
    /// Whether whoever started the release may be one of them.
    pub requester_may_approve: bool,
    /// What they are asked, with expressions.
    pub message: Option<Template>,
}

/// Somebody who may approve.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approver {
    /// `user:ana`
    User(String),
    /// `group:release-managers`
    Group(String),
}

impl std::fmt::Display for Approver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(name) => write!(f, "user:{name}"),
            Self::Group(name) => write!(f, "group:{name}"),
        }
    }
}

impl std::str::FromStr for Approver {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("user", name)) if !name.is_empty() => Ok(Self::User(name.to_owned())),
            Some(("group", name)) if !name.is_empty() => Ok(Self::Group(name.to_owned())),
            _ => Err(format!("`{text}` names nobody: write `user:ana` or `group:release-managers`")),
        }
    }
}

impl Workflow {
    /// What a phase has beside its name.
    pub fn rules(&self, phase: &PhaseName) -> Option<&PhaseRules> {
        self.phase_rules.get(phase)
    }

    /// Whether anything has its releases rolled back by itself, or has somebody decide about that: a failure, a
    /// threshold, a deadline, a breaker or an alert.
    pub fn has_rollback_trigger(&self) -> bool {
        let by_deadline = |it: &Option<Deadline>| it.is_some_and(|it| it.then == OnDeadline::Rollback);
        let by_phase = |it: &PhaseRules| by_deadline(&it.deadline) || it.threshold.is_some_and(|it| it.rollback);
        self.rollback.as_ref().is_some_and(|it| !it.triggers.is_empty() || !it.alerts.is_empty())
            || self.steps.iter().any(|it| it.on_failure == OnFailure::Rollback)
            || self.phase_rules.values().any(by_phase)
            || by_deadline(&self.deadline)
    }

    /// The step of this name.
    pub fn step(&self, name: &StepName) -> Option<&Step> {
        self.steps.iter().find(|it| it.name == *name)
    }
}
