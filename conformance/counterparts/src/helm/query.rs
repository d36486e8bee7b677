//! What is asked of releases: one of them, its revisions, their parts, and which there are.

use super::cluster::Cluster;
use super::command::{self, Get, Global, Output};
use super::overrides::overlay;
use super::print;
use super::release::{Release, Revision, Status};
use super::resource;
use crate::simulator::now_ms;
use serde_json::json;

/// What helm says of a release that is not there.
pub(super) const NOT_FOUND: &str = "release: not found";
/// A release and the revision asked for, or its last.
pub(super) fn find(global: &Global, name: &str, revision: Option<u64>) -> Result<(Cluster, Release, Revision), String> {
    let cluster = Cluster::reach(global)?;
    let release = cluster.load(name)?.ok_or(NOT_FOUND)?;
    let found = match revision.filter(|revision| *revision != 0) {
        Some(number) => release.revisions.iter().find(|it| it.revision == number),
        None => release.last(),
    };
    let found = found.ok_or(NOT_FOUND)?.clone();
    Ok((cluster, release, found))
}

pub(super) fn status(it: &command::Status, global: &Global) -> Result<String, String> {
    let (cluster, release, revision) = find(global, &it.name, it.revision)?;
    let now_ms = now_ms();
    match it.output {
        Output::Table => {
            let resources = it.show_resources.then(|| resource::table(&release, now_ms, &cluster.settings));
            Ok(print::release_text(&release, &revision, it.show_desc, resources))
        }
        Output::Json | Output::Yaml => {
            let resources = it.show_resources.then(|| resource::resources(&release, now_ms, &cluster.settings));
            print::encoded(&print::release_json(&release, &revision, None, resources), it.output)
        }
    }
}

pub(super) fn history(it: &command::History, global: &Global) -> Result<String, String> {
    let (_, release, _) = find(global, &it.name, None)?;
    let skip = release.revisions.len().saturating_sub(it.max);
    let revisions: Vec<&Revision> = release.revisions.iter().skip(skip).collect();
    match it.output {
        Output::Table => Ok(print::history_text(&revisions)),
        Output::Json | Output::Yaml => print::encoded(&print::history_json(&revisions), it.output),
    }
}

pub(super) fn list(it: &command::List, global: &Global) -> Result<String, String> {
    let cluster = Cluster::reach(global)?;
    let releases = cluster.all(it.all_namespaces)?;
    let chosen = it.deployed || it.failed || it.pending || it.uninstalling || it.uninstalled || it.superseded;
    let wanted = |status: Status| match status {
        _ if it.all => true,
        Status::Deployed => it.deployed || !chosen,
        Status::Failed => it.failed || !chosen,
        Status::Uninstalling => it.uninstalling,
        Status::Uninstalled => it.uninstalled,
        Status::Superseded => it.superseded,
        Status::PendingInstall | Status::PendingUpgrade | Status::PendingRollback => it.pending,
    };
    let found: Vec<(&Release, &Revision)> = releases
        .iter()
        .filter_map(|release| Some((release, release.last()?)))
        .filter(|(_, last)| wanted(last.status))
        .filter(|(_, last)| it.selector.as_ref().is_none_or(|it| it.matches(&last.labels)))
        .filter(|(release, _)| it.filter.as_deref().is_none_or(|filter| name_matches(&release.name, filter)))
        .collect();
    match it.output {
        Output::Table if it.short => Ok(found.iter().map(|(release, _)| format!("{}\n", release.name)).collect()),
        Output::Table => Ok(print::list_text(&found)),
        Output::Json | Output::Yaml => print::encoded(&print::list_json(&found), it.output),
    }
}

/// Whether a name matches a filter without wildcards, anchored or not.
fn name_matches(name: &str, filter: &str) -> bool {
    let (from_start, rest) = filter.strip_prefix('^').map_or((false, filter), |rest| (true, rest));
    let (to_end, part) = rest.strip_suffix('$').map_or((false, rest), |rest| (true, rest));
    match (from_start, to_end) {
        (true, true) => name == part,
        (true, false) => name.starts_with(part),
        (false, true) => name.ends_with(part),
        (false, false) => name.contains(part),
    }
}

pub(super) fn get(it: &Get, global: &Global) -> Result<String, String> {
    match it {
        Get::Values(it) => {
            let (_, _, revision) = find(global, &it.name, it.revision)?;
            let (title, values) = if it.all {
                let mut values = revision.chart_values.clone();
                if revision.config.is_object() {
                    overlay(&mut values, &revision.config);
                }
                ("COMPUTED VALUES:\n", values)
            } else {
                ("USER-SUPPLIED VALUES:\n", revision.config)
            };
            let title = if it.output == Output::Table { title } else { "" };
            Ok(format!("{title}{}", print::encoded(&values, it.output)?))
        }
        Get::Manifest(it) => {
            let (_, _, revision) = find(global, &it.name, it.revision)?;
            Ok(format!("{}\n", revision.manifest))
        }
        Get::Hooks(it) => {
            let (_, _, revision) = find(global, &it.name, it.revision)?;
            Ok(print::hooks_text(&revision.hooks))
        }
        Get::Notes(it) => {
            let (_, _, revision) = find(global, &it.name, it.revision)?;
            Ok(format!("NOTES:\n{}\n", revision.notes))
        }
        Get::Metadata(it) => {
            let (_, release, revision) = find(global, &it.name, it.revision)?;
            let at = revision.last_deployed.split('.').next().unwrap_or_default();
            let metadata = json!({
                "name": release.name,
                "chart": revision.chart.name,
                "version": revision.chart.version,
                "appVersion": revision.chart.app_version,
                "namespace": release.namespace,
                "revision": revision.revision,
                "status": revision.status.name(),
                "deployedAt": format!("{}Z", at.trim_end_matches('Z')),
            });
            print::encoded(&metadata, it.output)
        }
    }
}
