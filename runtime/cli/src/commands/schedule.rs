//! `windlass schedule`

use std::path::PathBuf;

use clap::Subcommand;
use windlass_model::check::Copies;
use windlass_model::problem::Color;
use windlass_model::schedule::{CatchUp, InvalidTimes, Once, Overlap, Times, render_cron};
use windlass_server::api::{ActorBody, ErrorBody, ScheduleBody};
use windlass_server::client::ClientError;
use windlass_server::schedules::{FiringTime, ScheduleView, TIMES_MAX};

use super::{Context, read_with_used, watch};
use crate::output::{BAD, DIM, GOOD, STRONG, WAIT, styled};

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// Make a schedule; replaces the one of this name
    ///
    /// Its releases are started by `windlass serve`, in the name of whoever made the schedule. The workflow file is
    /// kept with it; which plugins its steps use is decided anew for each release.
    #[command(
        after_help = "Expressions have five fields (minute, hour, day of the month, month, day of the week), six (a second before them) or seven (a year after them), or are a word such as @daily. Days of the week are 0 to 7 (0 and 7 are Sunday) or names.\n\nExamples:\n  windlass schedule set nightly --cron '0 22 * * 1-5' --zone Europe/Berlin --workflow release.yaml -p version=2.4.1\n  windlass schedule set cutover --at '2026-12-01T22:00[Europe/Berlin]' --workflow release.yaml\n  windlass schedule set drift --cron '*/15 * * * *' --workflow drift.yaml --overlap skip --catch-up none"
    )]
    Set(Box<SetArgs>),
    /// List schedules
    #[command(after_help = "Examples:\n  windlass schedule list\n  windlass schedule list --deleted")]
    List {
        /// Those that were deleted: who did that, when and why
        #[arg(long)]
        deleted: bool,
    },
    /// Show a schedule: when it comes, what became of its firings, who changed it
    Show {
        /// Which
        name: String,
    },
    /// Tell when a schedule comes next, or when an expression would
    #[command(
        after_help = "Examples:\n  windlass schedule next nightly --count 5\n  windlass schedule next --cron '30 2 * * *' --zone Europe/Berlin --from 2026-03-28T00:00"
    )]
    Next(NextArgs),
    /// Let a schedule rest; what would have come meanwhile is not made up for
    Pause(ActArgs),
    /// Let a schedule go on
    Resume(ActArgs),
    /// Start a release of a schedule now, by its rules for one that still runs
    Run(ActArgs),
    /// Delete a schedule; its releases stay, and `schedule list --deleted` tells who deleted it
    #[command(after_help = "Example:\n  windlass schedule delete nightly --reason 'the pipeline starts it now'")]
    Delete {
        #[command(flatten)]
        who: ActArgs,
        /// Why; kept with what is left of it
        #[arg(long)]
        reason: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(group(clap::ArgGroup::new("when").args(["cron", "at"]).required(true)))]
pub(crate) struct SetArgs {
    /// Its name
    name: String,
    /// When, again and again: a cron expression
    #[arg(long, value_name = "EXPRESSION")]
    cron: Option<String>,
    /// When, once: 2026-12-01T22:00[Europe/Berlin]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// The time zone of the expression or the time [default: UTC]
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// The workflow file
    #[arg(long, value_name = "FILE")]
    workflow: PathBuf,
    /// A parameter of the workflow; texts as they are, anything else as JSON
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// When firings were missed: none, latest (one of them comes late), all, or all:N (the last N)
    #[arg(long, value_name = "POLICY", default_value = "latest")]
    catch_up: CatchUp,
    /// When the last release still runs: skip, queue, allow, or cancel_running (then start the newest)
    #[arg(long, value_name = "POLICY", default_value = "skip")]
    overlap: Overlap,
    /// Nothing comes before this time
    #[arg(long, value_name = "TIME")]
    starts: Option<String>,
    /// Nothing comes from this time on
    #[arg(long, value_name = "TIME")]
    ends: Option<String>,
    /// Make it as this person, who then asks for its releases
    #[arg(long = "as", value_name = "PERSON", value_parser = super::person)]
    on_behalf_of: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NextArgs {
    /// Which
    #[arg(required_unless_present_any = ["cron", "at"], conflicts_with_all = ["cron", "at", "zone"])]
    name: Option<String>,
    /// An expression that no schedule has yet
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "at")]
    cron: Option<String>,
    /// A time that no schedule has yet
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// The time zone of the expression or the time [default: UTC]
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// How many
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=TIMES_MAX as i64))]
    count: u16,
    /// After this time, not after now
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ActArgs {
    /// Which
    name: String,
    /// Do it as this person
    #[arg(long = "as", value_name = "PERSON", value_parser = super::person)]
    on_behalf_of: Option<String>,
}

pub(crate) async fn schedule(command: ScheduleCommand, context: &Context<'_>) -> anyhow::Result<u8> {
    let view: ScheduleView = match command {
        ScheduleCommand::Next(args) => return next(args, context).await,
        ScheduleCommand::Set(args) => match set(*args, None, context).await? {
            Ok(view) => view,
            Err(code) => return Ok(code),
        },
        ScheduleCommand::List { deleted } => {
            let path = if deleted { "/v1/schedules?deleted=true" } else { "/v1/schedules" };
            let all: Vec<ScheduleView> = context.client().await?.get(path).await?;
            context.output.data(&all, |it| if deleted { list_deleted(it) } else { list(it) });
            return Ok(0);
        }
        ScheduleCommand::Show { name } => context.client().await?.get(&path(&name, "")).await?,
        ScheduleCommand::Pause(args) => act(args, "/pause", context).await?,
        ScheduleCommand::Resume(args) => act(args, "/resume", context).await?,
        ScheduleCommand::Run(args) => act(args, "/run", context).await?,
        ScheduleCommand::Delete { who: ActArgs { name, on_behalf_of }, reason } => {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            let given = [("reason", reason), ("as", on_behalf_of)];
            query.extend_pairs(given.iter().filter_map(|(name, it)| Some((name, it.as_ref()?))));
            context.client().await?.delete(&path(&name, &format!("?{}", query.finish()))).await?;
            context.output.data(&serde_json::json!({ "deleted": name }), |_| format!("{name} deleted"));
            return Ok(0);
        }
    };
    tell(&view, context);
    Ok(0)
}

/// Shows a schedule.
pub(super) fn tell(view: &ScheduleView, context: &Context<'_>) {
    context.output.data(view, drawn);
    if !view.fires && view.state != "paused" {
        context.output.note("nothing fires schedules at the moment: `windlass serve` does");
    }
}

fn path(name: &str, rest: &str) -> String {
    format!("/v1/schedules/{}{rest}", encoded(name))
}

/// A text as a part of an address.
pub(super) fn encoded(text: &str) -> String {
    let byte = |it: u8| match it {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(it).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

async fn act(args: ActArgs, what: &str, context: &Context<'_>) -> anyhow::Result<ScheduleView> {
    let body = ActorBody { on_behalf_of: args.on_behalf_of };
    Ok(context.client().await?.post(&path(&args.name, what), &body).await?)
}

/// Times as they were typed; an expression that is none is shown with the wrong field marked.
fn times(
    cron: Option<&str>,
    at: Option<&str>,
    zone: Option<&str>,
    context: &Context<'_>,
) -> anyhow::Result<Result<Times, u8>> {
    match Times::parse(cron, at, zone) {
        Err(InvalidTimes::Cron { text, problem }) if !context.output.is_json() => {
            let color = if context.output.has_color() { Color::Ansi } else { Color::None };
            context.output.problems(&render_cron(&text, &problem, color));
            Ok(Err(2))
        }
        other => Ok(Ok(other?)),
    }
}

/// The schedule that was made, or the exit code after problems were shown.
pub(super) async fn set(
    args: SetArgs,
    copies: Option<Copies>,
    context: &Context<'_>,
) -> anyhow::Result<Result<ScheduleView, u8>> {
    let (source, files) = read_with_used(&args.workflow)?;
    if let Err(code) = times(args.cron.as_deref(), args.at.as_deref(), args.zone.as_deref(), context)? {
        return Ok(Err(code));
    }
    let body = ScheduleBody {
        name: args.name,
        cron: args.cron,
        at: args.at,
        zone: args.zone,
        file: source.name().to_owned(),
        workflow: source.text().to_owned(),
        files,
        copies,
        parameters: serde_json::Value::Null,
        arguments: super::run::arguments(&args.parameters)?,
        catch_up: Some(args.catch_up.to_string()),
        overlap: Some(args.overlap.name().to_owned()),
        starts: args.starts,
        ends: args.ends,
        on_behalf_of: args.on_behalf_of,
        color: context.output.has_color(),
    };
    match context.client().await?.post("/v1/schedules", &body).await {
        Ok(view) => Ok(Ok(view)),
        Err(ClientError::Refused { body: ErrorBody { problems: Some(it), .. }, .. }) if !context.output.is_json() => {
            context.output.problems(&it.rendered);
            Ok(Err(1))
        }
        Err(error) => Err(error.into()),
    }
}

async fn next(args: NextArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let all: Vec<FiringTime> = match &args.name {
        Some(name) => {
            let from = args.from.as_deref().map(|it| format!("&from={}", encoded(it))).unwrap_or_default();
            let query = format!("/next?count={}{from}", args.count);
            context.client().await?.get(&path(name, &query)).await?
        }
        // Nothing of this is kept anywhere, so nothing is opened.
        None => {
            let times = match times(args.cron.as_deref(), args.at.as_deref(), args.zone.as_deref(), context)? {
                Ok(times) => times,
                Err(code) => return Ok(code),
            };
            let from = match args.from.as_deref() {
                Some(from) if from.contains('[') => Once::parse(from, None)?.at(),
                Some(from) => Once::parse(from, Some(times.zone()))?.at(),
                None => watch::now(),
            };
            FiringTime::of_times(&times, from, usize::from(args.count))
        }
    };
    context.output.data(&all, |it| match it.as_slice() {
        [] => "it never comes after that".to_owned(),
        all => all.iter().map(|it| coming(it) + "\n").collect(),
    });
    Ok(0)
}

fn coming(time: &FiringTime) -> String {
    let moved = if time.moved { styled(DIM, "  (the clock skips the time that is meant)") } else { String::new() };
    format!("{}{moved}", time.local)
}

fn state(view: &ScheduleView) -> String {
    let style = match view.state.as_str() {
        "active" => GOOD,
        "failing" => BAD,
        "paused" => WAIT,
        _ => DIM,
    };
    styled(style, &view.state)
}

fn times_of(view: &ScheduleView) -> String {
    match (&view.cron, &view.at) {
        (Some(cron), _) => format!("{cron} in {}", view.zone),
        (None, Some(at)) => format!("once at {at} in {}", view.zone),
        (None, None) => String::new(),
    }
}

/// `nightly  0 22 * * 1-5  deleted by ana (local) at …: the pipeline starts it now`
fn list_deleted(all: &[ScheduleView]) -> String {
    if all.is_empty() {
        return "no schedule was deleted".to_owned();
    }
    let line = |it: &ScheduleView| {
        let times = it.cron.as_ref().or(it.at.as_ref()).map_or("", String::as_str);
        let how = it.deleted.as_ref().map_or_else(String::new, |it| {
            let why = if it.what.is_empty() { String::new() } else { format!(": {}", it.what) };
            format!("deleted by {} ({}) at {}{why}", it.by, it.authenticated, it.at)
        });
        format!("{}  {times}  {how}\n", styled(STRONG, &it.name))
    };
    all.iter().map(line).collect()
}

fn list(all: &[ScheduleView]) -> String {
    if all.is_empty() {
        return "no schedules; `windlass schedule set` makes one".to_owned();
    }
    let line = |it: &ScheduleView| {
        let next = it.next.first().map_or_else(String::new, |it| format!("  next {}", it.local));
        format!("{}  {}  {}  {}{next}\n", it.name, state(it), times_of(it), it.file)
    };
    all.iter().map(line).collect()
}

fn drawn(view: &ScheduleView) -> String {
    let mut out = format!("{}  {}\n", styled(STRONG, &view.name), state(view));
    let mut line = |name: &str, text: String| out.push_str(&format!("  {name:<11} {text}\n"));
    line("when", times_of(view));
    if let Some(starts) = &view.starts {
        line("from", starts.clone());
    }
    if let Some(ends) = &view.ends {
        line("until", ends.clone());
    }
    line("workflow", format!("{} {}", view.file, styled(DIM, &view.workflow)));
    line("parameters", view.parameters.to_string());
    if let Some(copies) = &view.copies {
        let on: Vec<String> = copies.iter().map(|(name, copy)| format!("{name} on {copy}")).collect();
        line("rehearses", on.join(", "));
    }
    line("catch-up", view.catch_up.clone());
    line("overlap", view.overlap.clone());
    line("set by", format!("{} at {}", view.set_by, view.set_at));
    for (at, next) in view.next.iter().enumerate() {
        line(if at == 0 { "next" } else { "" }, coming(next));
    }
    for (at, queued) in view.queued.iter().enumerate() {
        line(if at == 0 { "waiting" } else { "" }, format!("{queued}, for the last release to end"));
    }
    for (at, firing) in view.history.iter().rev().enumerate() {
        let style = match firing.outcome.as_str() {
            "started" => GOOD,
            "failed" => BAD,
            _ => WAIT,
        };
        let what = [firing.release.as_deref(), firing.reason.as_deref()].into_iter().flatten().collect::<Vec<_>>();
        let by = firing.by.as_ref().map_or_else(String::new, |it| format!(", run by {it}"));
        let text = format!("{}  {} {}{by}", firing.due, styled(style, &firing.outcome), what.join(" "));
        line(if at == 0 { "fired" } else { "" }, text);
    }
    for (at, change) in view.changes.iter().rev().enumerate() {
        line(
            if at == 0 { "changed" } else { "" },
            format!("{} by {} ({}): {}", change.at, change.by, change.authenticated, change.what),
        );
    }
    out
}
