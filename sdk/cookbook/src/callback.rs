//! Being told when work has ended, and looking now and then all the same.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use windlass_sdk::http::path;
use windlass_sdk::{Action, Answer, CallbackAddress, Context, Effect, Event, Failure, Method, Outcome, Role, suspend};

pub(crate) struct Build;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// What to build.
    branch: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Output {
    /// The build, as the service numbers it.
    number: u64,
    /// What was built.
    digest: String,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct State {
    number: u64,
    topic: String,
    /// Whether the service was given an address to call.
    called: bool,
}

#[derive(Deserialize)]
struct Started {
    number: u64,
}

#[derive(Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
enum Progress {
    Running,
    Passed { digest: String },
    Failed,
}

impl Action for Build {
    const NAME: &'static str = "build";
    const DESCRIPTION: &'static str = "Starts a build and waits until the service says that it has ended.";
    const EFFECT: Effect = Effect::IdempotentWrite;
    type Input = Input;
    type Output = Output;
    type State = State;

    fn connections() -> Vec<Role> {
        vec![
            Role::required("ci", "The build service.")
                .allow(&[Method::Post], "/builds")
                .allow(&[Method::Get], "/builds/*"),
        ]
    }

    fn start(ctx: &Context, input: Input) -> Answer<Self> {
        // Once: another attempt at this build waits for the address that the service was given. After a build that failed
        // there is another, and the old address is used up.
        let address: CallbackAddress = ctx.once("address", || Ok(ctx.callback()))?;
        let body = json!({ "branch": input.branch, "notify": address.url });
        let started: Started = ctx.http("ci")?.post("/builds").json(&body).idempotency_key().send()?.json()?;
        Ok(waiting(State { number: started.number, called: address.url.is_some(), topic: address.topic }))
    }

    fn resume(ctx: &Context, _: Input, mut state: State, event: Event) -> Answer<Self> {
        if let Event::Callback(_) = event {
            // It was taken; from here on only looking is left.
            state.called = false;
        }
        // Whoever has the address can call it: what happened is what the service says when it is asked.
        let build = ctx.http("ci")?.get(path(["builds", &state.number.to_string()])).send().and_then(|it| it.json());
        match build {
            Ok(Progress::Passed { digest }) => Ok(Outcome::done(Output { number: state.number, digest })),
            Ok(Progress::Failed) => Err(Failure::rejected("build-failed", format!("build #{} failed", state.number))),
            Ok(Progress::Running) => Ok(waiting(state)),
            Err(failure) if failure.class.passes() => Ok(waiting(state)),
            Err(failure) => Err(failure),
        }
    }
}

fn waiting(state: State) -> Outcome<Output, State> {
    let status = format!("build #{} is running", state.number);
    let topic = state.topic.clone();
    if state.called {
        // A call can get lost.
        return suspend(state).callback(topic).after(Duration::from_secs(600)).status(status);
    }
    suspend(state).after(Duration::from_secs(15)).status(status)
}
