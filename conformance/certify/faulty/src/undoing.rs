//! Flaws of actions that can be stopped or rolled back.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use windlass_sdk::http::path;
use windlass_sdk::{Answer, CallbackAddress, Cancel, Context, Ended, Event, Failure, Outcome, Rollback, suspend};

use crate::{Input, Output, action};

// Has no flaw either, and everything that can be checked.
action! { GoodAtAll "good-at-all" IdempotentWrite Output, String;
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        let address: CallbackAddress = ctx.once("address", || Ok(ctx.callback()))?;
        let id = crate::entered(ctx)?;
        Ok(suspend(id).callback(&address.topic).after(Duration::from_secs(60)).status("waits to be called"))
    }
    fn resume(_: &Context, _: Input, _: String, event: Event) -> Answer<Self> {
        let Event::Callback(called) = event else { return Err(Failure::internal("timer", "nobody called")) };
        Ok(Output::done(String::from_utf8_lossy(&called.body)))
    }
}

fn withdraw(ctx: &Context) -> Ended<()> {
    for id in crate::made(ctx)? {
        ctx.http("ledger")?.delete(path(["entries", &id])).accept(404).send()?;
    }
    Ok(Outcome::done(json!({})))
}

impl Cancel for GoodAtAll {
    type CancelState = ();
    fn cancel(ctx: &Context, _: Input, _: Option<String>) -> Ended<()> {
        withdraw(ctx)
    }
}

impl Rollback for GoodAtAll {
    type RollbackState = ();
    fn rollback(ctx: &Context, _: Input, _: Option<Output>) -> Ended<()> {
        withdraw(ctx)
    }
}

// It says that it has stopped.
action! { IgnoresCancel "ignores-cancel" IdempotentWrite Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        crate::entered(ctx)?;
        Ok(suspend(()).after(Duration::from_secs(1)).status("waits"))
    }
    fn resume(_: &Context, _: Input, (): (), _: Event) -> Answer<Self> {
        Ok(Output::done("entered"))
    }
}

impl Cancel for IgnoresCancel {
    type CancelState = ();
    fn cancel(_: &Context, _: Input, _: Option<()>) -> Ended<()> {
        Ok(Outcome::done(json!({ "stopped": true })))
    }
}

// It takes back what it was told of, not what it may have done.
action! { HalfARollback "half-a-rollback" IdempotentWrite Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        Ok(Output::done(crate::entered(ctx)?))
    }
}

impl Rollback for HalfARollback {
    type RollbackState = ();
    fn rollback(ctx: &Context, _: Input, output: Option<Output>) -> Ended<()> {
        if let Some(output) = output {
            ctx.http("ledger")?.delete(path(["entries", &output.said])).accept(404).send()?;
        }
        Ok(Outcome::done(json!({})))
    }
}

// It takes back what the last attempt did, and not what one before it did under another key.
action! { ForgetsTheFirst "forgets-the-first" IdempotentWrite Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        let id = crate::entered(ctx)?;
        ctx.http("ledger")?.get("/entries").query("id", &id).send()?;
        Ok(Output::done(id))
    }
}

impl Rollback for ForgetsTheFirst {
    type RollbackState = ();
    fn rollback(ctx: &Context, _: Input, _: Option<Output>) -> Ended<()> {
        if let Some(last) = crate::made(ctx)?.pop() {
            ctx.http("ledger")?.delete(path(["entries", &last])).accept(404).send()?;
        }
        Ok(Outcome::done(json!({})))
    }
}

// It says that it took back what it was not allowed to.
action! { SwallowsARefusal "swallows-a-refusal" IdempotentWrite Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        crate::entered(ctx)?;
        Ok(Output::done("entered"))
    }
}

impl Rollback for SwallowsARefusal {
    type RollbackState = ();
    fn rollback(ctx: &Context, _: Input, _: Option<Output>) -> Ended<()> {
        for id in crate::made(ctx)? {
            let _ = ctx.http("ledger")?.delete(path(["entries", &id])).send();
        }
        Ok(Outcome::done(json!({})))
    }
}

// What is gone already is a failure.
action! { RollsBackOnce "rolls-back-once" IdempotentWrite Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        crate::entered(ctx)?;
        Ok(Output::done("entered"))
    }
}

impl Rollback for RollsBackOnce {
    type RollbackState = ();
    fn rollback(ctx: &Context, _: Input, output: Option<Output>) -> Ended<()> {
        match crate::made(ctx)?.pop() {
            Some(id) => {
                ctx.http("ledger")?.delete(path(["entries", &id])).send()?;
                Ok(Outcome::done(json!({})))
            }
            None if output.is_none() => Ok(Outcome::done(json!({}))),
            None => Err(Failure::not_found("gone", "there is no entry")),
        }
    }
}

// It waits until it has stopped, and never looks.
action! { NeverStops "never-stops" IdempotentWrite Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        crate::entered(ctx)?;
        Ok(suspend(()).after(Duration::from_secs(1)).status("waits"))
    }
    fn resume(_: &Context, _: Input, (): (), _: Event) -> Answer<Self> {
        Ok(Output::done("entered"))
    }
}

impl Cancel for NeverStops {
    type CancelState = ();
    fn cancel(ctx: &Context, _: Input, _: Option<()>) -> Ended<()> {
        withdraw(ctx)?;
        Err(Failure::internal("unsure", "did it stop?"))
    }
}

#[derive(Deserialize)]
struct Flag {
    value: String,
}

fn flag(ctx: &Context) -> Result<String, Failure> {
    let flag: Flag = ctx.http("ledger")?.get("/flag").send()?.json()?;
    Ok(flag.value)
}

fn set_flag(ctx: &Context, value: &str) -> Result<(), Failure> {
    ctx.http("ledger")?.post("/flag").query("to", value).send()?;
    Ok(())
}

const BEFORE: &str = "before";
const OURS: &str = "ours";

fn raised(ctx: &Context) -> Result<String, Failure> {
    ctx.checkpoint(BEFORE, || flag(ctx))?;
    set_flag(ctx, OURS)?;
    Ok("raised".to_owned())
}

// It sets back what it changed, whatever has become of it since.
action! { SetsBack "sets-back" IdempotentWrite Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        Ok(Output::done(raised(ctx)?))
    }
}

impl Rollback for SetsBack {
    type RollbackState = ();
    fn rollback(ctx: &Context, _: Input, _: Option<Output>) -> Ended<()> {
        if let Some(before) = ctx.recorded::<String>(BEFORE)? {
            set_flag(ctx, &before)?;
        }
        Ok(Outcome::done(json!({})))
    }
}

// It looks first whether it is still what it made of it.
action! { LooksFirst "looks-first" IdempotentWrite Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        Ok(Output::done(raised(ctx)?))
    }
}

impl Rollback for LooksFirst {
    type RollbackState = ();
    fn rollback(ctx: &Context, _: Input, _: Option<Output>) -> Ended<()> {
        let Some(before) = ctx.recorded::<String>(BEFORE)? else { return Ok(Outcome::done(json!({}))) };
        let now = flag(ctx)?;
        if now == OURS {
            set_flag(ctx, &before)?;
        } else if now != before {
            return Err(Failure::conflict("changed-since", format!("the flag is `{now}` now, and not `{OURS}`")));
        }
        Ok(Outcome::done(json!({})))
    }
}
