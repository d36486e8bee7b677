//! `windlass group`

use clap::Subcommand;
use windlass_server::Client;
use windlass_server::api::GroupBody;

use super::Context;

#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// Take people into a group, which is made if it is not there
    #[command(after_help = "Example:\n  windlass group add release-managers ana ben")]
    Add(Named),
    /// Take people out of a group
    #[command(after_help = "Example:\n  windlass group remove release-managers ben")]
    Remove(Named),
    /// Say who belongs to a group, and nobody else
    #[command(after_help = "Example:\n  windlass group set release-managers ana cleo")]
    Set(Named),
    /// List groups
    List,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Named {
    /// Its name, as workflows write it after `group:`
    name: String,
    /// Who
    #[arg(required = true, value_name = "PERSON")]
    people: Vec<String>,
}

pub(crate) async fn group(command: GroupCommand, context: &Context<'_>) -> anyhow::Result<u8> {
    let client = context.client().await?;
    let groups: Vec<GroupBody> = match command {
        GroupCommand::Add(Named { name, people }) => {
            let mut members = members(&client, &name).await?.unwrap_or_default();
            members.extend(people);
            vec![keep(&client, name, members).await?]
        }
        GroupCommand::Remove(Named { name, people }) => {
            let Some(mut left) = members(&client, &name).await? else {
                anyhow::bail!("there is no group `{name}`; `windlass group list` tells which there are");
            };
            if let Some(other) = people.iter().find(|it| !left.contains(it)) {
                anyhow::bail!("{other} does not belong to `{name}`: {} do", left.join(", "));
            }
            left.retain(|it| !people.contains(it));
            anyhow::ensure!(
                !left.is_empty(),
                "then nobody would belong to `{name}`, and what waits for it would wait for ever"
            );
            vec![keep(&client, name, left).await?]
        }
        GroupCommand::Set(Named { name, people }) => vec![keep(&client, name, people).await?],
        GroupCommand::List => client.get("/v1/groups").await?,
    };
    context
        .output
        .data(&groups, |it| it.iter().map(|it| format!("{}: {}\n", it.name, it.members.join(", "))).collect());
    Ok(0)
}

/// Who belongs to a group, if it is there.
async fn members(client: &Client, name: &str) -> anyhow::Result<Option<Vec<String>>> {
    let groups: Vec<GroupBody> = client.get("/v1/groups").await?;
    Ok(groups.into_iter().find(|it| it.name == name).map(|it| it.members))
}

async fn keep(client: &Client, name: String, mut members: Vec<String>) -> anyhow::Result<GroupBody> {
    let mut seen = std::collections::BTreeSet::new();
    members.retain(|it| seen.insert(it.clone()));
    Ok(client.post("/v1/groups", &GroupBody { name, members }).await?)
}
