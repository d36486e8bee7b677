//! `windlass release`

use clap::Subcommand;
use serde_json::Value;
use windlass_model::cause::{CauseCategory, RollbackCause};
use windlass_model::event::Outcome;
use windlass_model::name::{ReleaseId, StepName};
use windlass_model::text::one_line;
use windlass_server::api::{Asked, CauseBody, InterventionBody, JournalBody, VoteBody};
use windlass_server::step_log::{Entry, What};
use windlass_server::view::{CardView, ReleaseView};

use super::callback::{self, CallbackArgs};
use super::rollback::{self, RollbackArgs};
use super::wish::{WatchedArgs, Wish};
use super::{Context, card, list, watch};
use crate::output::{BAD, DIM, STRONG, WAIT, styled};
use crate::tree::{artifacts, draw};

#[derive(Debug, Subcommand)]
pub(crate) enum ReleaseCommand {
    List(list::ListArgs),
    /// Show a release as a tree, and what happened
    Show {
        /// Which, for example payments-release-3
        release: ReleaseId,
        /// Watch it until it ends
        #[arg(long)]
        watch: bool,
    },
    /// Print what its steps logged
    Logs {
        /// Which
        release: ReleaseId,
        /// Only this step's
        #[arg(long)]
        step: Option<StepName>,
        /// Also the requests that were made for it
        #[arg(long)]
        requests: bool,
    },
    /// Approve a step that waits for it
    Approve(VoteArgs),
    /// Reject a step that waits for approval; needs a reason
    Reject(VoteArgs),
    /// Stop a release; given to a rollback that is blocked, give it up
    Cancel {
        #[command(flatten)]
        who: InterventionArgs,
        #[command(flatten)]
        watched: WatchedArgs,
        /// Then roll back what ran
        #[arg(long)]
        rollback: bool,
    },
    /// Try a step again that waits for a decision
    Retry {
        #[command(flatten)]
        who: InterventionArgs,
        #[command(flatten)]
        watched: WatchedArgs,
        /// Which step; may be left out when there is only one
        #[arg(long)]
        step: Option<String>,
        /// With this installed version of its plugin from now on; it must take the step's input and connections
        #[arg(long, value_name = "VERSION")]
        plugin_version: Option<String>,
    },
    /// Run a step and everything after it again; a release that failed or was canceled goes on with it
    Rerun {
        #[command(flatten)]
        who: InterventionArgs,
        #[command(flatten)]
        watched: WatchedArgs,
        /// The first step to run again
        #[arg(long)]
        step: StepName,
    },
    /// Go on without a step; one that others use something of needs an output
    #[command(
        after_help = "Example:\n  windlass release skip payments-17 --step build --output '{\"number\": 12}' --reason 'built by hand'"
    )]
    Skip {
        #[command(flatten)]
        who: InterventionArgs,
        #[command(flatten)]
        watched: WatchedArgs,
        /// Which step: one that waits, is held or is paused
        #[arg(long)]
        step: StepName,
        /// What it gives to the steps after it
        #[arg(long, value_name = "JSON", value_parser = json)]
        output: Option<Value>,
    },
    /// Let the steps after a step see another output
    SetOutput {
        #[command(flatten)]
        who: InterventionArgs,
        /// Which step: one that has ended well
        #[arg(long)]
        step: StepName,
        /// The output
        #[arg(long, value_name = "JSON", value_parser = json)]
        output: Value,
    },
    /// Start nothing new until it is resumed; what runs goes on
    Pause(InterventionArgs),
    /// Go on after a pause
    Resume {
        #[command(flatten)]
        who: InterventionArgs,
        #[command(flatten)]
        watched: WatchedArgs,
    },
    /// Roll back what a release did, or all that came after an earlier one
    ///
    /// Each step is rolled back by the very component that ran, after all that ran after it. `--to` goes back to how
    /// things were after an earlier release of the workflow: all that came since are rolled back, the newest first,
    /// unless something of that cannot be undone; then nothing is, and the nearest release is named that one can go
    /// back to.
    #[command(
        after_help = "Examples:\n  windlass release rollback payments-18 --preview\n  windlass release rollback payments-18 --reason 'orders fail' --wait\n  windlass release rollback --to payments-16 --preview\n  windlass release rollback --to payments-16 --reason 'orders fail since payments-17'"
    )]
    Rollback(RollbackArgs),
    /// Show all that one needs to decide whether a release is rolled back
    ///
    /// What speaks for it, with the values now; who is asked, since when, and who is asked next; whom to inform; and
    /// the commands that decide it.
    #[command(after_help = "Example:\n  windlass release card payments-17")]
    Card {
        /// Which
        release: ReleaseId,
    },
    /// Say why a release had to be rolled back, which closes the review of its rollback
    #[command(
        after_help = "Example:\n  windlass release cause payments-17 --category configuration --cause 'the pool was too small' --risk 'medium: load tests cover it now' --runbook https://wiki.example.com/payments#pool"
    )]
    Cause(CauseArgs),
    /// Decide not to roll a release back, where an alert asks
    #[command(
        after_help = "Example:\n  windlass release keep payments-17 --reason 'a false alarm: the probe was down'"
    )]
    Keep(InterventionArgs),
    /// Call a step back, where the network of who should does not reach this installation
    #[command(after_help = "Example:\n  windlass release callback - --body result.json < topic.txt")]
    Callback(CallbackArgs),
    /// Settle a rollback that is blocked
    #[command(group(clap::ArgGroup::new("became").args(["done", "in_place"]).required(true)))]
    Settle {
        #[command(flatten)]
        who: InterventionArgs,
        #[command(flatten)]
        watched: WatchedArgs,
        /// The step whose rollback is blocked
        #[arg(long)]
        step: StepName,
        /// Its effect is gone, by other means; the reason is the evidence
        #[arg(long)]
        done: bool,
        /// Its effect stays as it is
        #[arg(long)]
        in_place: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct CauseArgs {
    /// Which release
    release: ReleaseId,
    /// Of what kind the cause is
    #[arg(long, value_parser = CauseCategory::ALL.map(|(name, _)| name))]
    category: String,
    /// The cause
    #[arg(long)]
    cause: String,
    /// What is known of the risk now
    #[arg(long)]
    risk: Option<String>,
    /// What was changed in the runbook, or where
    #[arg(long)]
    runbook: Option<String>,
    /// Do it as this person
    #[arg(long = "as", value_name = "PERSON", value_parser = super::person)]
    on_behalf_of: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VoteArgs {
    /// Which release
    release: ReleaseId,
    /// Which step; may be left out when only one waits
    #[arg(long)]
    step: Option<String>,
    /// Why; kept with the release
    #[arg(long, visible_alias = "reason", default_value = "")]
    comment: String,
    /// Answer for this person; the journal says who did
    #[arg(long = "as", value_name = "PERSON", value_parser = super::person)]
    on_behalf_of: Option<String>,
    #[command(flatten)]
    watched: WatchedArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InterventionArgs {
    /// Which release
    release: ReleaseId,
    /// Why; kept with the release
    #[arg(long)]
    reason: String,
    /// Act for this person; the journal says who did
    #[arg(long = "as", value_name = "PERSON", value_parser = super::person)]
    on_behalf_of: Option<String>,
}

pub(crate) async fn release(command: ReleaseCommand, context: &Context<'_>) -> anyhow::Result<u8> {
    match command {
        ReleaseCommand::List(args) => list::list(args, &context.client().await?, context).await,
        ReleaseCommand::Show { release, watch: true } => {
            let client = context.client().await?;
            let view = watch::watch(&client, &release.to_string(), context, watch::Approvals::Wait).await?;
            if context.output.is_json() {
                context.output.data(&view, |_| String::new());
            }
            Ok(if view.ended { watch::exit_code(&view) } else { 0 })
        }
        ReleaseCommand::Show { release, watch: false } => {
            let client = context.client().await?;
            let view: ReleaseView = client.get(&format!("/v1/releases/{release}")).await?;
            let journal: JournalBody = client.get(&format!("/v1/releases/{release}/journal")).await?;
            if context.output.is_json() {
                let both = serde_json::json!({ "release": view, "story": journal.story });
                context.output.data(&both, |_| String::new());
            } else {
                context.output.text(&format!("{}\n{}", draw(&view, watch::now()) + &artifacts(&view), story(&journal)));
            }
            Ok(0)
        }
        ReleaseCommand::Logs { release, step, requests } => {
            let query = step.map(|it| format!("?step={it}")).unwrap_or_default();
            let client = context.client().await?;
            let mut entries: Vec<Entry> = client.get(&format!("/v1/releases/{release}/logs{query}")).await?;
            entries.retain(|it| requests || !matches!(it.what, What::Request { .. }));
            context.output.data(&entries, |it| it.iter().map(entry).collect());
            Ok(0)
        }
        ReleaseCommand::Card { release } => {
            let card: CardView = context.client().await?.get(&format!("/v1/releases/{release}/card")).await?;
            context.output.data(&card, |it| card::drawn(it, watch::now()));
            Ok(0)
        }
        ReleaseCommand::Approve(args) => vote(args, true)?.carry_out(context).await,
        ReleaseCommand::Reject(args) => vote(args, false)?.carry_out(context).await,
        ReleaseCommand::Cancel { who, watched, rollback } => {
            let (what, ends): (_, &[Outcome]) = match rollback {
                true => (Asked::CancelAndRollBack, &[Outcome::RolledBack]),
                false => (Asked::Cancel, &[Outcome::Canceled]),
            };
            intervention(who, what)?.until(ends, watched).carry_out(context).await
        }
        ReleaseCommand::Retry { who, watched, step, plugin_version } => {
            let InterventionArgs { release, reason, on_behalf_of } = who;
            let (what, version) = (Asked::Retry, plugin_version);
            let body = InterventionBody { what, step, version, output: None, reason, on_behalf_of };
            Wish::new(release, "interventions", &body)?.until(&[Outcome::Succeeded], watched).carry_out(context).await
        }
        ReleaseCommand::Rerun { who, watched, step } => {
            let wish = intervention_with(who, Asked::RunAgain, Some(step.to_string()), None)?;
            wish.until(&[Outcome::Succeeded], watched).carry_out(context).await
        }
        ReleaseCommand::Skip { who, watched, step, output } => {
            let wish = intervention_with(who, Asked::Skip, Some(step.to_string()), output)?;
            wish.until(&[Outcome::Succeeded], watched).carry_out(context).await
        }
        ReleaseCommand::SetOutput { who, step, output } => {
            intervention_with(who, Asked::ReplaceOutput, Some(step.to_string()), Some(output))?.carry_out(context).await
        }
        ReleaseCommand::Pause(who) => intervention(who, Asked::Pause)?.carry_out(context).await,
        ReleaseCommand::Resume { who, watched } => {
            intervention(who, Asked::Resume)?.until(&[Outcome::Succeeded], watched).carry_out(context).await
        }
        ReleaseCommand::Keep(who) => intervention(who, Asked::Keep)?.carry_out(context).await,
        ReleaseCommand::Settle { who, watched, step, done, .. } => {
            let (what, ends): (_, &[Outcome]) = match done {
                true => (Asked::RollbackDone, &[Outcome::RolledBack]),
                false => (Asked::LeaveInPlace, &[Outcome::PartiallyRolledBack]),
            };
            intervention_with(who, what, Some(step.to_string()), None)?.until(ends, watched).carry_out(context).await
        }
        ReleaseCommand::Cause(args) => {
            let known = CauseCategory::ALL.into_iter().find(|(name, _)| *name == args.category);
            let (_, category) = known.ok_or_else(|| anyhow::anyhow!("`{}` is no category", args.category))?;
            let cause = RollbackCause { category, cause: args.cause, risk: args.risk, runbook: args.runbook };
            let body = CauseBody { cause, on_behalf_of: args.on_behalf_of };
            Wish::new(args.release, "cause", &body)?.carry_out(context).await
        }
        ReleaseCommand::Rollback(args) => rollback::rollback(args, context).await,
        ReleaseCommand::Callback(args) => callback::callback(&context.client().await?, args, context).await,
    }
}

/// A JSON value that was typed.
fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text)
        .map_err(|error| format!("this is no JSON: {error}; a text needs quotes of its own: '\"text\"'"))
}

fn vote(args: VoteArgs, approved: bool) -> anyhow::Result<Wish> {
    let body = VoteBody { step: args.step, approved, comment: args.comment, on_behalf_of: args.on_behalf_of };
    let ends: &[Outcome] = if approved { &[Outcome::Succeeded] } else { &[Outcome::Failed, Outcome::RolledBack] };
    Ok(Wish::new(args.release, "votes", &body)?.until(ends, args.watched))
}

fn intervention(who: InterventionArgs, what: Asked) -> anyhow::Result<Wish> {
    intervention_with(who, what, None, None)
}

fn intervention_with(
    who: InterventionArgs,
    what: Asked,
    step: Option<String>,
    output: Option<Value>,
) -> anyhow::Result<Wish> {
    let InterventionArgs { release, reason, on_behalf_of } = who;
    Wish::new(release, "interventions", &InterventionBody { what, step, version: None, output, reason, on_behalf_of })
}

fn story(journal: &JournalBody) -> String {
    let wide = journal.story.iter().filter_map(|it| it.step.as_ref()).map(String::len).max().unwrap_or(0);
    let lines = journal.story.iter().map(|it| {
        let step = it.step.as_deref().unwrap_or("");
        format!("{}  {}  {}\n", styled(DIM, it.at), styled(STRONG, format!("{step:wide$}")), it.text)
    });
    lines.collect()
}

/// An entry as a line. What plugins and servers say stays in it: it cannot move the cursor, or begin a line that looks
/// like one of ours.
fn entry(entry: &Entry) -> String {
    let head = format!("{}  {}", styled(DIM, entry.at), styled(STRONG, &entry.step));
    let text = match &entry.what {
        What::Line { level, message, fields, source } => {
            let style = match level.as_str() {
                "error" => BAD,
                "warn" => WAIT,
                _ => anstyle::Style::new(),
            };
            let fields: String = fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
            let source = if source == "plugin" { String::new() } else { format!("{source}: ") };
            format!("{source}{}{}", styled(style, one_line(message)), styled(DIM, one_line(&fields)))
        }
        What::Status { text } => styled(DIM, one_line(text)),
        What::Percent { value } => styled(DIM, format!("{value}%")),
        What::Link { title, url } => one_line(&format!("{title}: {url}")),
        What::Request { method, url, status, milliseconds, error } => {
            let end = match (status, error) {
                (_, Some(error)) => error.clone(),
                (Some(status), None) => status.to_string(),
                (None, None) => "no answer".to_owned(),
            };
            styled(DIM, one_line(&format!("{method} {url} → {end} ({milliseconds} ms)")))
        }
    };
    format!("{head}  {text}\n")
}

#[cfg(test)]
mod tests {
    use windlass_model::time::Timestamp;

    use super::*;

    #[test]
    fn an_entry_of_a_log_is_one_line() {
        const SAID: &str =
            "fine\n2026-01-01T00:00:00Z  deploy  approved by ana\r\u{1b}[2K\u{1b}]52;c;eA==\u{7}\u{2066}";
        let said = || SAID.to_owned();
        let line = |level: &str| What::Line {
            level: level.to_owned(),
            source: "stderr".to_owned(),
            message: said(),
            fields: vec![(said(), said())],
        };
        let request = |error: Option<String>| What::Request {
            method: said(),
            url: said(),
            status: Some(200),
            milliseconds: 1,
            error,
        };
        let all = [
            line("info"),
            line("error"),
            What::Status { text: said() },
            What::Link { title: said(), url: said() },
            request(None),
            request(Some(said())),
        ];
        for what in all {
            let step = "deploy".parse().expect("a name");
            let shown = entry(&Entry { at: Timestamp(0), step, attempt: 1, what });
            assert_eq!((shown.matches('\n').count(), shown.ends_with('\n')), (1, true), "{shown:?}");
            for acts in ["\r", "\u{1b}[2K", "\u{1b}]", "\u{7}", "\u{2066}"] {
                assert!(!shown.contains(acts), "{shown:?}");
            }
            assert!(shown.contains("fine"), "{shown}");
        }
    }
}
