//! Which connections and tools an action is tried out with, as they are written on the command line.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;

use anyhow::Context as _;
use url::{Host, Url};
use windlass_model::connection::{Authentication, Connection, Tool};
use windlass_model::digest::Digest;
use windlass_model::manifest::Action;
use windlass_model::name::{RoleName, ToolName};
use windlass_model::problem::listed;
use windlass_sandbox::Access;

/// What the command line says.
#[derive(Debug, Default)]
pub(crate) struct Bindings {
    /// `ROLE=URL` or `ROLE=@FILE`
    pub(crate) connections: Vec<String>,
    /// `ROLE=KIND:…`
    pub(crate) credentials: Vec<String>,
    /// `NAME=PATH`
    pub(crate) tools: Vec<String>,
    pub(crate) private_network: bool,
}

/// What the action may reach.
pub(crate) fn access(bindings: &Bindings, action: &Action) -> anyhow::Result<Access> {
    let mut access = Access::default();
    for given in &bindings.connections {
        let (role, what) = pair(given, "--connection", "ROLE=URL")?;
        let role = known(role, action)?;
        access.connections.insert(role.clone(), connection(&role, what, bindings.private_network)?);
    }
    for given in &bindings.credentials {
        let (role, what) = pair(given, "--credential", "ROLE=KIND:…")?;
        let role = known(role, action)?;
        let connection = access.connections.get_mut(&role).with_context(|| {
            format!("`--credential {role}=…` is of a role without a connection; say `--connection {role}=URL` as well")
        })?;
        connection.authentication = credential(what).with_context(|| format!("`--credential {role}=…`"))?;
    }
    let missing: Vec<String> = action
        .connections
        .iter()
        .filter(|(role, need)| need.required && !access.connections.contains_key(*role))
        .map(|(role, need)| format!("`--connection {role}=URL` ({})", need.description.trim_end_matches('.')))
        .collect();
    anyhow::ensure!(missing.is_empty(), "the action needs {}", missing.join(" and "));
    for given in &bindings.tools {
        let (name, path) = pair(given, "--tool", "NAME=PATH")?;
        let tool = tool(name, Path::new(path), action, &access)?;
        access.tools.insert(tool.name.clone(), tool);
    }
    Ok(access)
}

fn pair<'a>(given: &'a str, flag: &str, form: &str) -> anyhow::Result<(&'a str, &'a str)> {
    let pair = given.split_once('=').filter(|(name, what)| !name.is_empty() && !what.is_empty());
    // It may hold a secret that was written out: it is not repeated.
    pair.with_context(|| format!("`{flag}` is written {flag} {form}"))
}

fn known(role: &str, action: &Action) -> anyhow::Result<RoleName> {
    let found = action.connections.keys().find(|it| it.as_str() == role);
    found
        .cloned()
        .with_context(|| format!("the action has no role `{role}`; it has {}", listed(action.connections.keys())))
}

fn connection(role: &RoleName, what: &str, private_network: bool) -> anyhow::Result<Connection> {
    if let Some(file) = what.strip_prefix('@') {
        let text = std::fs::read_to_string(file).with_context(|| format!("{file} cannot be read"))?;
        return serde_json::from_str(&text).with_context(|| {
            format!("{file} is no connection; `windlass connection list --json` shows what one looks like")
        });
    }
    let url = Url::parse(what).ok().filter(|it| matches!(it.scheme(), "http" | "https") && it.has_host());
    let url =
        url.with_context(|| format!("`--connection {role}=…` is no address; write http://… or https://…, or @FILE"))?;
    anyhow::ensure!(
        url.username().is_empty() && url.password().is_none(),
        "`--connection {role}=…` has a user or a password in its address; say `--credential {role}=basic:USER:env:NAME`"
    );
    Ok(Connection {
        name: role.as_str().parse().context("the connection's name")?,
        base_url: Some(what.trim_end_matches('/').to_owned()),
        authentication: Authentication::None,
        properties: BTreeMap::new(),
        allow: Vec::new(),
        reads: Vec::new(),
        plugins: Vec::new(),
        // Who writes an address in a private network down means it.
        private_network: private_network || is_plainly_local(what),
        needs_rollback_trigger: false,
    })
}

/// Whether the address itself says that it is on this machine or in a private network.
pub(crate) fn is_plainly_local(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let address = match url.host() {
        Some(Host::Domain(name)) => return name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        None => return false,
    };
    match address {
        IpAddr::V4(it) => it.is_loopback() || it.is_private(),
        IpAddr::V6(it) => it.is_loopback() || it.is_unique_local(),
    }
}

const CREDENTIALS: &str = "write bearer:REFERENCE, basic:USER:REFERENCE, header:NAME:REFERENCE or kubeconfig:REFERENCE; a reference is env:NAME or file:/path";

fn credential(what: &str) -> anyhow::Result<Authentication> {
    let (kind, rest) = what.split_once(':').context(CREDENTIALS)?;
    let named = || -> anyhow::Result<(String, _)> {
        let (name, secret) = rest.split_once(':').context(CREDENTIALS)?;
        // `header:env:KEY`: what has no name.
        anyhow::ensure!(!matches!(name, "env" | "file"), CREDENTIALS);
        Ok((name.to_owned(), reference(secret)?))
    };
    Ok(match kind {
        "bearer" => Authentication::Bearer { token: reference(rest)? },
        "kubeconfig" => Authentication::Kubeconfig { kubeconfig: reference(rest)? },
        "basic" => {
            let (username, password) = named()?;
            Authentication::Basic { username, password }
        }
        "header" => {
            let (header, value) = named()?;
            Authentication::Header { header, value }
        }
        _ => anyhow::bail!(CREDENTIALS),
    })
}

fn reference<T: FromStr>(text: &str) -> anyhow::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    Ok(text.parse()?)
}

fn tool(name: &str, path: &Path, action: &Action, access: &Access) -> anyhow::Result<Tool> {
    let need = action.tools.iter().find(|(it, _)| it.as_str() == name);
    let (name, need): (&ToolName, _) =
        need.with_context(|| format!("the action runs no tool `{name}`; it runs {}", listed(action.tools.keys())))?;
    let path = path.canonicalize().with_context(|| format!("{} cannot be found", path.display()))?;
    let program = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(Tool {
        name: name.clone(),
        digest: Digest::of(&program),
        path,
        subcommands: need.subcommands.clone(),
        // Who names the program agrees to what the manifest says of it.
        dry_run: need.dry_run.clone(),
        connections: access.connections.values().map(|it| it.name.clone()).collect(),
        plugins: Vec::new(),
        wall_ms: Tool::default_wall_ms(),
        output_bytes: Tool::default_output_bytes(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn action() -> Action {
        let action = json!({
            "description": "d", "effect": "read", "input": {}, "output": {},
            "connections": {
                "jobs": { "description": "The job service.", "requests": [] },
                "more": { "description": "d", "required": false },
            },
            "tools": { "sh": { "description": "d", "subcommands": ["x"] } },
        });
        serde_json::from_value(action).expect("an action")
    }

    fn tried(connections: &[&str], credentials: &[&str], tools: &[&str]) -> Result<Access, String> {
        let owned = |of: &[&str]| of.iter().map(|it| (*it).to_owned()).collect();
        let bindings = Bindings {
            connections: owned(connections),
            credentials: owned(credentials),
            tools: owned(tools),
            private_network: false,
        };
        access(&bindings, &action()).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn an_address_that_is_plainly_local_may_be_reached_and_no_other() {
        for (url, local) in [
            ("http://127.0.0.1:8000/v1/", true),
            ("http://localhost:8000", true),
            ("http://10.1.2.3", true),
            ("http://[::1]:80", true),
            ("https://example.com", false),
            ("https://localhost.example.com", false),
            ("https://8.8.8.8", false),
        ] {
            let access = tried(&[&format!("jobs={url}")], &[], &[]).expect("bound");
            let connection = &access.connections[&"jobs".parse::<RoleName>().expect("a name")];
            assert_eq!(connection.private_network, local, "{url}");
            assert_eq!(connection.base_url.as_deref(), Some(url.trim_end_matches('/')));
        }
    }

    #[test]
    fn credentials_are_referred_to() {
        for (given, kind) in [
            ("bearer:env:TOKEN", "bearer"),
            ("basic:bot:file:/etc/token", "basic"),
            ("header:X-Api-Key:env:KEY", "header"),
            ("kubeconfig:file:/etc/kubeconfig", "kubeconfig"),
        ] {
            let access = tried(&["jobs=http://a"], &[&format!("jobs={given}")], &[]).expect("bound");
            assert_eq!(access.connections.values().next().expect("one").authentication.kind(), kind);
        }
    }

    #[test]
    fn what_is_not_as_it_should_be_says_what_would_be() {
        for (connections, credentials, tools, expected) in [
            (&[][..], &[][..], &[][..], "`--connection jobs=URL` (The job service)"),
            (&["job=http://a"], &[], &[], "no role `job`; it has `jobs` and `more`"),
            (&["jobs"], &[], &[], "--connection ROLE=URL"),
            (&["jobs=ftp://a"], &[], &[], "write http://…"),
            (&["jobs=http://me:pw@a"], &[], &[], "--credential jobs=basic"),
            (&["jobs=@/no/such/file"], &[], &[], "cannot be read"),
            (&["jobs=http://a"], &["more=bearer:env:T"], &[], "--connection more=URL"),
            (&["jobs=http://a"], &["jobs=bearer:hunter2"], &[], "a secret is never written out"),
            (&["jobs=http://a"], &["jobs=header:env:KEY"], &[], "header:NAME:REFERENCE"),
            (&["jobs=http://a"], &["jobs=hunter2"], &[], "write bearer:REFERENCE"),
            (&["jobs=http://a"], &[], &["helm=/bin/sh"], "no tool `helm`; it runs `sh`"),
            (&["jobs=http://a"], &[], &["sh=/no/such"], "cannot be found"),
        ] {
            let error = tried(connections, credentials, tools).expect_err(expected);
            assert!(error.contains(expected), "{expected:?} is not in {error:?}");
            assert!(!error.contains("hunter2") && !error.contains("pw"), "{error}");
        }
        assert!(tried(&["jobs=http://a"], &[], &["sh=/bin/sh"]).is_ok());
    }
}
