//! Plugins, connections, tools, groups and the store over the API.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use windlass_model::connection::{Connection, Tool};
use windlass_model::manifest::Manifest;
use windlass_sandbox::anatomy;
use windlass_store::DocumentKind;

use super::list::quarantined;
use super::{Answer, ApiError};
use crate::catalog::{Declaration, Installed};
use crate::runtime::{InstallError, Runtime, RuntimeError};

/// An installed plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginView {
    /// Digest of its component.
    pub component: String,
    /// What it says of itself.
    pub manifest: Manifest,
}

impl From<Installed> for PluginView {
    fn from(it: Installed) -> Self {
        Self { component: it.component.to_string(), manifest: it.manifest }
    }
}

/// A group and its members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupBody {
    /// Its name.
    pub name: String,
    /// Who belongs to it.
    pub members: Vec<String>,
}

/// How a connection is tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionTestBody {
    /// What is fetched, below the connection's address: `/`, `/api/json`.
    pub path: String,
}

/// What trying a connection showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionTest {
    /// Whether it works.
    pub works: bool,
    /// What was tried and what came back, a line each.
    pub findings: Vec<String>,
}

/// Whether a connection's secret is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretBody {
    /// Why it cannot be read where the steps run, if it cannot.
    pub unreadable: Option<String>,
}

fn failed(error: impl ToString) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error)
}

fn unknown(kind: &str, name: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("there is no {kind} `{name}`"))
}

pub(super) async fn plugins(State(runtime): State<Runtime>) -> Answer<Vec<PluginView>> {
    let plugins = runtime.catalog().plugins;
    Ok(Json(plugins.into_values().flat_map(BTreeMap::into_values).map(PluginView::from).collect()))
}

/// What an installed component imports.
pub(super) async fn plugin_imports(
    State(runtime): State<Runtime>,
    Path((name, version)): Path<(String, String)>,
) -> Answer<BTreeSet<String>> {
    let plugins = runtime.catalog().plugins;
    let installed = plugins.into_values().flat_map(BTreeMap::into_values);
    let found = installed
        .into_iter()
        .find(|it| it.manifest.name.as_str() == name && it.manifest.version.to_string() == version)
        .ok_or_else(|| unknown("plugin", &format!("{name}@{version}")))?;
    let read = tokio::task::spawn_blocking(move || runtime.store().blob(&found.component)).await;
    let bytes = read.map_err(failed)?.map_err(failed)?;
    let bytes = bytes.ok_or_else(|| failed(format!("the component of {name}@{version} is not in the store")))?;
    Ok(Json(anatomy(&bytes).map_err(failed)?.imports))
}

pub(super) async fn install_plugin(State(runtime): State<Runtime>, component: Bytes) -> Answer<PluginView> {
    match runtime.install(component.to_vec()).await {
        Ok(installed) => Ok(Json(installed.into())),
        Err(error @ InstallError::Refused(_)) => Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, error)),
        Err(error @ InstallError::VersionTaken { .. }) => Err(ApiError::new(StatusCode::CONFLICT, error)),
        Err(InstallError::Runtime(error)) => Err(error.into()),
    }
}

pub(super) async fn connections(State(runtime): State<Runtime>) -> Answer<Vec<Connection>> {
    Ok(Json(runtime.catalog().connections.into_values().collect()))
}

pub(super) async fn add_connection(
    State(runtime): State<Runtime>,
    Json(connection): Json<Connection>,
) -> Answer<Connection> {
    if let Some(url) = &connection.base_url {
        let problem = match url::Url::parse(url) {
            Err(_) => Some(format!("`{url}` is no address; write http://… or https://…")),
            Ok(it) if !matches!(it.scheme(), "http" | "https") => Some("only http and https will do".to_owned()),
            Ok(it) if !it.username().is_empty() || it.password().is_some() => {
                Some("credentials do not belong into an address; say how to authenticate instead".to_owned())
            }
            Ok(it) if it.query().is_some() || it.fragment().is_some() => {
                Some("an address has no query and no fragment".to_owned())
            }
            Ok(_) if url.ends_with('/') => Some("leave out the slash at its end".to_owned()),
            Ok(_) => None,
        };
        if let Some(problem) = problem {
            let error = format!("the address of connection `{}` will not do: {problem}", connection.name);
            return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, error));
        }
    }
    runtime.declare(Declaration::Connection(connection.clone())).await?;
    Ok(Json(connection))
}

pub(super) async fn remove_connection(
    State(runtime): State<Runtime>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    match runtime.forget(DocumentKind::Connection, &name).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(unknown("connection", &name)),
    }
}

fn known(runtime: &Runtime, name: &str) -> Result<Connection, ApiError> {
    runtime.catalog().connections.get(name).cloned().ok_or_else(|| unknown("connection", name))
}

pub(super) async fn connection_secret(State(runtime): State<Runtime>, Path(name): Path<String>) -> Answer<SecretBody> {
    let connection = known(&runtime, &name)?;
    let sandbox = runtime.sandbox().map_err(failed)?;
    Ok(Json(SecretBody { unreadable: sandbox.unreadable_secret(&connection) }))
}

pub(super) async fn test_connection(
    State(runtime): State<Runtime>,
    Path(name): Path<String>,
    Json(body): Json<ConnectionTestBody>,
) -> Answer<ConnectionTest> {
    let connection = known(&runtime, &name)?;
    if !body.path.starts_with('/') {
        let error = format!("`{}` is no path below the connection's address: it begins with `/`", body.path);
        return Err(ApiError::new(StatusCode::BAD_REQUEST, error));
    }
    let probe = runtime.sandbox().map_err(failed)?.test_connection(&connection, &body.path).await;
    Ok(Json(ConnectionTest { works: probe.works, findings: probe.findings }))
}

pub(super) async fn tools(State(runtime): State<Runtime>) -> Answer<Vec<Tool>> {
    Ok(Json(runtime.catalog().tools.into_values().collect()))
}

pub(super) async fn add_tool(State(runtime): State<Runtime>, Json(tool): Json<Tool>) -> Answer<Tool> {
    let refuse = |error: String| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, error);
    if !tool.path.is_absolute() {
        return Err(refuse(format!("the path of tool `{}` is not absolute: {}", tool.name, tool.path.display())));
    }
    let bytes = tokio::fs::read(&tool.path)
        .await
        .map_err(|error| refuse(format!("tool `{}` cannot be read at {}: {error}", tool.name, tool.path.display())))?;
    let found = windlass_model::digest::Digest::of(&bytes);
    if found != tool.digest {
        return Err(refuse(format!("{} has digest {found}, not {}", tool.path.display(), tool.digest)));
    }
    runtime.declare(Declaration::Tool(tool.clone())).await?;
    Ok(Json(tool))
}

pub(super) async fn remove_tool(
    State(runtime): State<Runtime>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    match runtime.forget(DocumentKind::Tool, &name).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(unknown("tool", &name)),
    }
}

pub(super) async fn groups(State(runtime): State<Runtime>) -> Answer<Vec<GroupBody>> {
    let groups = runtime.catalog().groups.0;
    Ok(Json(groups.into_iter().map(|(name, members)| GroupBody { name, members }).collect()))
}

pub(super) async fn add_group(State(runtime): State<Runtime>, Json(body): Json<GroupBody>) -> Answer<GroupBody> {
    if body.name.trim().is_empty() || body.members.iter().any(|it| it.trim().is_empty()) {
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "a group and its members have names"));
    }
    runtime.declare(Declaration::Group(body.name.clone(), body.members.clone())).await?;
    Ok(Json(body))
}

/// Where a backup goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupBody {
    /// An absolute path at which there is nothing yet.
    pub folder: std::path::PathBuf,
}

pub(super) async fn back_up(State(runtime): State<Runtime>, Json(body): Json<BackupBody>) -> Answer<serde_json::Value> {
    if !body.folder.is_absolute() {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "`folder` is an absolute path"));
    }
    let report = runtime.backup(body.folder).await.map_err(|error| match error {
        RuntimeError::Backup(_) => ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, error),
        other => other.into(),
    })?;
    Ok(Json(backup_view(&report)))
}

/// What a backup holds.
pub fn backup_view(report: &windlass_store::BackupReport) -> serde_json::Value {
    serde_json::json!({
        "releases": report.releases, "records": report.records, "documents": report.documents, "blobs": report.blobs,
        "bytes": report.bytes, "digest": report.digest.to_string(), "left_out": report.left_out,
    })
}

pub(super) async fn repair_store(State(runtime): State<Runtime>) -> Answer<serde_json::Value> {
    let report = runtime.repair().await?;
    let quarantined = report.quarantined.iter().map(|it| format!("{}: {}", it.release, it.what));
    Ok(Json(serde_json::json!({
        "outlines": report.outlines, "numbers": report.numbers, "listed": report.listed,
        "quarantined": quarantined.collect::<Vec<_>>(),
    })))
}

pub(super) async fn check_store(State(runtime): State<Runtime>) -> Answer<serde_json::Value> {
    let store = runtime.store().clone();
    let report = tokio::task::spawn_blocking(move || store.check()).await.map_err(failed)?.map_err(failed)?;
    let mut findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    findings.extend(runtime.check_replay().map_err(failed)?);
    let quarantined = tokio::task::spawn_blocking(move || quarantined(&runtime)).await.map_err(failed)??;
    Ok(Json(serde_json::json!({
        "releases": report.releases,
        "archived": report.archived,
        "records": report.records,
        "blobs": report.blobs,
        "findings": findings,
        "quarantined": quarantined,
    })))
}
