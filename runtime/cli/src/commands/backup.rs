//! `windlass backup` and `windlass restore`

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::Value;
use windlass_server::Client;
use windlass_server::api::{BackupBody, backup_view};
use windlass_server::backup::{restore as restore_to, verify};

use super::Context;
use crate::output::{GOOD, STRONG, styled};

/// Write everything to a new folder, while releases go on
///
/// Open releases, their approvals, plugins, connections, tools, groups and the key of callbacks. Not the logs of
/// steps, and no secret: the store has only references to them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  windlass backup /backup/windlass-2026-11-20")]
pub(crate) struct BackupArgs {
    /// The folder; there is nothing at this path yet
    folder: PathBuf,
}

pub(crate) async fn backup(args: BackupArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let folder = std::path::absolute(&args.folder).context("the backup's folder")?;
    let report: Value = context.client().await?.post("/v1/backup", &BackupBody { folder }).await?;
    context.output.data(&report, |it| format!("{} {}\n", args.folder.display(), contents(it)));
    Ok(0)
}

/// Make an installation of a backup, or only check the backup
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  windlass restore /backup/windlass-2026-11-20 --verify\n  windlass restore /backup/windlass-2026-11-20 --state /var/lib/windlass"
)]
pub(crate) struct RestoreArgs {
    /// What `windlass backup` wrote
    backup: PathBuf,
    /// Read all of it and check it, and change nothing
    #[arg(long)]
    verify: bool,
}

pub(crate) async fn restore(args: RestoreArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let (backup, state) = (args.backup.clone(), context.state.clone());
    let report = match args.verify {
        true => tokio::task::spawn_blocking(move || verify(&backup)).await??,
        false => {
            if let Some(state) = context.existing_state()? {
                let running = Client::connect(&state).await.is_some();
                anyhow::ensure!(!running, "a process runs in {}; end it first", state.root().display());
            }
            tokio::task::spawn_blocking(move || restore_to(&backup, &state)).await??
        }
    };
    let what = if args.verify { "is sound" } else { "was restored" };
    context.output.data(&backup_view(&report), |it| {
        format!("{} {} {what}: {}\n", styled(GOOD, "✔"), args.backup.display(), contents(it))
    });
    Ok(0)
}

fn contents(report: &Value) -> String {
    let mut text = format!(
        "{} releases, {} records, {} declarations, {} blobs, {} bytes\n  {}",
        report["releases"],
        report["records"],
        report["documents"],
        report["blobs"],
        report["bytes"],
        report["digest"].as_str().unwrap_or_default(),
    );
    for left_out in report["left_out"].as_array().into_iter().flatten() {
        text.push_str(&format!("\n  {} {}", styled(STRONG, "left out:"), left_out.as_str().unwrap_or_default()));
    }
    text
}
