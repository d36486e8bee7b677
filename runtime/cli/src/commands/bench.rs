//! `windlass bench`

use super::Context;

/// Measure this machine
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {}

pub(crate) async fn bench(_: BenchArgs, _: &Context<'_>) -> anyhow::Result<u8> {
    anyhow::bail!("not there yet")
}
