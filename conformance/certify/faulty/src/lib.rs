//! One flaw in each action; nothing else is wrong with it. `conformance/certify/tests` says which check finds which.

mod running;
mod undoing;
mod waiting;
mod writing;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_sdk::{Answer, Context, Failure, Method, Outcome, Role};

use running::{
    ForgetsTheFirstPut, ForgetsWhatWasCutOff, KnowsOfNoDryRun, LeavesHalf, LeavesIt, LogsWithoutEnd, MindsNoExitCode,
    PanicsAtPrint, PutsByPeeking, PutsInARead, PutsTwice, PutsTwiceAtOnce, RunsWell, SaysItOn, ShrugsAtARefusal,
    StandsBeforeHalf,
};
use undoing::{
    ForgetsTheFirst, GoodAtAll, HalfARollback, IgnoresCancel, LooksFirst, NeverStops, RollsBackOnce, SetsBack,
    SwallowsARefusal,
};
use waiting::{KeepsTheCredential, PanicsAtItsState, PollsForEver, RemembersInMemory, TakesTwice, TellsItsTopic};
use writing::{
    AsksAPerson, GivesUp, PanicsAtHtml, PostsTwice, PostsTwiceAtOnce, SaysWhichAttempt, SendsTooMuch,
    StandsStillAtHtml, TriesForEver, WritesByGet, WritesInARead,
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// What the entry is called.
    #[serde(default)]
    pub(crate) title: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Output {
    pub(crate) said: String,
}

impl Output {
    pub(crate) fn done<S>(said: impl Into<String>) -> Outcome<Self, S> {
        Outcome::done(Self { said: said.into() })
    }
}

/// What the ledger answers of an entry.
#[derive(Deserialize)]
pub(crate) struct Entry {
    pub(crate) id: String,
}

pub(crate) fn ledger() -> Vec<Role> {
    let role = Role::required("ledger", "Where entries are made.").allow(&[Method::Get, Method::Post], "/**");
    vec![role.allow(&[Method::Delete], "/entries/*")]
}

/// Makes an entry once.
pub(crate) fn entered(ctx: &Context) -> Result<String, Failure> {
    let entry: Entry = ctx.http("ledger")?.post("/entries").idempotency_key().send()?.json()?;
    Ok(entry.id)
}

/// The entries that `entered` made, oldest first.
pub(crate) fn made(ctx: &Context) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for started in ctx.starts() {
        let entries: Vec<Entry> = ctx.http("ledger")?.get("/entries").query("key", started.key()).send()?.json()?;
        all.extend(entries.into_iter().map(|it| it.id));
    }
    Ok(all)
}

/// `Action` with what all have in common; the last part is `start`.
macro_rules! action {
    ($action:ident $name:literal $effect:ident $output:ty, $state:ty; $($rest:item)*) => {
        pub(crate) struct $action;
        impl windlass_sdk::Action for $action {
            const NAME: &'static str = $name;
            const DESCRIPTION: &'static str = "Has one flaw.";
            const EFFECT: windlass_sdk::Effect = windlass_sdk::Effect::$effect;
            type Input = crate::Input;
            type Output = $output;
            type State = $state;
            fn connections() -> Vec<windlass_sdk::Role> { crate::ledger() }
            $($rest)*
        }
    };
}
pub(crate) use action;

// Has no flaw: the suite is not one that finds fault with all.
action! { Good "good" IdempotentWrite Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        entered(ctx)?;
        Ok(Output::done("entered"))
    }
}

action! { EndsOtherwise "ends-otherwise" Read Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        ctx.http("ledger")?.get("/entries").send()?;
        Err(Failure::rejected("no", "it never works"))
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct AtLeastTen {
    #[schemars(range(min = 10))]
    n: u32,
}

action! { OutputLies "output-lies" Read AtLeastTen, ();
    fn start(_: &Context, _: Input) -> Answer<Self> {
        Ok(Outcome::done(AtLeastTen { n: 1 }))
    }
}

action! { PanicsAtInput "panics-at-input" Read Output, ();
    fn start(_: &Context, input: Input) -> Answer<Self> {
        let first = input.title.chars().next().expect("nobody leaves it out");
        Ok(Output::done(first))
    }
}

// Its schema promises more than it understands.
action! { Misunderstands "misunderstands" Read Output, ();
    fn start(_: &Context, input: Input) -> Answer<Self> {
        if input.title.is_empty() {
            return Err(Failure::internal("no-title", "there has to be one"));
        }
        Ok(Output::done(input.title))
    }
}

action! { ReadsAllThereIs "reads-all-there-is" Read Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        let body = ctx.http("ledger")?.get("/title").limit(usize::MAX).send()?.text()?;
        Ok(Output::done(body.trim()))
    }
}

// What it was told goes on to somebody else.
action! { SendsTheCredential "sends-the-credential" Read Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        let ledger = ctx.http("ledger")?;
        let said = ledger.get("/reversed").send()?.text()?;
        ledger.get("/entries").query("key", said).send()?;
        Ok(Output::done("sent"))
    }
}

action! { RepeatsTheCredential "repeats-the-credential" Read Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        let said = ctx.http("ledger")?.get("/reversed").send()?.text()?;
        Ok(Output::done(said))
    }
}

windlass_sdk::plugin! {
    name: "faulty",
    description: "Has one flaw in each action.",
    actions: [
        Good,
        GoodAtAll: cancel + rollback,
        EndsOtherwise,
        WritesInARead,
        OutputLies,
        PanicsAtInput,
        Misunderstands,
        RemembersInMemory,
        TakesTwice,
        SendsTooMuch,
        PostsTwice,
        PostsTwiceAtOnce,
        GivesUp,
        TriesForEver,
        IgnoresCancel: cancel,
        ForgetsTheFirst: rollback,
        HalfARollback: rollback,
        RollsBackOnce: rollback, SetsBack: rollback, LooksFirst: rollback, SwallowsARefusal: rollback,
        WritesByGet,
        ReadsAllThereIs,
        RepeatsTheCredential,
        KeepsTheCredential,
        TellsItsTopic,
        PanicsAtItsState,
        PollsForEver,
        AsksAPerson,
        SaysWhichAttempt,
        PanicsAtHtml,
        StandsStillAtHtml,
        NeverStops: cancel,
        SendsTheCredential,
        RunsWell: cancel + rollback,
        StandsBeforeHalf: rollback,
        LeavesHalf: rollback,
        PutsInARead,
        KnowsOfNoDryRun,
        PutsTwice,
        PutsTwiceAtOnce,
        MindsNoExitCode,
        ForgetsTheFirstPut: rollback,
        PanicsAtPrint,
        LogsWithoutEnd,
        LeavesIt: cancel,
        ForgetsWhatWasCutOff: rollback,
        ShrugsAtARefusal: rollback,
        PutsByPeeking,
        SaysItOn,
    ],
}
