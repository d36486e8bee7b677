//! What each command does.

use super::chart::{Chart, For, objects};
use super::cluster::Cluster;
use super::command::{self, Command, Deploy, Global, Helm, Output};
use super::overrides::overlay;
use super::print;
use super::query::{self, NOT_FOUND};
use super::release::{Release, Revision, Status};
use super::workload::{Live, never_ready};
use crate::simulator::now_ms;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often a waiting call looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

const IN_PROGRESS: &str = "another operation (install/upgrade/rollback) is in progress";

/// Runs a command. The error is what helm prints after `Error: `.
pub(crate) fn run(helm: Helm, out: &mut dyn Write) -> Result<(), String> {
    let global = &helm.global;
    let text = match helm.command {
        Command::Version(it) => version(&it),
        Command::Lint(it) => lint(&it, out),
        Command::Template(it) => template(&it, global),
        Command::Install(it) => install(&it, global).map_err(|error| format!("INSTALLATION FAILED: {error}")),
        Command::Upgrade(it) => upgrade(&it, global),
        Command::Rollback(it) => rollback(&it, global),
        Command::Uninstall(it) => uninstall(&it, global),
        Command::Status(it) => query::status(&it, global),
        Command::History(it) => query::history(&it, global),
        Command::List(it) => query::list(&it, global),
        Command::Test(it) => test(&it, global, out),
        Command::Get(it) => query::get(&it, global),
    }?;
    say(out, &text);
    Ok(())
}

/// Prints; a caller who does not listen does not change what was done.
fn say(out: &mut dyn Write, text: &str) {
    let _ = out.write_all(text.as_bytes());
}

fn version(it: &command::Version) -> Result<String, String> {
    let version = super::VERSION;
    Ok(match &it.template {
        Some(template) => template
            .replace("{{.Version}}", version)
            .replace("{{ .Version }}", version)
            .replace("{{.GitCommit}}", "")
            .replace("{{.GitTreeState}}", "clean")
            .replace("{{.GoVersion}}", "none"),
        None if it.short => format!("{version}\n"),
        None => format!(
            "version.BuildInfo{{Version:\"{version}\", GitCommit:\"\", GitTreeState:\"clean\", GoVersion:\"none\"}}\n"
        ),
    })
}

fn lint(it: &command::Lint, out: &mut dyn Write) -> Result<String, String> {
    let here = vec![Path::new(".").to_path_buf()];
    let charts = if it.charts.is_empty() { &here } else { &it.charts };
    let config = it.values.read()?;
    let mut failed = 0;
    for path in charts {
        let mut text = format!("==> Linting {}\n", path.display());
        let for_lint = For { name: "test-release", namespace: "default", revision: 1, upgrade: false };
        match Chart::load(path) {
            Err(error) => {
                failed += 1;
                text.push_str(&format!("Error unable to check Chart.yaml file in chart: {error}\n"));
            }
            Ok(chart) => {
                if !it.quiet {
                    text.push_str("[INFO] Chart.yaml: icon is recommended\n");
                }
                if let Err(error) = chart.render(&config, &for_lint) {
                    failed += 1;
                    text.push_str(&format!("[ERROR] templates/: {error}\n"));
                }
            }
        }
        say(out, &format!("{text}\n"));
    }
    let summary = format!("{} chart(s) linted, {failed} chart(s) failed", charts.len());
    if failed > 0 { Err(summary) } else { Ok(format!("{summary}\n")) }
}

fn template(it: &command::Template, global: &Global) -> Result<String, String> {
    let (name, chart) = match it.name_and_chart.as_slice() {
        [chart] => ("release-name", chart),
        [name, chart, ..] => (name.as_str(), chart),
        [] => return Err("\"helm template\" requires at least 1 argument".to_owned()),
    };
    let chart = Chart::load(Path::new(chart))?;
    let namespace = global.namespace.as_deref().unwrap_or("default");
    let whom = For { name, namespace, revision: 1, upgrade: false };
    let rendered = chart.render(&it.values.read()?, &whom)?;
    let mut text = format!("{}\n", rendered.manifest.trim());
    if !it.no_hooks {
        let hooks: Vec<_> = rendered.hooks.into_iter().filter(|hook| !(it.skip_tests && hook.is_test())).collect();
        text.push_str(&print::hooks_text(&hooks));
    }
    Ok(text)
}

/// A revision about to be tried.
fn revision_of(
    chart: &Chart,
    config: &Value,
    whom: &For<'_>,
    status: Status,
    description: &str,
    first_deployed: Option<&str>,
) -> Result<Revision, String> {
    let rendered = chart.render(config, whom)?;
    let now = jiff::Timestamp::now().to_string();
    let empty = config.as_object().is_none_or(serde_json::Map::is_empty);
    Ok(Revision {
        revision: whom.revision,
        status,
        chart: chart.metadata.clone(),
        chart_values: chart.values.clone(),
        description: description.to_owned(),
        first_deployed: first_deployed.map_or_else(|| now.clone(), str::to_owned),
        last_deployed: now,
        deleted: String::new(),
        config: if empty { Value::Null } else { config.clone() },
        manifest: rendered.manifest,
        hooks: rendered.hooks,
        notes: rendered.notes,
        labels: std::collections::BTreeMap::new(),
    })
}

/// Puts a pending revision's objects into the cluster, waits when asked to, and says how it ended.
fn carry_out(cluster: &Cluster, name: &str, revision: u64, effect: &str, wait: Option<Duration>) -> Result<(), String> {
    std::thread::sleep(Duration::from_millis(cluster.settings.apply_ms));
    let begun = Instant::now();
    cluster.change(name, Some(effect), |release| {
        let release = release.as_mut().ok_or(NOT_FOUND)?;
        let manifest = release.revision_mut(revision).ok_or(NOT_FOUND)?.manifest.clone();
        release.live.apply(objects(&manifest), now_ms(), &cluster.settings);
        Ok(())
    })?;
    super::halfway();
    let Some(timeout) = wait else { return Ok(()) };
    loop {
        let release = cluster.load(name)?.ok_or(NOT_FOUND)?;
        if release.live.is_ready(now_ms(), &cluster.settings) {
            return Ok(());
        }
        if begun.elapsed() >= timeout {
            return Err("context deadline exceeded".to_owned());
        }
        std::thread::sleep(LOOK_AGAIN.min(timeout.saturating_sub(begun.elapsed())));
    }
}

/// Records that a revision is deployed, or that it failed.
fn settle(
    cluster: &Cluster,
    name: &str,
    revision: u64,
    revisions_max: usize,
    description: Result<String, String>,
) -> Result<(), String> {
    cluster.change(name, None, |release| {
        let release = release.as_mut().ok_or(NOT_FOUND)?;
        match description {
            Ok(description) => release.deploy(revision, description),
            Err(description) => {
                let failed = release.revision_mut(revision).ok_or(NOT_FOUND)?;
                failed.status = Status::Failed;
                failed.description = description;
            }
        }
        release.prune(revisions_max);
        Ok(())
    })
}

/// What install and upgrade print in the end.
fn deployed_text(cluster: &Cluster, name: &str, chart: &Chart, output: Output, lead: &str) -> Result<String, String> {
    let release = cluster.load(name)?.ok_or(NOT_FOUND)?;
    let last = release.last().ok_or(NOT_FOUND)?;
    release_output(&release, last, chart, output, lead)
}

fn release_output(
    release: &Release,
    revision: &Revision,
    chart: &Chart,
    output: Output,
    lead: &str,
) -> Result<String, String> {
    match output {
        Output::Table => Ok(format!("{lead}{}", print::release_text(release, revision, false, None))),
        Output::Json | Output::Yaml => {
            print::encoded(&print::release_json(release, revision, Some(chart.to_json()), None), output)
        }
    }
}

fn install(it: &command::Install, global: &Global) -> Result<String, String> {
    let [name, path] = it.name_and_chart.as_slice() else {
        return Err("\"helm install\" requires at least 1 argument".to_owned());
    };
    let chart = Chart::load(Path::new(path))?;
    install_chart(name, &chart, &it.deploy, global, "")
}

fn install_chart(name: &str, chart: &Chart, deploy: &Deploy, global: &Global, lead: &str) -> Result<String, String> {
    let cluster = Cluster::reach(global)?;
    let config = deploy.values.read()?;
    let before = cluster.load(name)?;
    let replaces = before
        .as_ref()
        .and_then(Release::last)
        .is_some_and(|last| last.status == Status::Uninstalled && !lead.is_empty());
    if before.as_ref().is_some_and(|release| !release.revisions.is_empty()) && !replaces {
        return Err("cannot re-use a name that is still in use".to_owned());
    }
    let number = before.as_ref().and_then(Release::last).map_or(1, |last| last.revision + 1);
    let whom = For { name, namespace: &cluster.namespace, revision: number, upgrade: false };
    let (status, underway) = (Status::PendingInstall, "Initial install underway");
    let mut revision = revision_of(chart, &config, &whom, status, underway, None)?;
    revision.labels.extend(deploy.labels.iter().cloned());
    if deploy.is_dry() {
        revision.description = "Dry run complete".to_owned();
        return release_output(&new_release(name, &cluster), &revision, chart, deploy.output, lead);
    }
    if !cluster.has_namespace() {
        if !deploy.create_namespace {
            return Err(format!("create: failed to create: namespaces {:?} not found", cluster.namespace));
        }
        cluster.create_namespace()?;
    }
    cluster.change(name, None, |release| {
        // Someone may have been faster since the release was looked at.
        let now_last = release.as_ref().and_then(Release::last).map_or(0, |last| last.revision);
        if now_last >= number {
            return Err("cannot re-use a name that is still in use".to_owned());
        }
        release.get_or_insert_with(|| new_release(name, &cluster)).revisions.push(revision);
        Ok(())
    })?;
    let wait = (deploy.wait || deploy.atomic).then_some(deploy.timeout);
    let done = carry_out(&cluster, name, number, "release.installed", wait);
    let description = match &done {
        Ok(()) => Ok(deploy.description.clone().unwrap_or_else(|| "Install complete".to_owned())),
        Err(error) => Err(format!("Release {name:?} failed: {error}")),
    };
    settle(&cluster, name, number, 0, description)?;
    if let Err(error) = done {
        if !deploy.atomic {
            return Err(error);
        }
        cluster.change(name, Some("release.uninstalled"), |release| {
            *release = None;
            Ok(())
        })?;
        return Err(format!("release {name} failed, and has been uninstalled due to atomic being set: {error}"));
    }
    deployed_text(&cluster, name, chart, deploy.output, lead)
}

fn new_release(name: &str, cluster: &Cluster) -> Release {
    Release {
        name: name.to_owned(),
        namespace: cluster.namespace.clone(),
        revisions: Vec::new(),
        live: Live::default(),
    }
}

fn upgrade(it: &command::Upgrade, global: &Global) -> Result<String, String> {
    let failed = |error: String| format!("UPGRADE FAILED: {error}");
    let name = &it.name;
    let deploy = &it.deploy;
    let cluster = Cluster::reach(global)?;
    let before = cluster.load(name).map_err(failed)?;
    let last_status = before.as_ref().and_then(Release::last).map(|last| last.status);
    if it.install && matches!(last_status, None | Some(Status::Uninstalled)) {
        let chart = Chart::load(&it.chart)?;
        let lead = format!("Release {name:?} does not exist. Installing it now.\n");
        return install_chart(name, &chart, deploy, global, &lead);
    }
    let chart = Chart::load(&it.chart).map_err(failed)?;
    let no_deployed = || failed(format!("{name:?} has no deployed releases"));
    let release = before.ok_or_else(no_deployed)?;
    let last = release.last().ok_or_else(no_deployed)?;
    if last.status.is_pending() {
        return Err(failed(IN_PROGRESS.to_owned()));
    }
    let current = match last.status {
        Status::Deployed => last,
        Status::Failed | Status::Superseded => release.deployed().unwrap_or(last),
        _ => release.deployed().ok_or_else(no_deployed)?,
    };
    let config = upgraded_values(it, current).map_err(failed)?;
    let number = last.revision + 1;
    let whom = For { name, namespace: &cluster.namespace, revision: number, upgrade: true };
    let mut revision =
        revision_of(&chart, &config, &whom, Status::PendingUpgrade, "Preparing upgrade", Some(&current.first_deployed))
            .map_err(failed)?;
    revision.labels = last.labels.clone();
    revision.labels.extend(deploy.labels.iter().cloned());
    let lead = format!("Release {name:?} has been upgraded. Happy Helming!\n");
    if deploy.is_dry() {
        revision.description = "Dry run complete".to_owned();
        return release_output(&release, &revision, &chart, deploy.output, &lead);
    }
    cluster
        .change(name, None, |release| {
            let release = release.as_mut().ok_or(NOT_FOUND)?;
            if release.last().is_some_and(|last| last.revision >= number || last.status.is_pending()) {
                return Err(IN_PROGRESS.to_owned());
            }
            release.revisions.push(revision);
            Ok(())
        })
        .map_err(failed)?;
    let wait = (deploy.wait || deploy.atomic).then_some(deploy.timeout);
    let done = carry_out(&cluster, name, number, "release.upgraded", wait);
    let description = match &done {
        Ok(()) => Ok(deploy.description.clone().unwrap_or_else(|| "Upgrade complete".to_owned())),
        Err(error) => Err(format!("Upgrade {name:?} failed: {error}")),
    };
    settle(&cluster, name, number, it.history_max, description).map_err(failed)?;
    if let Err(error) = done {
        if !deploy.atomic {
            return Err(failed(error));
        }
        let target =
            cluster.load(name)?.and_then(|release| release.deployed().map(|it| it.revision)).ok_or_else(|| {
                failed("unable to find a previously successful release when attempting to rollback".to_owned())
            })?;
        roll_back(&cluster, name, target, it.history_max, Some(deploy.timeout)).map_err(failed)?;
        return Err(failed(format!(
            "release {name} failed, and has been rolled back due to atomic being set: {error}"
        )));
    }
    deployed_text(&cluster, name, &chart, deploy.output, &lead)
}

/// The values of an upgrade: those given over the current ones, as the flags say. Without any given the current
/// ones stay.
fn upgraded_values(it: &command::Upgrade, current: &Revision) -> Result<Value, String> {
    let given = it.deploy.values.read()?;
    let nothing_given = given.as_object().is_some_and(serde_json::Map::is_empty);
    if it.reset_values {
        return Ok(given);
    }
    if it.reuse_values || it.reset_then_reuse_values || nothing_given {
        let mut values = if current.config.is_null() { json!({}) } else { current.config.clone() };
        overlay(&mut values, &given);
        return Ok(values);
    }
    Ok(given)
}

fn rollback(it: &command::Rollback, global: &Global) -> Result<String, String> {
    let cluster = Cluster::reach(global)?;
    let release = cluster.load(&it.name)?.ok_or(NOT_FOUND)?;
    let last = release.last().ok_or(NOT_FOUND)?;
    let target = if it.revision == 0 { last.revision - 1 } else { it.revision };
    if !release.revisions.iter().any(|revision| revision.revision == target) {
        return Err(format!("release has no {target} version"));
    }
    if !it.dry_run {
        let wait = it.wait.then_some(it.timeout);
        roll_back(&cluster, &it.name, target, it.history_max, wait)?;
    }
    Ok("Rollback was a success! Happy Helming!\n".to_owned())
}

fn roll_back(
    cluster: &Cluster,
    name: &str,
    target: u64,
    revisions_max: usize,
    wait: Option<Duration>,
) -> Result<(), String> {
    let number = cluster.change(name, None, |release| {
        let release = release.as_mut().ok_or(NOT_FOUND)?;
        let number = release.last().map_or(1, |last| last.revision + 1);
        let mut revision =
            release.revision_mut(target).ok_or_else(|| format!("release has no {target} version"))?.clone();
        revision.revision = number;
        revision.status = Status::PendingRollback;
        revision.description = format!("Rollback to {target}");
        revision.last_deployed = jiff::Timestamp::now().to_string();
        revision.deleted = String::new();
        release.revisions.push(revision);
        Ok(number)
    })?;
    let done = carry_out(cluster, name, number, "release.rolled_back", wait);
    let description = match &done {
        Ok(()) => Ok(format!("Rollback to {target}")),
        Err(error) => Err(format!("Rollback {name:?} failed: {error}")),
    };
    settle(cluster, name, number, revisions_max, description)?;
    done.map_err(|error| format!("release {name} failed: {error}"))
}

fn uninstall(it: &command::Uninstall, global: &Global) -> Result<String, String> {
    let cluster = Cluster::reach(global)?;
    let mut text = String::new();
    for name in &it.names {
        let release = cluster.load(name)?;
        let last = release.as_ref().and_then(Release::last);
        match last {
            None if it.ignore_not_found => {}
            None => return Err(format!("uninstall: Release not loaded: {name}: {NOT_FOUND}")),
            Some(last) if last.status == Status::Uninstalled && it.keep_history => {
                return Err(format!("the release named {name:?} is already deleted"));
            }
            Some(_) if it.dry_run => {}
            // Only the history is left of it.
            Some(last) if last.status == Status::Uninstalled => {
                cluster.change(name, None, |release| {
                    *release = None;
                    Ok(())
                })?;
            }
            Some(_) => {
                cluster.change(name, None, |release| {
                    let release = release.as_mut().ok_or(NOT_FOUND)?;
                    if let Some(last) = release.revisions.last_mut() {
                        last.status = Status::Uninstalling;
                        last.description = "Deletion in progress (or silently failed)".to_owned();
                    }
                    release.live = Live::default();
                    Ok(())
                })?;
                super::halfway();
                cluster.change(name, Some("release.uninstalled"), |release| {
                    if !it.keep_history {
                        *release = None;
                        return Ok(());
                    }
                    let release = release.as_mut().ok_or(NOT_FOUND)?;
                    if let Some(last) = release.revisions.last_mut() {
                        last.status = Status::Uninstalled;
                        last.deleted = jiff::Timestamp::now().to_string();
                        last.description =
                            it.description.clone().unwrap_or_else(|| "Uninstallation complete".to_owned());
                    }
                    Ok(())
                })?;
            }
        }
        text.push_str(&format!("release {name:?} uninstalled\n"));
    }
    Ok(text)
}

/// Runs the test hooks of the last revision: each succeeds at once, unless its image never gets ready.
fn test(it: &command::Test, global: &Global, out: &mut dyn Write) -> Result<String, String> {
    let (cluster, _, revision) = query::find(global, &it.name, None)?;
    let failed = cluster.change(&it.name, Some("release.tested"), |release| {
        let release = release.as_mut().ok_or(NOT_FOUND)?;
        let last = release.revision_mut(revision.revision).ok_or(NOT_FOUND)?;
        let mut failed = Vec::new();
        for hook in last.hooks.iter_mut().filter(|hook| hook.is_test()) {
            let now = jiff::Timestamp::now().to_string();
            let bad = objects(&hook.manifest)
                .iter()
                .filter_map(|object| object.get("spec"))
                .any(|spec| never_ready(spec) || never_ready(&spec["template"]["spec"]));
            hook.started_at.clone_from(&now);
            hook.completed_at = now;
            hook.phase = if bad { "Failed" } else { "Succeeded" }.to_owned();
            if bad {
                failed.push(format!("{} {} failed", hook.kind.to_lowercase(), hook.name));
            }
        }
        Ok(failed)
    })?;
    let (_, release, revision) = query::find(global, &it.name, None)?;
    let mut text = print::release_text(&release, &revision, false, None);
    if it.logs {
        for hook in revision.hooks.iter().filter(|hook| hook.is_test()) {
            text.push_str(&format!("\nPOD LOGS: {}\n[simulated] no container ran\n", hook.name));
        }
    }
    if failed.is_empty() {
        return Ok(text);
    }
    say(out, &text);
    let noun = if failed.len() == 1 { "error" } else { "errors" };
    let list: String = failed.iter().map(|it| format!("\n\t* {it}")).collect();
    Err(format!("{} {noun} occurred:{list}\n\n", failed.len()))
}
