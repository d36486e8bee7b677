//! `windlass alert`

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Subcommand;
use serde_json::{Map, Value, json};
use windlass_model::alert::NAME_LABEL;
use windlass_model::connection::SecretReference;
use windlass_model::time::Timestamp;
use windlass_server::Client;
use windlass_server::alerts::{ALERT_BODY_BYTES_MAX, AlertSourceView, AlertsTaken, SourceAuthentication};
use windlass_server::api::{AlertSourceBody, StatusBody};

use super::{Context, schedule, watch};
use crate::output::{DIM, STRONG, styled};

#[derive(Debug, Subcommand)]
pub(crate) enum AlertCommand {
    /// Say that something is wrong: releases whose workflows name this alert are rolled back, or ask for a decision
    #[command(
        after_help = "A release names alerts in `rollback.alerts` of its workflow; all labels named there must be the same.\n\nExamples:\n  windlass alert fire HighErrorRate --label service=payments --annotation 'summary=5 % of requests fail'"
    )]
    Fire(FireArgs),
    /// Say that it is over: breakers that it keeps open are kept open no longer
    #[command(after_help = "Examples:\n  windlass alert resolve HighErrorRate --label service=payments")]
    Resolve(ResolveArgs),
    /// Take what Alertmanager's webhook would send, where no network reaches
    #[command(after_help = "Examples:\n  windlass alert send webhook.json\n  windlass alert send - < webhook.json")]
    Send(SendArgs),
    /// Declare who may send alerts over the network
    #[command(subcommand)]
    Source(SourceCommand),
}

#[derive(Debug, clap::Args)]
pub(crate) struct FireArgs {
    /// Its name: the label `alertname`
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: String,
    /// Another label
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// What it says to people
    #[arg(long = "annotation", value_name = "NAME=TEXT", value_parser = pair)]
    annotations: Vec<(String, String)>,
    /// Since when something is wrong, for example 2026-03-01T12:00:00Z; with the labels it says which alert this is,
    /// and each is taken once
    #[arg(long, value_name = "TIME", default_value = "now", value_parser = instant)]
    since: Timestamp,
    /// Do it as this person
    #[arg(long = "as", value_name = "PERSON", value_parser = super::person)]
    on_behalf_of: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ResolveArgs {
    /// Its name: the label `alertname`
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: String,
    /// Another label; all that it fired with
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// Do it as this person
    #[arg(long = "as", value_name = "PERSON", value_parser = super::person)]
    on_behalf_of: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SendArgs {
    /// A file with the body of the request; `-` reads it from standard input
    file: PathBuf,
    /// Do it as this person
    #[arg(long = "as", value_name = "PERSON", value_parser = super::person)]
    on_behalf_of: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SourceCommand {
    /// Declare a source of alerts; replaces the one of this name
    ///
    /// It sends what Alertmanager's webhook sends to ADDRESS/alerts/NAME, where ADDRESS is that of `windlass serve
    /// --callbacks`.
    #[command(
        after_help = "Secrets are referred to, never written out: env:NAME or file:/absolute/path.\n\nExamples:\n  windlass alert source add prom --token file:/etc/windlass/alertmanager\n  windlass alert source add pager --hmac env:PAGER_KEY --header x-pager-signature"
    )]
    Add(SourceArgs),
    /// List sources of alerts
    List,
    /// Take no more alerts from a source
    Remove {
        /// Which
        name: String,
    },
}

#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(group(clap::ArgGroup::new("secret").args(["token", "hmac"]).required(true)))]
pub(crate) struct SourceArgs {
    /// Its name: a word, the end of the address
    name: String,
    /// Where the token is that it sends (`authorization: Bearer …`)
    #[arg(long, value_name = "REFERENCE", value_parser = super::ReferenceParser)]
    token: Option<SecretReference>,
    /// Where the key is with which it signs the body (HMAC-SHA256, `x-windlass-signature: sha256=HEX`)
    #[arg(long, value_name = "REFERENCE", value_parser = super::ReferenceParser)]
    hmac: Option<SecretReference>,
    /// For `--hmac`: the header that holds the signature
    #[arg(long, value_name = "NAME", requires = "hmac")]
    header: Option<String>,
    /// Do it as this person
    #[arg(long = "as", value_name = "PERSON", value_parser = super::person)]
    on_behalf_of: Option<String>,
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE, for example `service=payments`".to_owned()),
    }
}

fn instant(text: &str) -> Result<Timestamp, String> {
    if text == "now" {
        return Ok(watch::now());
    }
    let since: Timestamp = text.parse().map_err(|error| format!("{error}"))?;
    if since > watch::now() { Err("that is still to come: write since when it fires".to_owned()) } else { Ok(since) }
}

/// Labels or annotations, each given once.
fn texts(pairs: &[(String, String)], what: &str) -> anyhow::Result<Map<String, Value>> {
    let mut all = Map::new();
    for (name, value) in pairs {
        if all.insert(name.clone(), value.as_str().into()).is_some() {
            anyhow::bail!("the {what} `{name}` is given twice");
        }
    }
    Ok(all)
}

/// What Alertmanager would send of one alert.
fn firing(args: &FireArgs) -> anyhow::Result<Value> {
    Ok(json!({
        "status": "firing",
        "labels": named(&args.name, &args.labels)?,
        "annotations": texts(&args.annotations, "annotation")?,
        "startsAt": args.since.to_string(),
    }))
}

fn resolved(args: &ResolveArgs) -> anyhow::Result<Value> {
    Ok(json!({
        "status": "resolved",
        "labels": named(&args.name, &args.labels)?,
        "startsAt": watch::now().to_string(),
    }))
}

fn named(name: &str, labels: &[(String, String)]) -> anyhow::Result<Map<String, Value>> {
    let mut labels = texts(labels, "label")?;
    if labels.insert(NAME_LABEL.to_owned(), name.into()).is_some() {
        anyhow::bail!("the label `{NAME_LABEL}` is the alert's name, which is given without `--label`");
    }
    Ok(labels)
}

fn body(alert: Value) -> anyhow::Result<Vec<u8>> {
    Ok(serde_json::to_vec(&json!({ "version": "4", "alerts": [alert] }))?)
}

fn read(file: &std::path::Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = ALERT_BODY_BYTES_MAX as u64 + 1;
    if file == std::path::Path::new("-") {
        std::io::stdin().take(most).read_to_end(&mut bytes).context("standard input")?;
    } else {
        let open = std::fs::File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
        open.take(most).read_to_end(&mut bytes).with_context(|| format!("{} cannot be read", file.display()))?;
    }
    Ok(bytes)
}

pub(crate) async fn alert(command: AlertCommand, context: &Context<'_>) -> anyhow::Result<u8> {
    let client = context.client().await?;
    let (bytes, on_behalf_of) = match command {
        AlertCommand::Source(command) => return source(command, &client, context).await,
        AlertCommand::Fire(args) => (body(firing(&args)?)?, args.on_behalf_of),
        AlertCommand::Resolve(args) => (body(resolved(&args)?)?, args.on_behalf_of),
        AlertCommand::Send(args) => (read(&args.file)?, args.on_behalf_of),
    };
    let query = on_behalf_of.map(|it| format!("?as={}", schedule::encoded(&it))).unwrap_or_default();
    let taken: AlertsTaken = client.post_bytes(&format!("/v1/alerts{query}"), Bytes::from(bytes)).await?;
    context.output.data(&taken, told);
    Ok(0)
}

fn told(taken: &AlertsTaken) -> String {
    let mut out = String::new();
    for it in &taken.taken {
        out.push_str(&format!("{} took {}\n", styled(STRONG, &it.release), it.alert));
    }
    for it in &taken.passed_over {
        let reason = it.reason.as_deref().unwrap_or_default();
        out.push_str(&format!("{}  {}: {reason}\n", styled(DIM, &it.release), it.alert));
    }
    for key in &taken.opened {
        out.push_str(&format!("{} is open until that is resolved\n", styled(STRONG, key)));
    }
    for key in &taken.calmed {
        out.push_str(&format!("{} is kept open by it no longer\n", styled(STRONG, key)));
    }
    if taken.repeated > 0 {
        out.push_str("taken before; each alert is taken once\n");
    }
    if out.is_empty() {
        out = format!("no release and no breaker is concerned ({} firing)\n", taken.firing);
    }
    out
}

async fn source(command: SourceCommand, client: &Client, context: &Context<'_>) -> anyhow::Result<u8> {
    match command {
        SourceCommand::Add(args) => {
            let authentication = match (args.token, args.hmac) {
                (Some(token), _) => SourceAuthentication::Bearer { token },
                (None, Some(key)) => SourceAuthentication::Hmac { key, header: args.header },
                (None, None) => anyhow::bail!("say how it is known: `--token` or `--hmac`"),
            };
            let body = AlertSourceBody { name: args.name, authentication, on_behalf_of: args.on_behalf_of };
            let view: AlertSourceView = client.post("/v1/alert-sources", &body).await?;
            let status: StatusBody = client.get("/v1/status").await?;
            let base = status.callbacks.unwrap_or_else(|| "the address of `windlass serve --callbacks`".to_owned());
            context.output.data(&view, |it| format!("{}sends to {base}/alerts/{}\n", line(it), it.name));
        }
        SourceCommand::List => {
            let all: Vec<AlertSourceView> = client.get("/v1/alert-sources").await?;
            context.output.data(&all, |it| match it.as_slice() {
                [] => "no sources; `windlass alert source add` declares one".to_owned(),
                all => all.iter().map(line).collect(),
            });
        }
        SourceCommand::Remove { name } => {
            client.delete(&format!("/v1/alert-sources/{}", schedule::encoded(&name))).await?;
            context.output.data(&json!({ "removed": name }), |_| format!("no alerts are taken from {name} any more"));
        }
    }
    Ok(0)
}

fn line(view: &AlertSourceView) -> String {
    let how = match &view.authentication {
        SourceAuthentication::Bearer { token } => format!("token {token}"),
        SourceAuthentication::Hmac { key, header: None } => format!("signed with {key}"),
        SourceAuthentication::Hmac { key, header: Some(header) } => format!("signed with {key} in {header}"),
    };
    let by = styled(DIM, format!("  set by {} at {}", view.set_by.name, view.set_at));
    format!("{}  {how}{by}\n", styled(STRONG, &view.name))
}
