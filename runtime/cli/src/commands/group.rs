//! `windlass group`

use clap::Subcommand;
use windlass_server::api::GroupBody;

use super::Context;

#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// Declare a group; replaces the one of this name
    #[command(after_help = "Example:\n  windlass group add release-managers ana ben")]
    Add {
        /// Its name, as workflows write it after `group:`
        name: String,
        /// Who belongs to it
        #[arg(required = true)]
        members: Vec<String>,
    },
    /// List groups
    List,
}

pub(crate) async fn group(command: GroupCommand, context: &Context<'_>) -> anyhow::Result<u8> {
    let client = context.client().await?;
    let groups: Vec<GroupBody> = match command {
        GroupCommand::Add { name, members } => vec![client.post("/v1/groups", &GroupBody { name, members }).await?],
        GroupCommand::List => client.get("/v1/groups").await?,
    };
    context
        .output
        .data(&groups, |it| it.iter().map(|it| format!("{}: {}\n", it.name, it.members.join(", "))).collect());
    Ok(0)
}
