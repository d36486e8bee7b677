//! `diff`: what an upgrade would change, without changing it.

use crate::changes::Changes;
use crate::chart::{Chart, ChartInput};
use crate::helm::{Helm, Plan, TOOL, cluster_role, deployed, tool};
use crate::target::{Namespace, ReleaseName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;
use windlass_sdk::{Action, Answer, Context, Effect, Limits, Outcome, Role, Tool};

const LOG_LINES_MAX: usize = 2_000;
const MEMORY_BYTES: u64 = 256 * 1024 * 1024;

/// Compares the deployed revision with what an upgrade would make.
pub(crate) struct Diff;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiffInput {
    /// Name of the release.
    release: ReleaseName,
    /// Its namespace; else the connection's property `namespace`, else `default`.
    #[serde(default)]
    namespace: Option<Namespace>,
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
    /// Whether the upgrade is to create the namespace.
    #[serde(default)]
    create_namespace: bool,
}

/// What an upgrade would change.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Difference {
    /// Name of the release.
    release: String,
    /// Its namespace.
    namespace: String,
    /// The revision that is deployed; none if nothing is.
    deployed_revision: Option<u64>,
    /// Whether anything would change.
    changed: bool,
    /// In a line.
    summary: String,
    /// One by one.
    changes: Changes,
}

impl Action for Diff {
    const NAME: &'static str = "diff";
    const DESCRIPTION: &'static str =
        "Shows which values and resources an upgrade would change, as the API server sees it; writes nothing.";
    const EFFECT: Effect = Effect::Read;

    type Input = DiffInput;
    type Output = Difference;
    type State = ();

    fn connections() -> Vec<Role> {
        vec![cluster_role()]
    }

    fn tools() -> Vec<Tool> {
        vec![tool(&["upgrade", "history", "get"])]
    }

    fn limits() -> Limits {
        Limits::default().cpu(Duration::from_secs(30)).memory_bytes(MEMORY_BYTES)
    }

    fn start(ctx: &Context, input: DiffInput) -> Answer<Self> {
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
            history_max: None,
            hook_timeout: Duration::from_secs(1),
        };
        let history = helm.history()?;
        helm.check_lock(history.last())?;
        let before = deployed(&history).map(|revision| revision.revision);
        let content = before.map(|revision| helm.content(revision)).transpose()?;
        let changes = Changes::between(content.as_ref(), &helm.render(&plan)?);
        let summary = changes.summary();
        ctx.log().info(format!("{}: {summary}", helm.place()));
        for line in changes.lines().take(LOG_LINES_MAX) {
            ctx.log().field("tool", TOOL).field("part", "diff").info(line);
        }
        Ok(Outcome::done(Difference {
            release: helm.release.to_string(),
            namespace: helm.namespace.to_string(),
            deployed_revision: before,
            changed: !changes.is_empty(),
            summary,
            changes,
        }))
    }
}
