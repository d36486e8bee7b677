//! A workflow against what is installed: plugins, their actions' schemas, connections, tools.

use std::borrow::Cow;
use std::collections::BTreeMap;

use semver::{Version, VersionReq};
use serde_json::{Value, json};

use crate::connection::{Connection, Tool};
use crate::digest::Digest;
use crate::grant::may_overlap;
use crate::manifest::{Action, Manifest};
use crate::name::{ConnectionName, PluginName, RoleName, ToolName, WorkflowName};
use crate::parse::{At, Draft, DraftConnections, DraftStep, DraftUses};
use crate::plan::{Pin, Runs};
use crate::problem::{Extent, Report, did_you_mean, listed};

use super::expression::{self, Thoroughness};
use super::input::Written;
use super::{input, order};

/// What is installed and declared, as the checks ask for it.
pub trait Catalog {
    /// The newest installed version of a plugin that will do.
    fn plugin(&self, name: &PluginName, version: &VersionReq) -> PluginLookup<'_>;

    /// A declared connection.
    fn connection(&self, name: &ConnectionName) -> Option<&Connection>;

    /// Every declared connection's name.
    fn connections(&self) -> Vec<&ConnectionName>;

    /// The connection that is bound where a file names this one.
    fn bound(&self, name: &ConnectionName) -> ConnectionName {
        name.clone()
    }

    /// A declared tool.
    fn tool(&self, name: &ToolName) -> Option<&Tool>;

    /// Every declared tool's name.
    fn tools(&self) -> Vec<&ToolName>;

    /// The workflow in a file, by the name that the file which uses it gives it.
    fn workflow(&self, _file: &str) -> Option<&InnerWorkflow> {
        None
    }
}

/// A workflow that a step runs.
#[derive(Debug, Clone)]
pub struct InnerWorkflow {
    /// Its name.
    pub workflow: WorkflowName,
    /// Its plan.
    pub plan: Digest,
    /// JSON Schema of its parameters.
    pub input: Value,
    /// JSON Schema of its outputs.
    pub output: Value,
}

/// What was found for a plugin's name.
#[derive(Debug)]
pub enum PluginLookup<'c> {
    /// It is installed.
    Found {
        /// What it says of itself.
        manifest: &'c Manifest,
        /// Its component.
        component: Digest,
    },
    /// It is installed, but in no version that will do.
    NoSuchVersion {
        /// Those that are.
        installed: Vec<Version>,
    },
    /// It is not installed.
    Unknown {
        /// Those that are.
        names: Vec<PluginName>,
    },
}

/// A catalog in memory.
#[derive(Debug, Clone, Default)]
pub struct Installed {
    plugins: BTreeMap<PluginName, BTreeMap<Version, (Manifest, Digest)>>,
    connections: BTreeMap<ConnectionName, Connection>,
    tools: BTreeMap<ToolName, Tool>,
}

impl Installed {
    /// Adds a plugin; another component of the same version takes its place.
    pub fn add_plugin(&mut self, manifest: Manifest, component: Digest) {
        self.plugins.entry(manifest.name.clone()).or_default().insert(manifest.version.clone(), (manifest, component));
    }

    /// Adds a connection.
    pub fn add_connection(&mut self, connection: Connection) {
        self.connections.insert(connection.name.clone(), connection);
    }

    /// Adds a tool.
    pub fn add_tool(&mut self, tool: Tool) {
        self.tools.insert(tool.name.clone(), tool);
    }
}

impl Catalog for Installed {
    fn plugin(&self, name: &PluginName, version: &VersionReq) -> PluginLookup<'_> {
        let Some(versions) = self.plugins.get(name) else {
            return PluginLookup::Unknown { names: self.plugins.keys().cloned().collect() };
        };
        match versions.iter().rev().find(|(it, _)| version.matches(it)) {
            Some((_, (manifest, component))) => PluginLookup::Found { manifest, component: *component },
            None => PluginLookup::NoSuchVersion { installed: versions.keys().cloned().collect() },
        }
    }

    fn connection(&self, name: &ConnectionName) -> Option<&Connection> {
        self.connections.get(name)
    }

    fn connections(&self) -> Vec<&ConnectionName> {
        self.connections.keys().collect()
    }

    fn tool(&self, name: &ToolName) -> Option<&Tool> {
        self.tools.get(name)
    }

    fn tools(&self) -> Vec<&ToolName> {
        self.tools.keys().collect()
    }
}

/// A step with the action that it runs.
struct Resolved<'c> {
    manifest: &'c Manifest,
    component: Digest,
    action: &'c Action,
}

/// Checks a workflow against a catalog; pins in the order of the file when every step has one.
pub(crate) fn against(draft: &Draft, catalog: &dyn Catalog, report: &mut Report<'_>) -> Option<Vec<Pin>> {
    let resolved: Vec<Option<Resolved<'_>>> = draft.steps.iter().map(|it| resolve(it, catalog, report)).collect();
    let given: BTreeMap<&str, Cow<'_, Value>> = draft
        .steps
        .iter()
        .zip(&resolved)
        .filter_map(|(step, it)| {
            let nested = step.uses_file.as_ref().and_then(|it| catalog.workflow(&it.value)).map(|it| &it.output);
            let output = it.as_ref().map(|it| &it.action.output).or(nested)?;
            Some((step.name.value.as_str(), output_of(step, output)))
        })
        .collect();
    let outputs = |name: &str| -> Option<&Value> { given.get(name).map(AsRef::as_ref) };
    // What is wrong with the order has been said; here it only tells what an expression can name.
    let mut said = Report::new(report.source);
    let order = order::check(draft, &mut said);
    expression::check(draft, &order, &outputs, Thoroughness::OutputsOnly, report);
    let mut pins = Vec::new();
    for (step, resolved) in draft.steps.iter().zip(&resolved) {
        if let Some(nested) = step.uses_file.as_ref().and_then(|it| catalog.workflow(&it.value)) {
            let type_of = |it| expression::type_of(draft, &order, &outputs, Some(step), it);
            if !step.with_is_broken {
                let written = Written::input(step, &format!("workflow {}", nested.workflow));
                input::check(&written, &nested.input, &type_of, report);
            }
            pins.push(Pin::of_workflow(nested.plan));
            continue;
        }
        let (Some(resolved), Some(uses)) = (resolved, &step.uses) else {
            // Whatever it is that runs there, it would have these.
            for name in step.connections.named() {
                declared(name, catalog, report);
            }
            continue;
        };
        let connections = bind(step, uses, resolved, catalog, report);
        check_tools(uses, resolved, connections.as_ref(), catalog, report);
        let action = format!("{}/{}", uses.plugin.value, uses.action.value);
        let type_of = |it| expression::type_of(draft, &order, &outputs, Some(step), it);
        if !step.with_is_broken {
            input::check(&Written::input(step, &action), &resolved.action.input, &type_of, report);
        }
        pins.extend(connections.map(|connections| Pin {
            runs: Runs::Component(resolved.component),
            version: resolved.manifest.version.clone(),
            effect: resolved.action.effect,
            cancel: resolved.action.cancel,
            rollback: resolved.action.rollback,
            find: resolved.action.find,
            connections,
        }));
    }
    for output in &draft.outputs {
        let Some(declared) = &output.declared else { continue };
        let type_of = |it| expression::type_of(draft, &order, &outputs, None, it);
        input::check(&Written::output(output), &declared.schema, &type_of, report);
    }
    (pins.len() == draft.steps.len()).then_some(pins)
}

/// The schema of what a step gives: of a step that runs for items their list, or what it is reduced to.
fn output_of<'c>(step: &DraftStep, action: &'c Value) -> Cow<'c, Value> {
    match &step.for_each {
        None => Cow::Borrowed(action),
        Some(for_each) if for_each.reduce.is_some() => Cow::Owned(json!({})),
        // An item that failed and was allowed to gives nothing.
        Some(_) => Cow::Owned(json!({ "type": "array", "items": action })),
    }
}

fn resolve<'c>(step: &DraftStep, catalog: &'c dyn Catalog, report: &mut Report<'_>) -> Option<Resolved<'c>> {
    let uses = step.uses.as_ref()?;
    match catalog.plugin(&uses.plugin.value, &uses.version.value) {
        PluginLookup::Found { manifest, component } => {
            let Some(action) = manifest.actions.get(&uses.action.value) else {
                let names = || manifest.actions.keys().map(|it| it.as_str());
                let suggestion = did_you_mean(uses.action.value.as_str(), names());
                let message =
                    format!("plugin `{}` {} has no action `{}`", manifest.name, manifest.version, uses.action.value);
                let problem = report.error(uses.action.extent, "unknown-action", message);
                if let PluginLookup::Found { manifest: newest, .. } =
                    catalog.plugin(&uses.plugin.value, &VersionReq::STAR)
                    && newest.actions.contains_key(&uses.action.value)
                {
                    let asked = &uses.version.value;
                    problem.note(format!("{} has it and is installed; `{asked}` leaves it out", newest.version));
                    let minor = newest.version.minor;
                    problem.suggest(format!("ask for it: `@^{}.{minor}`", newest.version.major));
                    return None;
                }
                if suggestion.is_none() {
                    problem.note(format!("its actions are {}", listed(names())));
                }
                problem.suggest_some(suggestion);
                return None;
            };
            Some(Resolved { manifest, component, action })
        }
        PluginLookup::NoSuchVersion { installed } => {
            let extent = if uses.version.extent.start < uses.version.extent.end {
                uses.version.extent
            } else {
                uses.plugin.extent
            };
            let message = format!("no installed version of plugin `{}` is `{}`", uses.plugin.value, uses.version.value);
            report
                .error(extent, "unknown-version", message)
                .note(format!("installed: {}", listed(&installed)))
                .suggest("install one that is, or ask for another version");
            None
        }
        PluginLookup::Unknown { names } => {
            let suggestion = did_you_mean(uses.plugin.value.as_str(), names.iter().map(|it| it.as_str()));
            let problem = report.error(
                uses.plugin.extent,
                "unknown-plugin",
                format!("plugin `{}` is not installed", uses.plugin.value),
            );
            problem.note(format!("installed: {}", listed(&names)));
            problem.suggest(suggestion.unwrap_or_else(|| "install it with `windlass plugin install`".to_owned()));
            None
        }
    }
}

/// Which connection each role gets; none when something is wrong with that.
fn bind(
    step: &DraftStep,
    uses: &DraftUses,
    resolved: &Resolved<'_>,
    catalog: &dyn Catalog,
    report: &mut Report<'_>,
) -> Option<BTreeMap<RoleName, ConnectionName>> {
    let roles = &resolved.action.connections;
    let action = format!("{}/{}", uses.plugin.value, uses.action.value);
    let names = || roles.keys().map(|it| it.as_str());
    let bound: Vec<(RoleName, &At<ConnectionName>)> = match &step.connections {
        DraftConnections::Unreadable => return None,
        DraftConnections::Unbound => Vec::new(),
        DraftConnections::Only(connection) => {
            let required: Vec<_> = roles.iter().filter(|(_, it)| it.required).map(|(name, _)| name).collect();
            match (roles.len(), required.as_slice()) {
                (0, _) => {
                    report
                        .error(connection.extent, "connection", format!("`{action}` takes no connection"))
                        .suggest("leave it out");
                    return None;
                }
                (1, _) => roles.keys().map(|it| (it.clone(), connection)).collect(),
                (_, [only]) => vec![((*only).clone(), connection)],
                _ => {
                    let example: Vec<String> = names().map(|it| format!("{it}: …")).collect();
                    report
                        .error(
                            connection.extent,
                            "connection",
                            format!("`{action}` takes more than one connection: {}", listed(names())),
                        )
                        .suggest(format!("write `connections: {{ {} }}`", example.join(", ")));
                    return None;
                }
            }
        }
        DraftConnections::ByRole(pairs) => {
            let mut bound = Vec::new();
            for (role, connection) in pairs {
                if roles.contains_key(&role.value) {
                    bound.push((role.value.clone(), connection));
                } else {
                    let problem = report.error(
                        role.extent,
                        "unknown-role",
                        format!("`{action}` has no connection role `{}`", role.value),
                    );
                    if roles.is_empty() {
                        problem.suggest("leave it out; the action takes no connection");
                    } else {
                        problem.note(format!("its roles are {}", listed(names())));
                        problem.suggest_some(did_you_mean(role.value.as_str(), names()));
                    }
                }
            }
            bound
        }
    };
    let mut good = true;
    for (name, role) in roles.iter().filter(|(name, it)| it.required && !bound.iter().any(|(it, _)| it == *name)) {
        good = false;
        let problem = report.error(
            uses.action.extent,
            "missing-connection",
            format!("`{action}` needs a connection for `{name}`"),
        );
        problem.note(format!("`{name}`: {}", role.description));
        let declared = catalog.connections();
        if !declared.is_empty() {
            problem.note(format!("declared are {}", listed(declared)));
        }
        problem.suggest(if roles.len() == 1 {
            "add `connection: <name>`".to_owned()
        } else {
            format!("add `connections: {{ {name}: <name> }}`")
        });
    }
    for (role, name) in &bound {
        good &= check_connection(resolved, role, name, catalog, report);
    }
    good.then(|| bound.into_iter().map(|(role, name)| (role, catalog.bound(&name.value))).collect())
}

/// The connection that is bound by this name.
fn declared<'c>(
    name: &At<ConnectionName>,
    catalog: &'c dyn Catalog,
    report: &mut Report<'_>,
) -> Option<&'c Connection> {
    let bound = catalog.bound(&name.value);
    let connection = catalog.connection(&bound);
    if connection.is_none() {
        let declared = catalog.connections();
        let suggestion = did_you_mean(bound.as_str(), declared.iter().map(|it| it.as_str()));
        let problem = report.error(name.extent, "unknown-connection", format!("there is no connection `{bound}`"));
        if bound != name.value {
            problem.note(format!("it was to take the place of `{}`", name.value));
        }
        problem.note(format!("declared are {}", listed(&declared)));
        problem.suggest(suggestion.unwrap_or_else(|| format!("declare it with `windlass connection add {bound}`")));
    }
    connection
}

fn check_connection(
    resolved: &Resolved<'_>,
    role: &RoleName,
    name: &At<ConnectionName>,
    catalog: &dyn Catalog,
    report: &mut Report<'_>,
) -> bool {
    let Some(connection) = declared(name, catalog, report) else { return false };
    let bound = &connection.name;
    let plugin = &resolved.manifest.name;
    if !connection.plugins.is_empty() && !connection.plugins.contains(plugin) {
        report
            .error(name.extent, "connection-grant", format!("connection `{bound}` is not granted to plugin `{plugin}`"))
            .note(format!("it is granted to {}", listed(&connection.plugins)))
            .suggest(format!("add \"{plugin}\" to `plugins` of the connection"));
        return false;
    }
    let requests = resolved.action.connections.get(role).is_some_and(|it| !it.requests.is_empty());
    if requests && connection.base_url.is_none() {
        report
            .error(
                name.extent,
                "connection-address",
                format!("connection `{bound}` has no address, and `{role}` makes requests to it"),
            )
            .suggest("bind another one, or give it a `base_url`");
        return false;
    }
    told_of_denied(resolved, role, connection, name.extent, report);
    true
}

/// What the action asks for and a connection allows no part of: it is denied whenever it is asked for. Less than what is asked
/// for is no mistake; an action that asks for every path does what its input says, and one method may be all it is to have.
fn told_of_denied(
    resolved: &Resolved<'_>,
    role: &RoleName,
    connection: &Connection,
    extent: Extent,
    report: &mut Report<'_>,
) {
    let asked = resolved.action.connections.get(role).map(|it| it.requests.as_slice()).unwrap_or_default();
    if connection.allow.is_empty() {
        return;
    }
    let mut denied = Vec::new();
    for rule in asked {
        let is_denied = |method: &&String| {
            !connection.allow.iter().any(|it| it.methods.contains(method) && may_overlap(&it.path, &rule.path))
        };
        let methods: Vec<&String> = rule.methods.iter().filter(is_denied).collect();
        if rule.path != "/**" || methods.len() == rule.methods.len() {
            denied.extend(methods.into_iter().map(|method| format!("{method} {}", rule.path)));
        }
    }
    if denied.is_empty() {
        return;
    }
    let allows: Vec<String> = denied.iter().map(|it| format!("--allow '{it}'")).collect();
    let message =
        format!("connection `{}` does not allow {}, which the action may ask for", connection.name, listed(&denied));
    report.warning(extent, "request-grant", message).suggest(format!(
        "if it is to: `windlass connection change {} {}`",
        connection.name,
        allows.join(" ")
    ));
}

fn check_tools(
    uses: &DraftUses,
    resolved: &Resolved<'_>,
    connections: Option<&BTreeMap<RoleName, ConnectionName>>,
    catalog: &dyn Catalog,
    report: &mut Report<'_>,
) {
    let action = format!("{}/{}", uses.plugin.value, uses.action.value);
    let extent = Extent { start: uses.plugin.extent.start, end: uses.action.extent.end };
    let plugin = &resolved.manifest.name;
    let mut receiving: Vec<&ConnectionName> = Vec::new();
    for (name, need) in &resolved.action.tools {
        let Some(tool) = catalog.tool(name) else {
            let declared = catalog.tools();
            let problem = report.error(
                extent,
                "unknown-tool",
                format!("`{action}` runs the tool `{name}`, which is not declared"),
            );
            problem.note(format!("`{name}`: {}", need.description));
            if !declared.is_empty() {
                problem.note(format!("declared are {}", listed(declared)));
            }
            let for_tools = connections.into_iter().flatten().filter(|(role, _)| is_for_tools(resolved, role));
            let options = [
                options("--subcommand", &need.subcommands),
                options("--dry-run", &need.dry_run),
                options("--connection", for_tools.map(|(_, connection)| connection)),
            ];
            problem.suggest(format!("`windlass tool add {name} --path /PATH/TO/{name}{}`", options.concat()));
            return;
        };
        if !tool.plugins.is_empty() && !tool.plugins.contains(plugin) {
            report
                .error(extent, "tool-grant", format!("tool `{name}` is not granted to plugin `{plugin}`"))
                .suggest(format!("`windlass tool change {name} --plugin {plugin}`"));
        }
        let missing: Vec<&String> = need.subcommands.iter().filter(|it| !tool.subcommands.contains(it)).collect();
        if !missing.is_empty() {
            report
                .error(
                    extent,
                    "tool-grant",
                    format!(
                        "`{action}` runs {} of `{name}`, which the tool's declaration does not allow",
                        listed(&missing)
                    ),
                )
                .note(format!("allowed are {}", listed(&tool.subcommands)))
                .suggest(format!("`windlass tool change {name}{}`", options("--subcommand", missing)));
        }
        receiving.extend(&tool.connections);
    }
    if resolved.action.tools.is_empty() {
        return;
    }
    // A role without requests is for its credential, which only a tool can receive.
    for (role, connection) in connections.into_iter().flatten() {
        if is_for_tools(resolved, role) && !receiving.contains(&connection) {
            let tools =
                resolved.action.tools.keys().map(|it| format!("windlass tool change {it} --connection {connection}"));
            report
                .error(
                    extent,
                    "tool-grant",
                    format!("no tool of `{action}` may receive the credential of connection `{connection}`"),
                )
                .suggest(listed(tools));
        }
    }
}

/// Whether a role is for its credential alone, which a tool gets.
fn is_for_tools(resolved: &Resolved<'_>, role: &RoleName) -> bool {
    resolved.action.connections.get(role).is_some_and(|it| it.requests.is_empty())
}

/// Options of a command, as a shell takes them.
fn options<T: ToString>(option: &str, values: impl IntoIterator<Item = T>) -> String {
    let quoted = |it: String| if it.contains(' ') { format!("'{it}'") } else { it };
    values.into_iter().map(|it| format!(" {option} {}", quoted(it.to_string()))).collect()
}
