//! Does nothing: what a release of its steps takes is what Windlass itself takes. `windlass bench` runs it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_sdk::{Action, Answer, Context, Effect, Event, HumanDuration, Outcome};

/// Takes nothing, does nothing, gives nothing.
struct Noop;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoopInput {}

#[derive(Serialize, Deserialize, JsonSchema)]
struct NoopOutput {}

impl Action for Noop {
    const NAME: &'static str = "noop";
    const DESCRIPTION: &'static str = "Does nothing.";
    const EFFECT: Effect = Effect::Read;

    type Input = NoopInput;
    type Output = NoopOutput;
    type State = ();

    fn start(_: &Context, _: NoopInput) -> Answer<Self> {
        Ok(Outcome::done(NoopOutput {}))
    }
}

/// Waits, as a step that looks at another system now and then.
struct Wait;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WaitInput {
    /// How long.
    r#for: HumanDuration,
}

impl Action for Wait {
    const NAME: &'static str = "wait";
    const DESCRIPTION: &'static str = "Waits for a time.";
    const EFFECT: Effect = Effect::Read;

    type Input = WaitInput;
    type Output = NoopOutput;
    type State = ();

    fn start(_: &Context, input: WaitInput) -> Answer<Self> {
        Ok(windlass_sdk::suspend(()).after(input.r#for.into()).status("a time to pass"))
    }

    fn resume(_: &Context, _: WaitInput, _: (), _: Event) -> Answer<Self> {
        Ok(Outcome::done(NoopOutput {}))
    }
}

windlass_sdk::plugin! {
    name: "noop",
    description: "Does nothing, for measuring what is around it.",
    actions: [Noop, Wait],
}
