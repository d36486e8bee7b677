//! What is printed, in helm's shapes.

use super::command::Output;
use super::release::{Hook, Release, Revision};
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

/// A release at a revision, as JSON. `chart` and `resources` are there when the command shows them.
pub(crate) fn release_json(
    release: &Release,
    revision: &Revision,
    chart: Option<Value>,
    resources: Option<Value>,
) -> Value {
    let mut info = json!({
        "first_deployed": revision.first_deployed,
        "last_deployed": revision.last_deployed,
        "deleted": revision.deleted,
        "description": revision.description,
        "status": revision.status.name(),
    });
    if !revision.notes.is_empty() {
        info["notes"] = json!(revision.notes);
    }
    if let Some(resources) = resources {
        info["resources"] = resources;
    }
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    put("name", json!(release.name));
    put("info", info);
    if let Some(chart) = chart {
        put("chart", chart);
    }
    if !revision.config.is_null() {
        put("config", revision.config.clone());
    }
    put("manifest", json!(revision.manifest));
    if !revision.hooks.is_empty() {
        put("hooks", revision.hooks.iter().map(hook_json).collect());
    }
    put("version", json!(revision.revision));
    put("namespace", json!(release.namespace));
    Value::Object(shown)
}

fn hook_json(hook: &Hook) -> Value {
    json!({
        "name": hook.name,
        "kind": hook.kind,
        "path": hook.path,
        "manifest": hook.manifest,
        "events": hook.events,
        "last_run": {
            "started_at": hook.started_at,
            "completed_at": hook.completed_at,
            "phase": hook.phase,
        },
    })
}

/// A release at a revision, for people.
pub(crate) fn release_text(
    release: &Release,
    revision: &Revision,
    description: bool,
    resources: Option<String>,
) -> String {
    let mut text = format!(
        "NAME: {}\nLAST DEPLOYED: {}\nNAMESPACE: {}\nSTATUS: {}\nREVISION: {}\n",
        release.name,
        calendar(&revision.last_deployed),
        release.namespace,
        revision.status.name(),
        revision.revision
    );
    if description {
        text.push_str(&format!("DESCRIPTION: {}\n", revision.description));
    }
    if let Some(resources) = resources {
        text.push_str(&resources);
    }
    let tests: Vec<&Hook> = revision.hooks.iter().filter(|hook| hook.is_test()).collect();
    if tests.is_empty() {
        text.push_str("TEST SUITE: None\n");
    }
    for hook in tests.into_iter().filter(|hook| !hook.started_at.is_empty()) {
        text.push_str(&format!(
            "TEST SUITE:     {}\nLast Started:   {}\nLast Completed: {}\nPhase:          {}\n",
            hook.name,
            calendar(&hook.started_at),
            calendar(&hook.completed_at),
            hook.phase
        ));
    }
    if revision.description == "Dry run complete" {
        text.push_str("HOOKS:\n");
        text.push_str(&hooks_text(&revision.hooks));
        text.push_str(&format!("MANIFEST:\n{}\n", revision.manifest));
    }
    if !revision.notes.trim().is_empty() {
        text.push_str(&format!("NOTES:\n{}\n", revision.notes.trim()));
    }
    text
}

/// The hooks as manifests.
pub(crate) fn hooks_text(hooks: &[Hook]) -> String {
    hooks.iter().map(|hook| format!("---\n# Source: {}\n{}\n", hook.path, hook.manifest)).collect()
}

/// The history as JSON.
pub(crate) fn history_json(revisions: &[&Revision]) -> Value {
    revisions
        .iter()
        .map(|it| {
            json!({
                "revision": it.revision,
                "updated": it.last_deployed,
                "status": it.status.name(),
                "chart": it.chart.full_name(),
                "app_version": it.chart.app_version,
                "description": it.description,
            })
        })
        .collect()
}

/// The history for people.
pub(crate) fn history_text(revisions: &[&Revision]) -> String {
    let head = ["REVISION", "UPDATED", "STATUS", "CHART", "APP VERSION", "DESCRIPTION"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for it in revisions {
        rows.push(vec![
            it.revision.to_string(),
            calendar(&it.last_deployed),
            it.status.name().to_owned(),
            it.chart.full_name(),
            it.chart.app_version.clone(),
            it.description.clone(),
        ]);
    }
    table(&rows)
}

/// A list of releases at their last revisions, as JSON.
pub(crate) fn list_json(releases: &[(&Release, &Revision)]) -> Value {
    releases
        .iter()
        .map(|(release, last)| {
            json!({
                "name": release.name,
                "namespace": release.namespace,
                "revision": last.revision.to_string(),
                "updated": go_time(&last.last_deployed),
                "status": last.status.name(),
                "chart": last.chart.full_name(),
                "app_version": last.chart.app_version,
            })
        })
        .collect()
}

/// The same for people.
pub(crate) fn list_text(releases: &[(&Release, &Revision)]) -> String {
    let head = ["NAME", "NAMESPACE", "REVISION", "UPDATED", "STATUS", "CHART", "APP VERSION"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (release, last) in releases {
        rows.push(vec![
            release.name.clone(),
            release.namespace.clone(),
            last.revision.to_string(),
            go_time(&last.last_deployed),
            last.status.name().to_owned(),
            last.chart.full_name(),
            last.chart.app_version.clone(),
        ]);
    }
    table(&rows)
}

/// A value as JSON or YAML.
pub(crate) fn encoded(value: &Value, output: Output) -> Result<String, String> {
    match output {
        Output::Json => Ok(format!("{value}\n")),
        Output::Yaml | Output::Table => {
            let text = serde_saphyr::to_string(value).map_err(|error| error.to_string())?;
            Ok(format!("{}\n", text.trim_end()))
        }
    }
}

/// Columns as wide as their widest cell, with tabs between.
fn table(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().enumerate().map(|(column, cell)| format!("{cell:<width$}", width = width(column))).collect();
        text.push_str(&cells.join("\t"));
        text.push('\n');
    }
    text
}

/// `Fri Nov 20 17:51:25 2026`.
fn calendar(time: &str) -> String {
    formatted(time, "%a %b %e %H:%M:%S %Y")
}

/// `2026-11-20 17:51:25.225960453 +0000 UTC`.
fn go_time(time: &str) -> String {
    formatted(time, "%Y-%m-%d %H:%M:%S%.f +0000 UTC")
}

fn formatted(time: &str, format: &str) -> String {
    time.parse::<jiff::Timestamp>()
        .map(|at| at.to_zoned(TimeZone::UTC).strftime(format).to_string())
        .unwrap_or_default()
}
