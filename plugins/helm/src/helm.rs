//! The calls of helm that the plugin makes, and what their answers say.
//!
//! **Invariant:** no call waits for a workload; `--wait` is never given.

use crate::chart::Chart;
use crate::stderr;
use crate::target::{Namespace, ReleaseName};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::Duration;
use windlass_sdk::{Context, Failure, Role, Tool, ToolOutput};

/// The tool's name, as the operator declares it.
pub(crate) const TOOL: &str = "helm";
/// The role of the connection that carries the kubeconfig.
pub(crate) const CLUSTER: &str = "cluster";

/// Where the step's values go in the tool's working directory.
const VALUES_FILE: &str = "windlass-values.yaml";
/// A rendered release comes with its whole chart.
const RENDERED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The label by which an interrupted revision is recognised: helm writes descriptions only at the end.
const KEY_LABEL: &str = "windlass-key";

/// The role `cluster`: it takes no HTTP requests, its kubeconfig only goes to helm.
pub(crate) fn cluster_role() -> Role {
    Role::required(CLUSTER, "The Kubernetes cluster; its kubeconfig goes to helm and nowhere else.")
}

/// How an upgrade is rendered and not made. The flag comes first: behind another one it could be that one's value.
const RENDERING: [&str; 2] = ["upgrade", "--dry-run=server"];

/// The tool with the subcommands that an action runs, and the forms of them that change nothing.
pub(crate) fn tool(subcommands: &[&'static str]) -> Tool {
    let forms: Vec<&'static str> = subcommands
        .iter()
        .filter_map(|it| match *it {
            "upgrade" => Some("upgrade --dry-run=server"),
            "status" | "history" | "get" | "list" | "lint" => Some(*it),
            _ => None,
        })
        .collect();
    Tool::new(TOOL, "Helm 3.13 or later of the 3 series.", subcommands).dry_run(&forms)
}

/// The description of a revision that the step with this key made.
pub(crate) fn mark(key: &str) -> String {
    format!("windlass {key}")
}

/// One release on one cluster.
pub(crate) struct Helm<'a> {
    ctx: &'a Context<'a>,
    pub(crate) release: &'a ReleaseName,
    pub(crate) namespace: Namespace,
}

/// A revision, as `helm history` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Revision {
    pub(crate) revision: u64,
    pub(crate) updated: String,
    pub(crate) status: String,
    pub(crate) chart: String,
    #[serde(default)]
    pub(crate) app_version: String,
    #[serde(default)]
    pub(crate) description: String,
}

impl Revision {
    /// Whether an operation holds the release, or was cut off in the middle.
    pub(crate) fn is_locked(&self) -> bool {
        self.status.starts_with("pending-") || self.status == "uninstalling"
    }

    /// Whether what was begun under this key brought it to its end.
    pub(crate) fn is_marked(&self, key: &str) -> bool {
        self.description == mark(key)
    }

    /// As [`Self::is_marked`], by one of these keys.
    pub(crate) fn is_marked_by_any(&self, keys: &[String]) -> bool {
        keys.iter().any(|it| self.is_marked(it))
    }

    /// Whether it is what `helm rollback` makes when it goes back to `revision`.
    pub(crate) fn goes_back_to(&self, revision: u64) -> bool {
        self.description == format!("Rollback to {revision}")
    }
}

/// The newest revision that is deployed.
pub(crate) fn deployed(history: &[Revision]) -> Option<&Revision> {
    history.iter().rev().find(|revision| revision.status == "deployed")
}

/// The last revision of `helm status`, with what is on the cluster.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Release {
    pub(crate) version: u64,
    pub(crate) info: ReleaseInfo,
    #[serde(default)]
    pub(crate) manifest: String,
    #[serde(default)]
    pub(crate) hooks: Option<Vec<Hook>>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ReleaseInfo {
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) last_deployed: String,
    #[serde(default)]
    pub(crate) notes: String,
    /// Objects by kind; lists of pods under `v1/Pod(related)`.
    #[serde(default)]
    pub(crate) resources: Option<std::collections::BTreeMap<String, Vec<Value>>>,
}

/// A hook of the chart, with its last run.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Hook {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) events: Vec<String>,
    #[serde(default)]
    pub(crate) last_run: HookRun,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct HookRun {
    #[serde(default)]
    pub(crate) started_at: String,
    #[serde(default)]
    pub(crate) completed_at: String,
    #[serde(default)]
    pub(crate) phase: String,
}

/// What a revision consists of: its manifest, and the values that its user gave.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Content {
    #[serde(default)]
    pub(crate) manifest: String,
    #[serde(default, rename = "config")]
    pub(crate) values: Option<Map<String, Value>>,
}

/// What an upgrade is made of.
pub(crate) struct Plan<'a> {
    pub(crate) chart: &'a Chart,
    pub(crate) values: &'a Map<String, Value>,
    pub(crate) reuse_values: bool,
    pub(crate) create_namespace: bool,
    pub(crate) history_max: Option<u32>,
    pub(crate) hook_timeout: Duration,
}

impl<'a> Helm<'a> {
    /// The release of an input. Its namespace is the input's, else the connection's property, else `default`.
    pub(crate) fn connect(
        ctx: &'a Context<'a>,
        release: &'a ReleaseName,
        namespace: Option<&Namespace>,
    ) -> Result<Self, Failure> {
        let connection = ctx.connection(CLUSTER)?;
        let namespace = match (namespace, connection.property("namespace")) {
            (Some(namespace), _) => namespace.clone(),
            (None, property) => Namespace::parse(property.unwrap_or("default")).map_err(|problem| {
                let message = format!("the property `namespace` of connection `{}`: {problem}", connection.name);
                Failure::invalid("namespace", message).never()
            })?,
        };
        Ok(Self { ctx, release, namespace })
    }

    /// `` `pay` in `prod` ``
    pub(crate) fn place(&self) -> String {
        format!("`{}` in `{}`", self.release, self.namespace)
    }

    pub(crate) fn ctx(&self) -> &'a Context<'a> {
        self.ctx
    }

    /// All revisions that helm has kept, the oldest first; none if there is no such release.
    pub(crate) fn history(&self) -> Result<Vec<Revision>, Failure> {
        let output = self.run(&["history", self.release.as_str(), "--output", "json"])?;
        if stderr::says_not_found(&output) {
            return Ok(Vec::new());
        }
        let mut history: Vec<Revision> = self.succeeded(output, "reading the history")?.json()?;
        history.sort_by_key(|revision| revision.revision);
        Ok(history)
    }

    /// The last revision with its workloads as they are; none if there is no such release.
    pub(crate) fn status(&self) -> Result<Option<Release>, Failure> {
        let command = ["status", self.release.as_str(), "--output", "json", "--show-resources"];
        let output = self.prepared(&command).limit(RENDERED_BYTES_MAX).run()?;
        if stderr::says_not_found(&output) {
            return Ok(None);
        }
        self.succeeded(output, "reading the status")?.json().map(Some)
    }

    /// The keys of all that `start` of this step has begun.
    pub(crate) fn own_keys(&self) -> Vec<String> {
        self.ctx.starts().iter().map(|it| it.key().to_owned()).collect()
    }

    /// Whether the last revision was begun under one of these keys, or went on from one that was.
    pub(crate) fn is_labelled(&self, keys: &[String]) -> Result<bool, Failure> {
        #[derive(Deserialize)]
        struct Listed {
            name: String,
        }
        let selector = format!("{KEY_LABEL} in ({})", keys.join(","));
        let filter = format!("^{}$", self.release);
        let command = ["list", "--all", "--selector", &selector, "--filter", &filter, "--output", "json"];
        let listed: Vec<Listed> = self.succeeded(self.run(&command)?, "looking for the step's revision")?.json()?;
        Ok(listed.iter().any(|listed| listed.name == self.release.as_str()))
    }

    /// Manifest and values of a revision.
    pub(crate) fn content(&self, revision: u64) -> Result<Content, Failure> {
        let number = revision.to_string();
        let command = ["get", "manifest", self.release.as_str(), "--revision", &number];
        let output = self.prepared(&command).limit(RENDERED_BYTES_MAX).run()?;
        let manifest = self.succeeded(output, "reading the deployed manifest")?.stdout_text();
        Ok(Content { manifest, values: self.values(Some(revision), false)? })
    }

    /// Values of a revision: those that its user gave, or all.
    pub(crate) fn values(&self, revision: Option<u64>, all: bool) -> Result<Option<Map<String, Value>>, Failure> {
        let number = revision.map(|revision| revision.to_string());
        let mut command = vec!["get", "values", self.release.as_str(), "--output", "json"];
        command.extend(number.iter().flat_map(|number| ["--revision", number]));
        command.extend(all.then_some("--all"));
        self.succeeded(self.run(&command)?, "reading the values")?.json()
    }

    /// What an upgrade would make, as the API server sees it; nothing is written.
    pub(crate) fn render(&self, plan: &Plan) -> Result<Content, Failure> {
        let mut arguments = self.upgrade_arguments(plan);
        arguments.splice(..1, RENDERING.map(str::to_owned));
        arguments.extend(["--output", "json"].map(str::to_owned));
        let output = self.with_plan(arguments, plan).limit(RENDERED_BYTES_MAX).run()?;
        self.succeeded(output, "rendering the chart")?.json()
    }

    /// Installs or upgrades, with the key in label and description.
    pub(crate) fn upgrade(&self, plan: &Plan, key: &str) -> Result<(), Failure> {
        let mut arguments = self.upgrade_arguments(plan);
        arguments.extend(["--description".to_owned(), mark(key), "--labels".to_owned(), format!("{KEY_LABEL}={key}")]);
        arguments.extend(plan.history_max.iter().flat_map(|max| ["--history-max".to_owned(), max.to_string()]));
        let output = self.with_plan(arguments, plan).run_logged()?;
        self.succeeded(output, "upgrading").map(drop)
    }

    /// Goes back to a revision.
    pub(crate) fn roll_back(&self, revision: u64, hooks: Hooks) -> Result<(), Failure> {
        let number = revision.to_string();
        let mut command = vec!["rollback", self.release.as_str(), &number];
        let timeout = match hooks {
            Hooks::Within(timeout) => Some(seconds(timeout)),
            Hooks::Skipped => None,
        };
        match &timeout {
            Some(timeout) => command.extend(["--timeout", timeout]),
            None => command.push("--no-hooks"),
        }
        let output = self.prepared(&command).run_logged()?;
        self.succeeded(output, &format!("rolling back to revision {revision}")).map(drop)
    }

    /// Uninstalls.
    pub(crate) fn uninstall(&self, keep_history: bool, hook_timeout: Duration) -> Result<(), Failure> {
        let timeout = seconds(hook_timeout);
        let mut command = vec!["uninstall", self.release.as_str(), "--timeout", &timeout];
        command.extend(keep_history.then_some("--keep-history"));
        let output = self.prepared(&command).run_logged()?;
        self.succeeded(output, "uninstalling").map(drop)
    }

    /// Runs the chart's tests to their end. That they fail is no failure of the call.
    pub(crate) fn test(&self, timeout: Duration, logs: bool) -> Result<ToolOutput, Failure> {
        let timeout = seconds(timeout);
        let mut command = vec!["test", self.release.as_str(), "--timeout", &timeout];
        command.extend(logs.then_some("--logs"));
        self.prepared(&command).run_shown()
    }

    /// A failure with the end of what helm said, unless it ended well.
    pub(crate) fn succeeded(&self, output: ToolOutput, doing: &str) -> Result<ToolOutput, Failure> {
        if output.exit_code != 0 {
            return Err(stderr::failure(&output, &format!("{doing} of {}", self.place())));
        }
        if output.truncated {
            let message = format!("{doing} of {}: helm wrote more than can be read", self.place());
            return Err(Failure::internal("helm-output", message).never());
        }
        Ok(output)
    }

    /// Says why a release that another operation holds is left alone; nothing if none does.
    pub(crate) fn check_lock(&self, last: Option<&Revision>) -> Result<(), Failure> {
        let Some(last) = last.filter(|last| last.is_locked()) else {
            return Ok(());
        };
        let Revision { revision, status, updated, .. } = last;
        let (release, namespace) = (self.release, &self.namespace);
        let release_it = match status.as_str() {
            "pending-install" | "uninstalling" => format!("`helm uninstall {release} -n {namespace}`"),
            _ => match revision.checked_sub(1) {
                Some(before) if before > 0 => format!("`helm rollback {release} {before} -n {namespace}`"),
                _ => format!("`helm uninstall {release} -n {namespace}`"),
            },
        };
        let message = format!(
            "release {} is locked: its revision {revision} is `{status}` since {updated}. Another operation is under \
             way, or one was interrupted. If none is, {release_it} makes it free again; nothing was changed here",
            self.place()
        );
        Err(Failure::conflict("release-locked", message)
            .detail("revision", revision)
            .detail("status", status)
            .detail("since", updated))
    }

    fn upgrade_arguments(&self, plan: &Plan) -> Vec<String> {
        let mut arguments: Vec<String> =
            ["upgrade", self.release.as_str(), plan.chart.reference(), "--install"].map(str::to_owned).to_vec();
        arguments.extend(plan.chart.flags());
        arguments.extend(["--values".to_owned(), VALUES_FILE.to_owned()]);
        arguments.extend(["--timeout".to_owned(), seconds(plan.hook_timeout)]);
        // Without either, helm keeps the old values if no new ones are given and drops them if there are some.
        arguments.push(if plan.reuse_values { "--reuse-values" } else { "--reset-values" }.to_owned());
        arguments.extend(plan.create_namespace.then(|| "--create-namespace".to_owned()));
        arguments
    }

    fn with_plan(&self, arguments: Vec<String>, plan: &Plan) -> windlass_sdk::ToolRun<'a> {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        with_files(self.prepared(&arguments), plan.chart, plan.values)
    }

    fn run(&self, command: &[&str]) -> Result<ToolOutput, Failure> {
        self.prepared(command).run()
    }

    fn prepared(&self, command: &[&str]) -> windlass_sdk::ToolRun<'a> {
        let run = self.ctx.tool(TOOL).args(command.iter().copied());
        run.args(["--namespace", self.namespace.as_str()]).connection(CLUSTER)
    }
}

/// Whether a rollback runs the chart's hooks, and for how long.
#[derive(Clone, Copy)]
pub(crate) enum Hooks {
    Within(Duration),
    Skipped,
}

/// Puts a chart's files and the values beside the tool. JSON is YAML, so the values are written as JSON.
fn with_files<'a>(
    run: windlass_sdk::ToolRun<'a>,
    chart: &Chart,
    values: &Map<String, Value>,
) -> windlass_sdk::ToolRun<'a> {
    let values = Value::Object(values.clone());
    let run = run.file(VALUES_FILE, format!("{values:#}\n"));
    chart.files().iter().fold(run, |run, (path, bytes)| run.file(path.clone(), bytes.clone()))
}

/// Lints a chart; needs no cluster.
pub(crate) fn lint(
    ctx: &Context,
    chart: &Chart,
    values: &Map<String, Value>,
    strict: bool,
) -> Result<ToolOutput, Failure> {
    let run = ctx.tool(TOOL).args(["lint", chart.reference(), "--values", VALUES_FILE]);
    let run = if strict { run.arg("--strict") } else { run };
    with_files(run, chart, values).run()
}

/// A length of time as helm reads it, at least a second.
fn seconds(time: Duration) -> String {
    format!("{}s", time.as_secs().max(1))
}
