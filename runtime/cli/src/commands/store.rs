//! `windlass store`

use clap::Subcommand;

use windlass_model::time::Span;
use windlass_server::api::{ArchiveBody, ArchivedView, ExpireBody, ExpiredView};

use super::Context;

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Read everything, replay every release, and compare what is derived
    Check {
        /// First make what is derived agree with the journals; a release whose journal is damaged is taken out of use,
        /// and nothing of it is deleted
        #[arg(long)]
        repair: bool,
    },
    /// Compress finished releases and move them out of the way of those that run
    ///
    /// `windlass serve` does it by itself. They are shown, rolled back and run again like before.
    #[command(after_help = "Examples:\n  windlass store archive\n  windlass store archive --older-than 7d")]
    Archive {
        /// Only those that ended so long ago
        #[arg(long, value_name = "TIME", default_value = "0s")]
        older_than: Span,
    },
    /// Remove finished releases for good, with their logs and what only they need
    ///
    /// Numbers of removed releases are not used again. `windlass serve --retention` does it by itself.
    #[command(
        after_help = "Examples:\n  windlass store expire --older-than 400d --dry-run\n  windlass store expire --older-than 400d"
    )]
    Expire {
        /// Those that ended so long ago
        #[arg(long, value_name = "TIME")]
        older_than: Span,
        /// Only tell what would be removed
        #[arg(long)]
        dry_run: bool,
    },
}

pub(crate) async fn store(command: StoreCommand, context: &Context<'_>) -> anyhow::Result<u8> {
    match command {
        StoreCommand::Check { repair } => check(repair, context).await,
        StoreCommand::Archive { older_than } => {
            let client = context.client().await?;
            let archived: ArchivedView = client.post("/v1/store/archive", &ArchiveBody { older_than }).await?;
            context.output.data(&archived, |it| match it.releases {
                0 => "nothing to archive\n".to_owned(),
                releases => {
                    format!("{releases} releases archived: {} bytes became {}\n", it.bytes, it.segment_bytes)
                }
            });
            Ok(0)
        }
        StoreCommand::Expire { older_than, dry_run } => {
            let client = context.client().await?;
            let expired: ExpiredView = client.post("/v1/store/expire", &ExpireBody { older_than, dry_run }).await?;
            context.output.data(&expired, shown);
            Ok(0)
        }
    }
}

fn shown(expired: &ExpiredView) -> String {
    let ExpiredView { dry_run, releases, examples, blobs } = expired;
    if !dry_run {
        return format!("{releases} releases and {blobs} blobs removed\n");
    }
    let mut text = format!(
        "{releases} releases would be removed, and {blobs} blobs that only they need, once those are a day old\n"
    );
    examples.iter().for_each(|it| text.push_str(&format!("  {it}\n")));
    if *releases > examples.len() as u64 {
        text.push_str("  …\n");
    }
    text
}

async fn check(repair: bool, context: &Context<'_>) -> anyhow::Result<u8> {
    let client = context.client().await?;
    if repair {
        let repaired: serde_json::Value = client.post("/v1/store/repair", &()).await?;
        context.output.note(format_args!(
            "repaired: {} outlines, {} numbers, {} places in lists; put into quarantine: {}",
            repaired["outlines"],
            repaired["numbers"],
            repaired["listed"],
            match repaired["quarantined"].as_array().map(Vec::as_slice) {
                None | Some([]) => "none".to_owned(),
                Some(some) => some.iter().filter_map(|it| it.as_str()).collect::<Vec<_>>().join("; "),
            }
        ));
    }
    let report: serde_json::Value = client.get("/v1/store/check").await?;
    let findings = report["findings"].as_array().cloned().unwrap_or_default();
    context.output.data(&report, |it| {
        let mut text = format!(
            "{} releases ({} archived), {} records, {} blobs read\n",
            it["releases"], it["archived"], it["records"], it["blobs"]
        );
        for finding in &findings {
            text.push_str(&format!("✘ {}\n", finding.as_str().unwrap_or_default()));
        }
        for release in it["quarantined"].as_array().into_iter().flatten().filter_map(|it| it.as_str()) {
            text.push_str(&format!("▸ in quarantine, out of use: {release}\n"));
        }
        if findings.is_empty() {
            text.push_str("nothing is wrong\n");
        }
        text
    });
    Ok(u8::from(!findings.is_empty()))
}
