//! Flaws of actions that wait.

use std::sync::Mutex;
use std::time::Duration;

use windlass_sdk::{Answer, CallbackAddress, Context, Event, Failure, suspend};

use crate::{Input, Output, action};

static KEPT: Mutex<Option<String>> = Mutex::new(None);

action! { RemembersInMemory "remembers-in-memory" Read Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        let title = ctx.http("ledger")?.get("/title").send()?.text()?;
        *KEPT.lock().expect("not poisoned") = Some(title);
        Ok(suspend(()).after(Duration::from_secs(1)).status("waits"))
    }
    fn resume(_: &Context, _: Input, (): (), _: Event) -> Answer<Self> {
        match KEPT.lock().expect("not poisoned").take() {
            Some(title) => Ok(Output::done(title)),
            None => Err(Failure::internal("forgotten", "what was it?")),
        }
    }
}

// What it goes on with can be had once, and nothing remembers that it was.
action! { TakesTwice "takes-twice" IdempotentWrite Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        crate::entered(ctx)?;
        Ok(suspend(()).after(Duration::from_secs(1)).status("waits"))
    }
    fn resume(ctx: &Context, _: Input, (): (), _: Event) -> Answer<Self> {
        ctx.http("ledger")?.post("/taken").header("X-Key", ctx.idempotency_key()).send()?.text()?;
        Ok(Output::done("taken"))
    }
}

action! { KeepsTheCredential "keeps-the-credential" Read Output, String;
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        let said = ctx.http("ledger")?.get("/reversed").send()?.text()?;
        let kept: String = said.chars().rev().collect();
        Ok(suspend(kept).after(Duration::from_secs(1)).status("waits"))
    }
    fn resume(_: &Context, _: Input, _: String, _: Event) -> Answer<Self> {
        Ok(Output::done("kept"))
    }
}

action! { TellsItsTopic "tells-its-topic" Read Output, String;
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        let address: CallbackAddress = ctx.once("address", || Ok(ctx.callback()))?;
        Ok(suspend(address.topic.clone()).callback(&address.topic).status("waits"))
    }
    fn resume(_: &Context, _: Input, topic: String, _: Event) -> Answer<Self> {
        Ok(Output::done(topic))
    }
}

// It goes on with a state that it takes for its own.
action! { PanicsAtItsState "panics-at-its-state" Read Output, serde_json::Value;
    fn start(_: &Context, _: Input) -> Answer<Self> {
        Ok(suspend(serde_json::json!({ "n": 1 })).after(Duration::from_secs(1)).status("waits"))
    }
    fn resume(_: &Context, _: Input, state: serde_json::Value, _: Event) -> Answer<Self> {
        Ok(Output::done(state["n"].as_u64().expect("it was put there").to_string()))
    }
}

// Whatever the answer is, it asks again.
action! { PollsForEver "polls-for-ever" Read Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        match ctx.http("ledger")?.get("/title").send().and_then(windlass_sdk::Response::text) {
            Ok(title) => Ok(Output::done(title)),
            Err(_) => Ok(suspend(()).after(Duration::from_secs(1)).status("asks again")),
        }
    }
    fn resume(ctx: &Context, input: Input, (): (), _: Event) -> Answer<Self> {
        Self::start(ctx, input)
    }
}
