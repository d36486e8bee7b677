//! Whether a plugin may run a tool in this way: its manifest, the operator's declaration and the step's
//! binding must all agree.
//!
//! Pure: nothing is read or started here.

use windlass_bindings::windlass::plugin::tools::Command;
use windlass_model::connection::{Authentication, Connection, Tool};
use windlass_model::dry_run::is_in_form;
use windlass_model::grant::{Denial, Missing};
use windlass_model::manifest::{Action, ToolNeed};
use windlass_model::name::{ActionName, PluginName};

use crate::call::Access;

/// Flags with which a Kubernetes client would use another credential or cluster than the granted one,
/// or run a program; refused where a kubeconfig is handed over. `*` stands for any rest.
const FLAGS_DENIED: [&str; 3] = ["--kubeconfig", "--kube-*", "--post-renderer*"];

/// Who asks.
pub(super) struct Asking<'a> {
    pub(super) plugin: &'a PluginName,
    pub(super) name: &'a ActionName,
    pub(super) action: &'a Action,
    pub(super) access: &'a Access,
    pub(super) dry_run: bool,
}

/// What may be run, with which credential.
#[derive(Debug)]
pub(super) struct Granted<'a> {
    pub(super) tool: &'a Tool,
    pub(super) connection: Option<&'a Connection>,
    /// Whether both sides have declared that it changes nothing.
    pub(super) changes_nothing: bool,
}

pub(super) fn decide<'a>(command: &Command, asking: &Asking<'a>) -> Result<Granted<'a>, Box<Denial>> {
    let Asking { plugin, name, action, access, dry_run } = asking;
    let Command { tool: tool_name, arguments, connection: role, .. } = command;
    // A flag before the subcommand may take the next argument as its value, which would then look
    // like the subcommand.
    let subcommand = arguments.first().filter(|it| !it.starts_with('-'));
    let asked = format!("tool `{tool_name} {}`", subcommand.map_or("", String::as_str)).replace(" `", "`");
    let deny = |missing: Missing, remedy: String| Err(Box::new(Denial { asked: asked.clone(), missing, remedy }));
    let Some(subcommand) = subcommand else {
        return deny(Missing::Tool, "give the subcommand as the first argument, flags after it".to_owned());
    };
    let Some(need) = action.tools.get(tool_name.as_str()) else {
        let line = serde_json::json!({"description": "…", "subcommands": [subcommand]});
        return deny(
            Missing::Tool,
            format!("add to `actions.{name}.tools` in the manifest of `{plugin}`: \"{tool_name}\": {line}"),
        );
    };
    if !need.subcommands.contains(subcommand) {
        return deny(
            Missing::Tool,
            format!(
                "add to `actions.{name}.tools.{tool_name}.subcommands` in the manifest of `{plugin}`: \"{subcommand}\""
            ),
        );
    }
    let Some(tool) = access.tools.get(tool_name.as_str()) else {
        return deny(
            Missing::Tool,
            format!(
                "declare the tool: `windlass tool add {tool_name} --path /PATH/TO/{tool_name} --subcommand {subcommand}`"
            ),
        );
    };
    if !tool.subcommands.contains(subcommand) {
        return deny(
            Missing::Tool,
            format!("allow the subcommand: `windlass tool change {tool_name} --subcommand {subcommand}`"),
        );
    }
    if !tool.plugins.is_empty() && !tool.plugins.contains(plugin) {
        return deny(Missing::Tool, format!("allow the plugin: `windlass tool change {tool_name} --plugin {plugin}`"));
    }
    let connection = match role {
        None => None,
        Some(role) => Some(credential_of(role, tool, arguments, asking).map_err(|it| refused(asked.clone(), it))?),
    };
    // Last, so that what a real run would be refused for is told first.
    let changes_nothing = match changes_nothing(arguments, tool, need, asking) {
        Ok(()) => true,
        Err(why) if *dry_run => return Err(refused(asked, why)),
        Err(_) => false,
    };
    Ok(Granted { tool, connection, changes_nothing })
}

fn refused(asked: String, (missing, remedy): (Missing, String)) -> Box<Denial> {
    Box::new(Denial { asked, missing, remedy })
}

/// Both sides must have declared that a command changes nothing.
fn changes_nothing(
    arguments: &[String],
    tool: &Tool,
    need: &ToolNeed,
    asking: &Asking<'_>,
) -> Result<(), (Missing, String)> {
    let name = &tool.name;
    let form = need.dry_run.iter().find(|it| is_in_form(it, arguments));
    let Some(form) = form else {
        let forms = need.dry_run.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
        let has = if forms.is_empty() { "it has none".to_owned() } else { format!("it has {forms}") };
        let remedy = format!(
            "it would be run in a form of `actions.{}.tools.{name}.dry_run` in the manifest of `{}`; {has}",
            asking.name, asking.plugin
        );
        return Err((Missing::DryRun, remedy));
    };
    if tool.dry_run.iter().any(|it| is_in_form(it, arguments)) {
        return Ok(());
    }
    let remedy = format!("if that changes nothing: `windlass tool change {name} --dry-run '{form}'`");
    Err((Missing::DryRun, remedy))
}

/// The connection whose credential the tool is to have.
fn credential_of<'a>(
    role: &str,
    tool: &Tool,
    arguments: &[String],
    asking: &Asking<'a>,
) -> Result<&'a Connection, (Missing, String)> {
    let Asking { plugin, name, action, access, .. } = asking;
    let tool_name = &tool.name;
    let deny = |missing: Missing, remedy: String| Err((missing, remedy));
    let connection = match access.connections.get(role) {
        Some(connection) if action.connections.contains_key(role) => connection,
        _ => return deny(Missing::Connection, format!("bind a connection to the role `{role}` of action `{name}`")),
    };
    let connection_name = &connection.name;
    if !tool.connections.contains(connection_name) {
        return deny(
            Missing::Tool,
            format!(
                "let the tool have the credential: `windlass tool change {tool_name} --connection {connection_name}`"
            ),
        );
    }
    if !connection.plugins.is_empty() && !connection.plugins.contains(plugin) {
        return deny(
            Missing::PluginGrant,
            format!(
                "add the plugin to the connection: `windlass connection change {connection_name} --plugin {plugin}`"
            ),
        );
    }
    if !matches!(connection.authentication, Authentication::Kubeconfig { .. }) {
        let kind = connection.authentication.kind();
        return deny(
            Missing::Tool,
            format!("a tool can receive a kubeconfig; connection `{connection_name}` authenticates by `{kind}`"),
        );
    }
    if let Some(flag) = arguments.iter().find_map(|it| denied_flag(it)) {
        return deny(
            Missing::Tool,
            format!("leave `{flag}` out: the credential and the cluster are those of connection `{connection_name}`"),
        );
    }
    Ok(connection)
}

/// The flag of an argument, if it is a refused one.
fn denied_flag(argument: &str) -> Option<&str> {
    let flag = argument.split('=').next().unwrap_or_default();
    let matches = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => flag.starts_with(start),
        None => flag == pattern,
    };
    FLAGS_DENIED.iter().any(|it| matches(it)).then_some(flag)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use windlass_model::digest::Digest;
    use windlass_model::manifest::Manifest;

    use super::*;

    fn access(tool: serde_json::Value) -> Access {
        let tool: Tool = serde_json::from_value(tool).expect("a tool");
        let connection: Connection = serde_json::from_value(json!({
            "name": "prod", "authentication": {"type": "kubeconfig", "kubeconfig": "env:K"}
        }))
        .expect("a connection");
        let ci: Connection =
            serde_json::from_value(json!({"name": "ci", "base_url": "https://ci"})).expect("a connection");
        Access {
            connections: [("cluster".parse().expect("a role"), connection), ("ci".parse().expect("a role"), ci)].into(),
            tools: [(tool.name.clone(), tool)].into(),
        }
    }

    fn check(
        tool: serde_json::Value,
        arguments: &[&str],
        role: Option<&str>,
        dry_run: bool,
    ) -> Result<Option<String>, String> {
        let manifest = json!({
            "name": "helm", "version": "0.1.0", "contract": "0.1", "description": "d",
            "actions": {"upgrade": {
                "description": "d", "input": {}, "output": {}, "effect": "write",
                "connections": {"cluster": {"description": "d"}, "ci": {"description": "d"}},
                "tools": {"helm": {
                    "description": "d", "subcommands": ["upgrade", "status"],
                    "dry_run": ["upgrade --dry-run=server", "status"]
                }}
            }}
        });
        let manifest = Manifest::parse(manifest.to_string().as_bytes()).expect("a manifest");
        let (name, action) = manifest.actions.first_key_value().expect("an action");
        let access = access(tool);
        let command = Command {
            tool: "helm".to_owned(),
            arguments: arguments.iter().map(|it| (*it).to_owned()).collect(),
            connection: role.map(str::to_owned),
            files: Vec::new(),
            stdin: Vec::new(),
        };
        let asking = Asking { plugin: &manifest.name, name, action, access: &access, dry_run };
        decide(&command, &asking).map(|it| it.connection.map(|it| it.name.to_string())).map_err(|denial| denial.remedy)
    }

    fn helm() -> serde_json::Value {
        json!({
            "name": "helm", "path": "/bin/helm", "digest": Digest::of(b"").to_string(),
            "subcommands": ["upgrade", "list"], "connections": ["prod", "ci"]
        })
    }

    #[test]
    fn what_all_sides_grant_is_allowed() {
        assert_eq!(
            check(helm(), &["upgrade", "app", "--install"], Some("cluster"), false),
            Ok(Some("prod".to_owned()))
        );
        assert_eq!(check(helm(), &["upgrade", "--kube-token=x"], None, false), Ok(None));
        let mut tool = helm();
        tool["dry_run"] = json!(["upgrade --dry-run=server"]);
        let command = ["upgrade", "--dry-run=server", "app"];
        assert_eq!(check(tool, &command, Some("cluster"), true), Ok(Some("prod".to_owned())));
    }

    #[test]
    fn what_one_side_does_not_grant_is_denied_with_the_line_to_add() {
        let with = |name: &str, value: serde_json::Value| {
            let mut tool = helm();
            tool[name] = value;
            tool
        };
        for (tool, arguments, role, dry_run, expected) in [
            (helm(), &["list"][..], None, false, "add to `actions.upgrade.tools.helm.subcommands`"),
            (helm(), &["status"], None, false, "windlass tool change helm --subcommand status"),
            (helm(), &["--namespace", "upgrade", "uninstall"], None, false, "as the first argument"),
            (helm(), &[], None, false, "as the first argument"),
            (with("name", json!("kubectl")), &["upgrade"], None, false, "windlass tool add helm --path"),
            (with("plugins", json!(["other"])), &["upgrade"], None, false, "--plugin helm"),
            (with("connections", json!([])), &["upgrade"], Some("cluster"), false, "--connection prod"),
            (helm(), &["upgrade"], Some("ci"), false, "authenticates by `none`"),
            (helm(), &["upgrade"], Some("nowhere"), false, "bind a connection to the role `nowhere`"),
            (
                helm(),
                &["upgrade", "--kube-apiserver=https://evil"],
                Some("cluster"),
                false,
                "leave `--kube-apiserver` out",
            ),
            (helm(), &["upgrade", "--kubeconfig", "x"], Some("cluster"), false, "leave `--kubeconfig` out"),
            (helm(), &["upgrade", "--post-renderer", "sh"], Some("cluster"), false, "leave `--post-renderer` out"),
            (helm(), &["upgrade", "app"], None, true, "it has `upgrade --dry-run=server`, `status`"),
            (helm(), &["upgrade", "app", "--dry-run=server"], None, true, "in a form of"),
            (
                helm(),
                &["upgrade", "--dry-run=server", "app"],
                None,
                true,
                "change helm --dry-run 'upgrade --dry-run=server'",
            ),
            (with("dry_run", json!(["upgrade"])), &["upgrade", "app"], None, true, "in a form of"),
            (with("plugins", json!(["other"])), &["upgrade"], None, true, "--plugin helm"),
        ] {
            let remedy = check(tool, arguments, role, dry_run).expect_err(expected);
            assert!(remedy.contains(expected), "{arguments:?}: {remedy}");
        }
    }
}
