//! `windlass store`

use clap::Subcommand;

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
}

pub(crate) async fn store(command: StoreCommand, context: &Context<'_>) -> anyhow::Result<u8> {
    let StoreCommand::Check { repair } = command;
    let client = context.client().await?;
    if repair {
        let repaired: serde_json::Value = client.post("/v1/store/repair", &()).await?;
        context.output.note(format_args!(
            "repaired: {} outlines, {} numbers, {} places in lists; in quarantine now: {}",
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
        let mut text = format!("{} releases, {} records, {} blobs read\n", it["releases"], it["records"], it["blobs"]);
        for finding in &findings {
            text.push_str(&format!("✘ {}\n", finding.as_str().unwrap_or_default()));
        }
        if findings.is_empty() {
            text.push_str("nothing is wrong\n");
        }
        text
    });
    Ok(u8::from(!findings.is_empty()))
}
