//! `windlass backup` and `windlass restore`

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::Value;
use windlass_server::Client;
use windlass_server::api::{BackupBody, backup_view};
use windlass_server::backup::{Proof, prove, restore as restore_to, verify};

use super::Context;
use crate::output::{GOOD, STRONG, styled};

/// Write everything to a new folder, while releases go on
///
/// Open releases, their approvals, plugins, connections, tools, groups and the key of callbacks. Not the logs of
/// steps, and no secret: the store has only references to them.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  windlass backup /backup/windlass-2026-11-20 --verify-after\n  windlass backup verify /backup/windlass-2026-11-20"
)]
pub(crate) struct BackupArgs {
    #[command(subcommand)]
    command: Option<BackupCommand>,
    /// The folder; there is nothing at this path yet
    #[arg(required = true)]
    folder: Option<PathBuf>,
    /// Then verify it, as `windlass backup verify` does
    #[arg(long)]
    verify_after: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Prove that a backup can be restored: restore it aside, replay every release, compare, and remove that again
    ///
    /// Needs room for all of it where temporary files are (TMPDIR). A backup that is damaged, or from which something
    /// was left out, is refused. Only to read it: `windlass restore BACKUP --verify`.
    #[command(after_help = "Example:\n  TMPDIR=/var/tmp windlass backup verify /backup/windlass-2026-11-20")]
    Verify {
        /// What `windlass backup` wrote
        backup: PathBuf,
    },
}

pub(crate) async fn backup(args: BackupArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let given = match (args.command, args.folder) {
        (Some(BackupCommand::Verify { backup }), _) => {
            let proven = proven(&backup).await?;
            context.output.data(&proven, |it| shown(&backup, it));
            return Ok(0);
        }
        (None, folder) => folder.context("name the backup's folder")?,
    };
    let folder = std::path::absolute(&given).context("the backup's folder")?;
    let body = BackupBody { folder: folder.clone() };
    let mut report: Value = context.client().await?.post("/v1/backup", &body).await?;
    if args.verify_after {
        report = proven(&folder).await.context("the backup was written, and is not to be relied on")?;
    }
    context.output.data(&report, |it| shown(&given, it));
    Ok(0)
}

/// Restores a backup aside; tells what is in it, and how many releases were replayed.
async fn proven(backup: &Path) -> anyhow::Result<Value> {
    let backup = backup.to_owned();
    let Proof { report, replayed } = tokio::task::spawn_blocking(move || prove(&backup)).await??;
    let mut view = backup_view(&report);
    view["replayed"] = replayed.into();
    Ok(view)
}

fn shown(folder: &Path, report: &Value) -> String {
    let proof = report["replayed"].as_u64().map_or_else(String::new, |replayed| {
        format!("{} restored aside: {replayed} releases replayed, the same digest\n", styled(GOOD, "✔"))
    });
    format!("{proof}{} {}\n", folder.display(), contents(report))
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
    // Who answers says how many there are.
    if !args.verify && context.client().await?.left_waiting() > 0 {
        let text = "what these did since the backup is not in it, and they may do it again: look at each (`windlass release \
                    list`), and pause or cancel what must not be repeated, before `windlass serve` goes on with them";
        context.output.note(format_args!("{text}"));
    }
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
