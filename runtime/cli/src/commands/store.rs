//! `windlass store`

use clap::Subcommand;

use super::Context;

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Read everything, replay every release, and compare what is derived
    Check,
}

pub(crate) async fn store(command: StoreCommand, context: &Context<'_>) -> anyhow::Result<u8> {
    let StoreCommand::Check = command;
    let client = context.client().await?;
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
