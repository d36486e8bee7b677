//! Flaws of actions that run a native tool.

use serde_json::json;
use windlass_sdk::{Answer, Cancel, Context, Ended, Failure, Outcome, Role, Rollback, Tool, ToolOutput, ToolRun};

use crate::{Entry, Input, Output};

/// `Action` with what all of them have in common; the last part is `start`.
macro_rules! runs {
    ($action:ident $name:literal $effect:ident; $($rest:item)*) => {
        pub(crate) struct $action;
        impl windlass_sdk::Action for $action {
            const NAME: &'static str = $name;
            const DESCRIPTION: &'static str = "Has one flaw.";
            const EFFECT: windlass_sdk::Effect = windlass_sdk::Effect::$effect;
            type Input = crate::Input;
            type Output = crate::Output;
            type State = ();
            fn connections() -> Vec<Role> { vec![Role::required("office", "Where the desk is.")] }
            fn tools() -> Vec<Tool> {
                let subcommands = ["put", "peek", "list", "remove", "whoami"];
                vec![Tool::new("desk", "Keeps entries.", &subcommands).dry_run(&["list", "peek", "whoami"])]
            }
            $($rest)*
        }
    };
}

fn desk<'a>(ctx: &Context<'a>, arguments: &[&str]) -> ToolRun<'a> {
    ctx.tool("desk").args(arguments.iter().copied()).connection("office")
}

fn ran(ctx: &Context, arguments: &[&str]) -> Result<ToolOutput, Failure> {
    desk(ctx, arguments).run()?.success()
}

/// Puts an entry there once.
fn put(ctx: &Context) -> Result<(), Failure> {
    let key = ctx.idempotency_key();
    let there: Vec<String> = ran(ctx, &["list", key])?.json()?;
    if there.is_empty() && !ctx.dry_run() {
        let _: Entry = ran(ctx, &["put", key])?.json()?;
    }
    Ok(())
}

/// The same where half of it may be in the way.
fn put_over_half(ctx: &Context) -> Result<(), Failure> {
    let key = ctx.idempotency_key();
    if !ctx.dry_run() && ctx.attempt() > 1 {
        let there: Vec<String> = ran(ctx, &["list", key])?.json()?;
        if there.is_empty() {
            ran(ctx, &["remove", key])?;
        }
    }
    put(ctx)
}

/// Takes away what is there whole.
fn take_away_whole(ctx: &Context) -> Ended<()> {
    for started in ctx.starts() {
        let there: Vec<String> = ran(ctx, &["list", started.key()])?.json()?;
        if !there.is_empty() {
            ran(ctx, &["remove", started.key()])?;
        }
    }
    Ok(Outcome::done(json!({})))
}

/// Takes away what `put` has put there.
fn take_away(ctx: &Context) -> Ended<()> {
    for started in ctx.starts() {
        ran(ctx, &["remove", started.key()])?;
    }
    Ok(Outcome::done(json!({})))
}

// Has no flaw, and everything that can be checked of a tool.
runs! { RunsWell "runs-well" IdempotentWrite;
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        put_over_half(ctx)?;
        Ok(Output::done("put"))
    }
}

impl Cancel for RunsWell {
    type CancelState = ();
    fn cancel(ctx: &Context, _: Input, _: Option<()>) -> Ended<()> {
        take_away(ctx)
    }
}

impl Rollback for RunsWell {
    type RollbackState = ();
    fn rollback(ctx: &Context, _: Input, _: Option<Output>) -> Ended<()> {
        take_away(ctx)
    }
}

// Half of an entry is in its way for ever.
runs! { StandsBeforeHalf "stands-before-half" IdempotentWrite;
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        put(ctx)?;
        Ok(Output::done("put"))
    }
}

impl Rollback for StandsBeforeHalf {
    type RollbackState = ();
    fn rollback(ctx: &Context, _: Input, _: Option<Output>) -> Ended<()> {
        take_away(ctx)
    }
}

// It takes away what is whole.
runs! { LeavesHalf "leaves-half" IdempotentWrite;
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        put_over_half(ctx)?;
        Ok(Output::done("put"))
    }
}

impl Rollback for LeavesHalf {
    type RollbackState = ();
    fn rollback(ctx: &Context, _: Input, _: Option<Output>) -> Ended<()> {
        take_away_whole(ctx)
    }
}

// It does not know of dry runs, which is no flaw.
runs! { KnowsOfNoDryRun "knows-of-no-dry-run" IdempotentWrite;
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        let _: Entry = ran(ctx, &["put", ctx.idempotency_key()])?.json()?;
        Ok(Output::done("put"))
    }
}

// It says that it reads.
runs! { PutsInARead "puts-in-a-read" Read;
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        put(ctx)?;
        Ok(Output::done("put"))
    }
}

// Nothing tells the desk that it is the same entry.
runs! { PutsTwice "puts-twice" IdempotentWrite;
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        ran(ctx, &["list"])?;
        if !ctx.dry_run() {
            ran(ctx, &["put"])?;
        }
        Ok(Output::done("put"))
    }
}

// The same with its first run.
runs! { PutsTwiceAtOnce "puts-twice-at-once" IdempotentWrite;
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        if !ctx.dry_run() {
            ran(ctx, &["put"])?;
        }
        Ok(Output::done("put"))
    }
}

// Whatever the desk says of it, it was put there.
runs! { MindsNoExitCode "minds-no-exit-code" IdempotentWrite;
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        if !ctx.dry_run() {
            desk(ctx, &["put", ctx.idempotency_key()]).run()?;
        }
        Ok(Output::done("put"))
    }
}

// Whatever is printed is a list.
runs! { PanicsAtPrint "panics-at-print" Read;
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        let printed = ran(ctx, &["list"])?.stdout_text();
        assert!(printed.starts_with('['), "a list is no page");
        Ok(Output::done("listed"))
    }
}

// All that is printed goes into the log.
runs! { LogsWithoutEnd "logs-without-end" Read;
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        desk(ctx, &["list"]).run_with(|_, line| ctx.log().info(line))?.success()?;
        Ok(Output::done("listed"))
    }
}

// It says that it has stopped.
runs! { LeavesIt "leaves-it" IdempotentWrite;
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        put(ctx)?;
        Ok(Output::done("put"))
    }
}

impl Cancel for LeavesIt {
    type CancelState = ();
    fn cancel(_: &Context, _: Input, _: Option<()>) -> Ended<()> {
        Ok(Outcome::done(json!({ "stopped": true })))
    }
}

// It takes away only what it knows the end of.
runs! { ForgetsWhatWasCutOff "forgets-what-was-cut-off" IdempotentWrite;
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        put(ctx)?;
        Ok(Output::done("put"))
    }
}

impl Rollback for ForgetsWhatWasCutOff {
    type RollbackState = ();
    fn rollback(ctx: &Context, _: Input, output: Option<Output>) -> Ended<()> {
        if output.is_some() { take_away(ctx) } else { Ok(Outcome::done(json!({}))) }
    }
}

// It takes away what the last attempt put there, and no more.
runs! { ForgetsTheFirstPut "forgets-the-first-put" IdempotentWrite;
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        put(ctx)?;
        ran(ctx, &["list"])?;
        Ok(Output::done("put"))
    }
}

impl Rollback for ForgetsTheFirstPut {
    type RollbackState = ();
    fn rollback(ctx: &Context, _: Input, _: Option<Output>) -> Ended<()> {
        if let Some(last) = ctx.starts().last() {
            ran(ctx, &["remove", last.key()])?;
        }
        Ok(Outcome::done(json!({})))
    }
}

// What refuses to take away has taken away, it says.
runs! { ShrugsAtARefusal "shrugs-at-a-refusal" IdempotentWrite;
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        put(ctx)?;
        Ok(Output::done("put"))
    }
}

impl Rollback for ShrugsAtARefusal {
    type RollbackState = ();
    fn rollback(ctx: &Context, _: Input, _: Option<Output>) -> Ended<()> {
        for started in ctx.starts() {
            let _ = desk(ctx, &["remove", started.key()]).run();
        }
        Ok(Outcome::done(json!({})))
    }
}

// What it declares to change nothing puts an entry there.
runs! { PutsByPeeking "puts-by-peeking" IdempotentWrite;
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        let _: Entry = ran(ctx, &["peek", ctx.idempotency_key()])?.json()?;
        Ok(Output::done("put"))
    }
}

// What it was told goes on to the next command.
runs! { SaysItOn "says-it-on" Read;
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        let said: String = ran(ctx, &["whoami"])?.json()?;
        ran(ctx, &["list", &said])?;
        Ok(Output::done("said"))
    }
}
