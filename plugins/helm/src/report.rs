//! `status`, `history` and `values`: what is there.

use crate::changes::without_secrets;
use crate::helm::{Helm, Revision, cluster_role, tool};
use crate::readiness::{Workload, WorkloadState, workloads};
use crate::target::{Namespace, ReleaseName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use windlass_sdk::{Action, Answer, Context, Effect, Failure, Outcome, Role, Tool};

/// Reads a release's status.
pub(crate) struct ReadStatus;
/// Reads a release's revisions.
pub(crate) struct ReadHistory;
/// Reads a revision's values.
pub(crate) struct ReadValues;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadInput {
    /// Name of the release.
    release: ReleaseName,
    /// Its namespace; else the connection's property `namespace`, else `default`.
    #[serde(default)]
    namespace: Option<Namespace>,
}

/// A release as it stands.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Status {
    /// Name of the release.
    release: String,
    /// Its namespace.
    namespace: String,
    /// The last revision.
    revision: u64,
    /// helm's status of it.
    status: String,
    /// What helm says of it.
    description: String,
    /// When it was made.
    updated: String,
    /// The chart's notes.
    notes: String,
    /// Whether it is deployed and all workloads are ready.
    ready: bool,
    /// Its workloads.
    workloads: Vec<Workload>,
}

impl Action for ReadStatus {
    const NAME: &'static str = "status";
    const DESCRIPTION: &'static str = "Reads a release's status and how its workloads stand.";
    const EFFECT: Effect = Effect::Read;

    type Input = ReadInput;
    type Output = Status;
    type State = ();

    fn connections() -> Vec<Role> {
        vec![cluster_role()]
    }

    fn tools() -> Vec<Tool> {
        vec![tool(&["status"])]
    }

    fn start(ctx: &Context, input: ReadInput) -> Answer<Self> {
        let helm = Helm::connect(ctx, &input.release, input.namespace.as_ref())?;
        let release = helm.status()?.ok_or_else(|| missing(&helm))?;
        let workloads = workloads(&release);
        let all_ready = workloads.iter().all(|workload| workload.state == WorkloadState::Ready);
        Ok(Outcome::done(Status {
            release: helm.release.to_string(),
            namespace: helm.namespace.to_string(),
            revision: release.version,
            ready: release.info.status == "deployed" && all_ready,
            status: release.info.status,
            description: release.info.description,
            updated: release.info.last_deployed,
            notes: release.info.notes,
            workloads,
        }))
    }
}

/// The revisions that helm has kept.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct History {
    /// Name of the release.
    release: String,
    /// Its namespace.
    namespace: String,
    /// The revision that is deployed; none if none is.
    deployed_revision: Option<u64>,
    /// The oldest first.
    revisions: Vec<HistoryEntry>,
}

/// One revision.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct HistoryEntry {
    /// Its number.
    revision: u64,
    /// When it was made.
    updated: String,
    /// helm's status of it.
    status: String,
    /// Name and version of its chart.
    chart: String,
    /// What the chart calls the version of its application.
    app_version: String,
    /// What helm says of it.
    description: String,
}

impl From<Revision> for HistoryEntry {
    fn from(revision: Revision) -> Self {
        let Revision { revision, updated, status, chart, app_version, description } = revision;
        Self { revision, updated, status, chart, app_version, description }
    }
}

impl Action for ReadHistory {
    const NAME: &'static str = "history";
    const DESCRIPTION: &'static str = "Reads a release's revisions.";
    const EFFECT: Effect = Effect::Read;

    type Input = ReadInput;
    type Output = History;
    type State = ();

    fn connections() -> Vec<Role> {
        vec![cluster_role()]
    }

    fn tools() -> Vec<Tool> {
        vec![tool(&["history"])]
    }

    fn start(ctx: &Context, input: ReadInput) -> Answer<Self> {
        let helm = Helm::connect(ctx, &input.release, input.namespace.as_ref())?;
        let history = helm.history()?;
        if history.is_empty() {
            return Err(missing(&helm));
        }
        Ok(Outcome::done(History {
            release: helm.release.to_string(),
            namespace: helm.namespace.to_string(),
            deployed_revision: crate::helm::deployed(&history).map(|revision| revision.revision),
            revisions: history.into_iter().map(HistoryEntry::from).collect(),
        }))
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ValuesInput {
    /// Name of the release.
    release: ReleaseName,
    /// Its namespace; else the connection's property `namespace`, else `default`.
    #[serde(default)]
    namespace: Option<Namespace>,
    /// Which revision; the last if not said.
    #[serde(default)]
    #[schemars(range(min = 1))]
    revision: Option<u64>,
    /// Whether to read the chart's own values too.
    #[serde(default)]
    all: bool,
}

/// A revision's values.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Values {
    /// Name of the release.
    release: String,
    /// Its namespace.
    namespace: String,
    /// The values; what a name like `password` holds is hidden.
    values: Map<String, Value>,
}

impl Action for ReadValues {
    const NAME: &'static str = "values";
    const DESCRIPTION: &'static str = "Reads the values that a revision was given.";
    const EFFECT: Effect = Effect::Read;

    type Input = ValuesInput;
    type Output = Values;
    type State = ();

    fn connections() -> Vec<Role> {
        vec![cluster_role()]
    }

    fn tools() -> Vec<Tool> {
        vec![tool(&["get"])]
    }

    fn start(ctx: &Context, input: ValuesInput) -> Answer<Self> {
        let helm = Helm::connect(ctx, &input.release, input.namespace.as_ref())?;
        let values = helm.values(input.revision, input.all)?.unwrap_or_default();
        let shown = without_secrets(&Value::Object(values));
        Ok(Outcome::done(Values {
            release: helm.release.to_string(),
            namespace: helm.namespace.to_string(),
            values: shown.as_object().cloned().unwrap_or_default(),
        }))
    }
}

fn missing(helm: &Helm) -> Failure {
    Failure::not_found("release-not-found", format!("there is no release {}", helm.place()))
}
