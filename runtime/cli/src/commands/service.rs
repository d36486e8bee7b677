//! `windlass service`

use clap::Subcommand;
use windlass_model::name::{EnvironmentName, ServiceName};
use windlass_model::service::ENVIRONMENT;
use windlass_server::api::{ReasonBody, ServiceBody};
use windlass_server::services::{ServiceChange, ServiceView};

use super::Context;
use crate::output::{DIM, STRONG, styled};

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// List services: which version is live where, and which is coming
    List,
    /// Show a service: what was live, and who made it so
    Show(WhichArgs),
    /// Say which version is live, of a service that no release has delivered
    #[command(
        after_help = "Steps say which versions they deliver and require; see `requires` in workflows/README.md.\n\nExample:\n  windlass service set ledger --environment production --version 2.4.1 --reason 'deployed before Windlass was here'"
    )]
    Set(SetArgs),
    /// Forget which versions are and were live
    Forget(ForgetArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct WhichArgs {
    /// Which
    service: ServiceName,
    /// Where
    #[arg(long, value_name = "NAME", default_value = ENVIRONMENT)]
    environment: EnvironmentName,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// The version that is live
    #[arg(long)]
    version: String,
    /// Why; it is kept with the service
    #[arg(long)]
    reason: String,
    /// Do it as this person
    #[arg(long = "as", value_name = "PERSON", value_parser = super::person)]
    on_behalf_of: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ForgetArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Why; it is logged
    #[arg(long)]
    reason: String,
    /// Do it as this person
    #[arg(long = "as", value_name = "PERSON", value_parser = super::person)]
    on_behalf_of: Option<String>,
}

impl WhichArgs {
    fn path(&self) -> String {
        format!("/v1/services/{}/{}", self.environment, self.service)
    }
}

pub(crate) async fn service(command: ServiceCommand, context: &Context<'_>) -> anyhow::Result<u8> {
    let client = context.client().await?;
    let view: ServiceView = match command {
        ServiceCommand::List => {
            let all: Vec<ServiceView> = client.get("/v1/services").await?;
            context.output.data(&all, |it| list(it));
            return Ok(0);
        }
        ServiceCommand::Show(which) => client.get(&which.path()).await?,
        ServiceCommand::Set(SetArgs { which, version, reason, on_behalf_of }) => {
            client.post(&which.path(), &ServiceBody { version, reason, on_behalf_of }).await?
        }
        ServiceCommand::Forget(ForgetArgs { which, reason, on_behalf_of }) => {
            let path = format!("{}/forget", which.path());
            let () = client.post(&path, &ReasonBody { reason, on_behalf_of }).await?;
            let (service, environment) = (which.service, which.environment);
            let told = serde_json::json!({ "forgotten": service, "environment": environment });
            context.output.data(&told, |_| format!("which version of {service} is live in {environment} is forgotten"));
            return Ok(0);
        }
    };
    context.output.data(&view, drawn);
    Ok(0)
}

fn coming(view: &ServiceView) -> String {
    let coming: Vec<String> = view.coming.iter().map(|(release, version)| format!("{version} ({release})")).collect();
    if coming.is_empty() { String::new() } else { format!("  coming: {}", coming.join(", ")) }
}

fn list(all: &[ServiceView]) -> String {
    if all.is_empty() {
        return "no services; a step that `delivers` a version makes one known, or `windlass service set`".to_owned();
    }
    let line = |it: &ServiceView| {
        let live = it.live.as_deref().unwrap_or("none");
        format!("{}  {live}{}\n", it.place, styled(DIM, coming(it)))
    };
    all.iter().map(line).collect()
}

fn drawn(view: &ServiceView) -> String {
    let live = view.live.as_deref().unwrap_or("none");
    let mut out = format!("{}  {live}{}\n", styled(STRONG, &view.place), styled(DIM, coming(view)));
    for ServiceChange { version, at, release, by, reason } in view.history.iter().rev() {
        let who = match (release, reason) {
            (Some(release), _) => format!("{release}, step {by}"),
            (None, reason) => format!("{by}: {}", reason.as_deref().unwrap_or_default()),
        };
        out.push_str(&format!("  {}  {version}  {who}\n", styled(DIM, at)));
    }
    out
}
