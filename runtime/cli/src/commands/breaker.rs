//! `windlass breaker`

use std::collections::BTreeMap;

use clap::Subcommand;
use windlass_model::alert::NAME_LABEL;
use windlass_model::time::Span;
use windlass_server::api::{ReasonBody, SettingsBody};
use windlass_server::breakers::{BreakerView, FiringAlert, Reach, TripView};

use super::{Context, schedule};
use crate::output::{BAD, DIM, GOOD, STRONG, WAIT, styled};

#[derive(Debug, Subcommand)]
pub(crate) enum BreakerCommand {
    /// List breakers
    List,
    /// Show a breaker: why it is open, what it has seen, who waits for it, who changed it
    Show {
        /// Which: connection:PLUGIN/CONNECTION, workflow:NAME, service:NAME[/ENVIRONMENT], environment:NAME, tenant:NAME or global
        key: String,
    },
    /// Let a breaker open and close by itself
    ///
    /// What is not said is as by default: 50% of at least 10 within 10m, or 5 in a row; open for 5m, then 1 probe.
    #[command(
        after_help = "A breaker of a connection counts the ends of attempts: transient, rate_limited, timed_out, unauthenticated and internal failures against it, any other answer for it. All others count the ends of releases, failed and rolled back against them: of the workflow, of the tenant, and of those that deliver a version of the service, or of any into the environment.\n\nExamples:\n  windlass breaker set connection:http/api\n  windlass breaker set connection:jenkins/ci --failures 30% --of 20 --within 5m --consecutive 0 --cooldown 2m --probes 3\n  windlass breaker set workflow:payments --failures 100% --of 3 --within 1d --cooldown 1h\n  windlass breaker set service:payments/production --consecutive 2 --cooldown 1h\n  windlass breaker set environment:production --alert ErrorBudgetBurn --alert-label severity=page\n  windlass breaker set global --alert Incident --alert-label severity=1"
    )]
    Set(SetArgs),
    /// Take a breaker's rule away; what it holds goes on, unless a person has opened it
    Unset {
        /// Which
        key: String,
    },
    /// Open a breaker, until somebody resets it; tells which releases it will hold and have rolled back
    #[command(
        after_help = "Only the start of forward work is held: what runs goes on, and cancelling and rolling back are never held.\n\nExamples:\n  windlass breaker trip connection:http/api --dry-run\n  windlass breaker trip global --reason 'incident 4711'\n  windlass breaker trip workflow:payments --reason 'schema migration' --as ana"
    )]
    Trip(TripArgs),
    /// Close a breaker; what it has counted is forgotten
    Reset(ReasonArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    /// Which: connection:PLUGIN/CONNECTION, workflow:NAME, service:NAME[/ENVIRONMENT], environment:NAME, tenant:NAME, or global with `--alert`
    key: String,
    /// Opens when at least so many of the last ones failed
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    failures: Option<u8>,
    /// Of at least so many
    #[arg(long, value_name = "COUNT")]
    of: Option<u32>,
    /// Within this time
    #[arg(long, value_name = "TIME")]
    within: Option<Span>,
    /// Opens after so many failures in a row, too; 0 for never
    #[arg(long, value_name = "COUNT")]
    consecutive: Option<u32>,
    /// How long it is open before it lets one through to see whether it works again
    #[arg(long, value_name = "TIME")]
    cooldown: Option<Span>,
    /// How many of those in a row must end well until it closes
    #[arg(long, value_name = "COUNT")]
    probes: Option<u32>,
    /// Opens when this alert fires, too, and stays open until it is resolved
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    alert: Option<String>,
    /// Another label that the alert has to have
    #[arg(long = "alert-label", value_name = "NAME=VALUE", value_parser = super::alert::pair, requires = "alert")]
    alert_labels: Vec<(String, String)>,
    /// Do it as this person
    #[arg(long = "as", value_name = "PERSON", value_parser = super::person)]
    on_behalf_of: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReasonArgs {
    /// Which: connection:PLUGIN/CONNECTION, workflow:NAME, service:NAME[/ENVIRONMENT], environment:NAME, tenant:NAME or global
    key: String,
    /// Why; it is kept with the breaker
    #[arg(long)]
    reason: String,
    /// Do it as this person
    #[arg(long = "as", value_name = "PERSON", value_parser = super::person)]
    on_behalf_of: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TripArgs {
    /// Which: connection:PLUGIN/CONNECTION, workflow:NAME, service:NAME[/ENVIRONMENT], environment:NAME, tenant:NAME or global
    key: String,
    /// Why; it is kept with the breaker
    #[arg(long, required_unless_present = "dry_run")]
    reason: Option<String>,
    /// Only tell what it would come to
    #[arg(long)]
    dry_run: bool,
    /// Do it as this person
    #[arg(long = "as", value_name = "PERSON", value_parser = super::person)]
    on_behalf_of: Option<String>,
}

fn percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    number.parse().map_err(|_| format!("`{text}` is no share: write a whole number of percent, for example `50%`"))
}

pub(crate) async fn breaker(command: BreakerCommand, context: &Context<'_>) -> anyhow::Result<u8> {
    let client = context.client().await?;
    let view: BreakerView = match command {
        BreakerCommand::List => {
            let all: Vec<BreakerView> = client.get("/v1/breakers").await?;
            context.output.data(&all, |it| list(it));
            return Ok(0);
        }
        BreakerCommand::Show { key } => client.get(&path(&key, "")).await?,
        BreakerCommand::Set(args) => {
            let body = SettingsBody {
                failures_percent: args.failures,
                of: args.of,
                within: args.within,
                consecutive: args.consecutive,
                cooldown: args.cooldown,
                probes: args.probes,
                alert: args.alert.map(|name| labels(name, args.alert_labels)).transpose()?,
                on_behalf_of: args.on_behalf_of,
            };
            client.post(&path(&args.key, ""), &body).await?
        }
        BreakerCommand::Unset { key } => {
            client.delete(&path(&key, "")).await?;
            context.output.data(&serde_json::json!({ "unset": key }), |_| format!("{key} has no rule any more"));
            return Ok(0);
        }
        BreakerCommand::Trip(TripArgs { key, reason, dry_run, on_behalf_of }) => {
            let view: TripView = match reason.filter(|_| !dry_run) {
                Some(reason) => client.post(&path(&key, "/trip"), &ReasonBody { reason, on_behalf_of }).await?,
                None => client.get(&path(&key, "/trip")).await?,
            };
            context.output.data(&view, tripped);
            return Ok(0);
        }
        BreakerCommand::Reset(ReasonArgs { key, reason, on_behalf_of }) => {
            client.post(&path(&key, "/reset"), &ReasonBody { reason, on_behalf_of }).await?
        }
    };
    context.output.data(&view, drawn);
    Ok(0)
}

/// The labels of an alert, its name included.
fn labels(name: String, others: Vec<(String, String)>) -> anyhow::Result<BTreeMap<String, String>> {
    let mut labels = BTreeMap::from([(NAME_LABEL.to_owned(), name)]);
    for (label, value) in others {
        if labels.insert(label.clone(), value).is_some() {
            anyhow::bail!("the label `{label}` is given twice; `{NAME_LABEL}` is the alert's name");
        }
    }
    Ok(labels)
}

fn path(key: &str, rest: &str) -> String {
    format!("/v1/breakers/{}{rest}", schedule::encoded(key))
}

fn state(view: &BreakerView) -> String {
    let style = match view.state.as_str() {
        "closed" => GOOD,
        "open" => BAD,
        _ => WAIT,
    };
    styled(style, &view.state)
}

fn list(all: &[BreakerView]) -> String {
    if all.is_empty() {
        return "no breakers; `windlass breaker set` makes one, `windlass breaker trip` opens one".to_owned();
    }
    let line = |it: &BreakerView| {
        let why = it.why.as_ref().map_or_else(String::new, |it| format!("  {it}"));
        let waiting = match it.waiting.len() {
            0 => String::new(),
            1 => "  1 release waits".to_owned(),
            count => format!("  {count} releases wait"),
        };
        format!("{}  {}{why}{waiting}\n", it.key, state(it))
    };
    all.iter().map(line).collect()
}

fn tripped(TripView { breaker, reach: Reach { holds, rolls_back } }: &TripView) -> String {
    let mut out = breaker.as_ref().map(drawn).unwrap_or_default();
    let will = if breaker.is_some() { "will hold" } else { "would hold" };
    if holds.is_empty() {
        out.push_str(&format!("  {will:<10} no open release\n"));
    }
    for (at, (release, steps)) in holds.iter().enumerate() {
        let back = if rolls_back.contains(release) { ", and have it rolled back" } else { "" };
        let (what, steps) = (if at == 0 { will } else { "" }, steps.join(", "));
        out.push_str(&format!("  {what:<10} {release} before {steps}{back}\n"));
    }
    out
}

fn drawn(view: &BreakerView) -> String {
    let mut out = format!("{}  {} since {}\n", styled(STRONG, &view.key), state(view), view.since);
    let mut line = |name: &str, text: String| out.push_str(&format!("  {name:<10} {text}\n"));
    if let Some(why) = &view.why {
        line("because", why.clone());
        line(
            "until",
            match (&view.until, &view.by, &view.probe) {
                (Some(until), ..) => format!("{until}, when one is let through"),
                (None, _, Some(probe)) => format!("{probe} has ended, which is let through now"),
                (None, Some(_), None) => format!("`windlass breaker reset {} --reason …`", view.key),
                (None, None, None) if view.state == "open" => "the alerts that fire are resolved".to_owned(),
                (None, None, None) => "one that is let through has ended".to_owned(),
            },
        );
    }
    line("rule", view.rule.clone());
    if let Some(name) = view.alert.get(NAME_LABEL) {
        let others = view.alert.iter().filter(|(it, _)| *it != NAME_LABEL);
        let others: Vec<String> = others.map(|(name, value)| format!("{name}={value}")).collect();
        let others = if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) };
        line("alert", format!("open while {name}{others} fires"));
    }
    for FiringAlert { alert, since, dismissed } in &view.firing {
        let dismissed = if *dismissed { ", dismissed when the breaker was closed" } else { "" };
        line("fires", format!("{alert}, since {since}{dismissed}"));
    }
    if let (Some(by), Some(at)) = (&view.set_by, view.set_at) {
        line("set by", format!("{by} at {at}"));
    }
    line("window", format!("{} of {} failed, {} in a row", view.failures, view.counted, view.in_a_row));
    for (at, release) in view.waiting.iter().enumerate() {
        line(if at == 0 { "waiting" } else { "" }, release.clone());
    }
    for (at, sample) in view.samples.iter().rev().enumerate() {
        let end = match &sample.failure {
            Some(failure) => styled(BAD, failure),
            None => styled(GOOD, "good"),
        };
        line(if at == 0 { "seen" } else { "" }, format!("{}  {}  {end}", sample.at, sample.who));
    }
    for (at, change) in view.history.iter().rev().enumerate() {
        let by = change.authenticated.as_ref().map_or_else(String::new, |it| styled(DIM, format!(" ({it})")));
        line(if at == 0 { "changed" } else { "" }, format!("{}  {}: {}{by}", change.at, change.to, change.why));
    }
    out
}
