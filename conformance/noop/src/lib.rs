//! Does nothing: what a release of its steps takes is what Windlass itself takes. `windlass bench` runs it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_sdk::{
    Action, Answer, CallbackAddress, Context, Effect, Event, Failure, HumanDuration, Method, Outcome, Role,
};

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

/// Asks another system to call back, and waits until it does.
struct Ask;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AskInput {
    /// Whether it is of no use without an address that the other system can reach.
    #[serde(default)]
    needs_url: bool,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct AskOutput {
    /// What the other system sent.
    said: String,
    /// Its header `x-from`.
    from: Option<String>,
}

impl Action for Ask {
    const NAME: &'static str = "ask";
    const DESCRIPTION: &'static str = "Waits for another system to call back.";
    const EFFECT: Effect = Effect::IdempotentWrite;

    type Input = AskInput;
    type Output = AskOutput;
    type State = ();

    fn connections() -> Vec<Role> {
        vec![Role::required("asked", "Who calls back.").allow(&[Method::Post], "/asks")]
    }

    fn start(ctx: &Context, input: AskInput) -> Answer<Self> {
        // Durable before anybody has it: who asks again asks for a call of the same address.
        let address: CallbackAddress = ctx.once("address", || Ok(ctx.callback()))?;
        if input.needs_url {
            address.required_url()?;
        }
        ctx.http("asked")?.post("/asks").json(&address).send()?;
        // Said where it does not belong, to see that it does not stay there.
        ctx.log().field("topic", &address.topic).info(format!("asked for a call of {address:?}"));
        ctx.progress().status(format!("waits for {}", address.topic));
        Ok(windlass_sdk::suspend(()).callback(&address.topic).status(format!("a call of {}", address.topic)))
    }

    fn resume(_: &Context, _: AskInput, (): (), event: Event) -> Answer<Self> {
        let Event::Callback(callback) = event else {
            return Err(Failure::internal("no-callback", "it was not called back"));
        };
        let from = callback.headers.iter().find(|(name, _)| name == "x-from").map(|(_, value)| value.clone());
        Ok(Outcome::done(AskOutput { said: String::from_utf8_lossy(&callback.body).into_owned(), from }))
    }
}

windlass_sdk::plugin! {
    name: "noop",
    description: "Does nothing, for measuring what is around it.",
    actions: [Noop, Wait, Ask],
}
