//! Waiting for work that another system does, by looking now and then.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_sdk::http::path;
use windlass_sdk::{
    Action, Answer, Context, Effect, Event, Failure, HumanDuration, Method, Outcome, Response, RetryAdvice, Role,
    suspend,
};

pub(crate) struct WaitForExport;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// The export, as the service names it.
    export: String,
    /// How soon to look again at first; the wait doubles from then on.
    #[serde(default = "first_wait")]
    first_wait: HumanDuration,
}

fn first_wait() -> HumanDuration {
    HumanDuration::seconds(2)
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Output {
    /// How many rows the export has.
    rows: u64,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct State {
    /// How often it was looked at.
    looks: u32,
}

#[derive(Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
enum Export {
    Running,
    Done { rows: u64 },
    Failed { reason: String },
}

const WAIT_MAX: Duration = Duration::from_secs(300);

impl Action for WaitForExport {
    const NAME: &'static str = "wait-for-export";
    const DESCRIPTION: &'static str = "Waits until an export is done.";
    const EFFECT: Effect = Effect::Read;
    type Input = Input;
    type Output = Output;
    type State = State;

    fn connections() -> Vec<Role> {
        vec![Role::required("exports", "The service that exports.").allow(&[Method::Get], "/exports/*")]
    }

    fn start(ctx: &Context, input: Input) -> Answer<Self> {
        look(ctx, &input, 1)
    }

    fn resume(ctx: &Context, input: Input, state: State, _: Event) -> Answer<Self> {
        look(ctx, &input, state.looks + 1)
    }
}

fn look(ctx: &Context, input: &Input, looks: u32) -> Answer<WaitForExport> {
    let (asked, why) = match ctx.http("exports")?.get(path(["exports", &input.export])).send() {
        Ok(response) => {
            let asked = retry_after(&response);
            match response.json()? {
                Export::Done { rows } => return Ok(Outcome::done(Output { rows })),
                Export::Failed { reason } => return Err(Failure::rejected("export-failed", reason)),
                Export::Running => (asked, "is running".to_owned()),
            }
        }
        // The export goes on whether it is watched or not.
        Err(failure) if failure.class.passes() => {
            let asked = if let RetryAdvice::After(wait) = failure.retry { Some(wait) } else { None };
            (asked, format!("cannot be looked at now ({})", failure.code))
        }
        Err(failure) => return Err(failure),
    };
    // The service knows best; never sooner than it says.
    let wait = asked.unwrap_or_default().max(growing(input.first_wait.0, looks));
    Ok(suspend(State { looks }).after(wait).status(format!("export {} {why}", input.export)))
}

/// `first`, twice that, four times that, … at most five minutes.
fn growing(first: Duration, looks: u32) -> Duration {
    first.saturating_mul(1 << (looks - 1).min(20)).min(WAIT_MAX.max(first))
}

/// What an answer that is no failure asks for.
fn retry_after(response: &Response) -> Option<Duration> {
    response.header("Retry-After")?.trim().parse().ok().map(Duration::from_secs)
}
