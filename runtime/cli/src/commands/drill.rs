//! `windlass drill`

use clap::Subcommand;
use windlass_server::schedules::DrillView;

use super::Context;
use super::rehearse::{RehearseArgs, copies, rehearse};
use super::schedule::{self, SetArgs};
use crate::output::{BAD, DIM, GOOD, STRONG, styled};
use crate::tree::duration;

#[derive(Debug, Subcommand)]
pub(crate) enum DrillCommand {
    /// Make a rollback drill now: as `windlass rehearse`
    Rollback(RehearseArgs),
    /// Make drills at times: a schedule whose releases are rehearsals on copies; replaces the one of this name
    ///
    /// It is a schedule like any other: `windlass schedule show`, `pause`, `run` and `delete` work with it.
    #[command(
        after_help = "Example:\n  windlass drill set payments-drill --cron '0 9 1 1,4,7,10 *' --workflow payments.yaml --on production=staging -p version=2.4.1"
    )]
    Set(Box<DrillArgs>),
    /// List drills: the last one, the next one, and which are overdue. Status 1 when one is
    ///
    /// A drill is overdue when the last rehearsal of the workflow as the drill has it was longer ago than
    /// `rollback.rehearsed_within` (92d where that is not said), ended badly, or was slower than the objective.
    List,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DrillArgs {
    #[command(flatten)]
    schedule: SetArgs,
    /// Which connection leads to a copy of what another one leads to; the same one twice where it may be changed
    #[arg(long = "on", value_name = "CONNECTION=COPY", required = true)]
    copies: Vec<String>,
}

pub(crate) async fn drill(command: DrillCommand, context: &Context<'_>) -> anyhow::Result<u8> {
    match command {
        DrillCommand::Rollback(args) => rehearse(args, context).await,
        DrillCommand::Set(args) => {
            let copies = copies(&args.copies)?;
            Ok(match schedule::set(args.schedule, Some(copies), context).await? {
                Ok(view) => {
                    schedule::tell(&view, context);
                    0
                }
                Err(code) => code,
            })
        }
        DrillCommand::List => {
            let all: Vec<DrillView> = context.client().await?.get("/v1/drills").await?;
            context.output.data(&all, |it| list(it));
            Ok(u8::from(all.iter().any(|it| it.overdue.is_some())))
        }
    }
}

fn list(all: &[DrillView]) -> String {
    if all.is_empty() {
        return "no drills; `windlass drill set` makes one".to_owned();
    }
    all.iter().map(line).collect()
}

fn line(it: &DrillView) -> String {
    let ready = match (&it.overdue, it.last.as_ref().and_then(|it| it.took)) {
        (Some(why), _) => styled(BAD, format!("overdue: {why}")).to_string(),
        (None, Some(took)) => format!("{}: {}", styled(GOOD, "ready"), duration(took)),
        (None, None) => styled(GOOD, "ready").to_string(),
    };
    let last = it.last.as_ref().map(|it| format!("  last {} at {}", it.release, it.ended_at)).unwrap_or_default();
    let next = it.next.map(|it| format!("  next {it}")).unwrap_or_default();
    let dim = styled(DIM, format!("within {}{last}{next}", it.within));
    format!("{}  {}  {ready}  {dim}\n", styled(STRONG, &it.name), it.workflow)
}
