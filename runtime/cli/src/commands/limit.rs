//! `windlass limit`

use clap::Subcommand;
use windlass_server::admission::LimitView;
use windlass_server::api::LimitBody;

use super::{Context, schedule};
use crate::output::{DIM, STRONG, styled};

#[derive(Debug, Subcommand)]
pub(crate) enum LimitCommand {
    /// List limits, and how many releases run and wait
    List,
    /// Set how many releases may run at once, or how many may wait
    ///
    /// Releases over a limit wait for their turn; those that run are left alone. Those inside of other releases do
    /// not count.
    #[command(
        after_help = "A release counts for the tenant that its workflow names (`tenant: payments`), else for `default`.\n\nExamples:\n  windlass limit set --releases 200\n  windlass limit set --tenant payments --releases 3\n  windlass limit set --waiting 500"
    )]
    Set(SetArgs),
    /// Take a limit away
    #[command(after_help = "Examples:\n  windlass limit remove\n  windlass limit remove --tenant payments")]
    Remove {
        /// Of this tenant; else of the whole installation
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    /// Of this tenant; else of the whole installation
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// How many may run at once
    #[arg(long, value_name = "COUNT")]
    releases: Option<u32>,
    /// How many may wait; starting more is refused
    #[arg(long, value_name = "COUNT")]
    waiting: Option<u32>,
    /// Do it as this person
    #[arg(long = "as", value_name = "PERSON", value_parser = super::person)]
    on_behalf_of: Option<String>,
}

pub(crate) async fn limit(command: LimitCommand, context: &Context<'_>) -> anyhow::Result<u8> {
    let client = context.client().await?;
    match command {
        LimitCommand::List => {
            let all: Vec<LimitView> = client.get("/v1/limits").await?;
            context.output.data(&all, |it| it.iter().map(line).collect());
        }
        LimitCommand::Set(SetArgs { tenant, releases, waiting, on_behalf_of }) => {
            let body = LimitBody { tenant, releases, waiting, on_behalf_of };
            let view: LimitView = client.post("/v1/limits", &body).await?;
            context.output.data(&view, line);
        }
        LimitCommand::Remove { tenant } => {
            let (path, whose) = match &tenant {
                Some(tenant) => {
                    (format!("/v1/limits/tenants/{}", schedule::encoded(tenant)), format!("tenant {tenant}"))
                }
                None => ("/v1/limits/installation".to_owned(), "the installation".to_owned()),
            };
            client.delete(&path).await?;
            context
                .output
                .data(&serde_json::json!({ "removed": tenant }), |_| format!("{whose} has no limit any more"));
        }
    }
    Ok(0)
}

fn line(view: &LimitView) -> String {
    let whose = view.tenant.as_ref().map_or_else(|| "installation".to_owned(), |it| format!("tenant {it}"));
    let of = |now: Option<u32>, most: Option<u32>, verb: &str| match (now, most) {
        (Some(now), Some(most)) => format!("  {now} of {most} {verb}"),
        (None, Some(most)) => format!("  {most} may {verb}"),
        (Some(now), None) => format!("  {now} {verb}"),
        (None, None) => String::new(),
    };
    let (running, waiting) = (of(view.running_now, view.releases, "run"), of(view.waiting_now, view.waiting, "wait"));
    let by = match (&view.set_by, view.set_at) {
        (Some(by), Some(at)) => styled(DIM, format!("  set by {by} at {at}")),
        _ => String::new(),
    };
    format!("{}{running}{waiting}{by}\n", styled(STRONG, whose))
}
