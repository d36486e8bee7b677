//! What a plugin author writes: a type per action, a trait per operation that it has.

use crate::Context;
use crate::failure::Failure;
use crate::manifest::{Effect, Limits, Role, Tool};
use crate::outcome::{Answer, Event, Outcome};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// One action of a plugin.
pub trait Action: Sized + 'static {
    /// As workflows name it: `trigger-build`.
    const NAME: &'static str;
    /// One sentence.
    const DESCRIPTION: &'static str;
    /// What repeating it does to the world.
    const EFFECT: Effect;

    /// The step's `with:`; put `#[serde(deny_unknown_fields)]` on it so that a typo is an error.
    type Input: DeserializeOwned + JsonSchema;
    /// What later steps can use.
    type Output: Serialize + DeserializeOwned + JsonSchema;
    /// What a suspension carries to `resume`; `()` for an action that never waits. It is written as JSON into the
    /// journal, 64 KiB at most, and never holds a secret.
    type State: Serialize + DeserializeOwned;

    /// The connection roles, with the requests that are made.
    fn connections() -> Vec<Role> {
        Vec::new()
    }

    /// The native tools that are run.
    fn tools() -> Vec<Tool> {
        Vec::new()
    }

    /// Limits other than the host's defaults.
    fn limits() -> Limits {
        Limits::default()
    }

    /// Begins.
    fn start(ctx: &Context, input: Self::Input) -> Answer<Self>;

    /// Goes on after a suspension.
    fn resume(ctx: &Context, input: Self::Input, state: Self::State, event: Event) -> Answer<Self> {
        let _ = (ctx, input, state, event);
        Err(never_suspends(Self::NAME))
    }
}

/// What `cancel` and `rollback` come to: a value for people to read, or a wait of their own.
pub type Ended<State> = Result<Outcome<Value, State>, Failure>;

/// An action that can be stopped before it ended.
pub trait Cancel: Action {
    /// What a suspension of the cancel itself carries; `()` if it never waits.
    type CancelState: Serialize + DeserializeOwned;

    /// Stops the action: `state` is what it suspended with, none if its call was cut off.
    fn cancel(ctx: &Context, input: Self::Input, state: Option<Self::State>) -> Ended<Self::CancelState>;

    /// Goes on with the cancel after a suspension.
    fn resume_cancel(
        ctx: &Context,
        input: Self::Input,
        state: Self::CancelState,
        event: Event,
    ) -> Ended<Self::CancelState> {
        let _ = (ctx, input, state, event);
        Err(never_suspends(Self::NAME))
    }
}

/// An action whose effect can be taken back after it ended.
pub trait Rollback: Action {
    /// What a suspension of the rollback carries; `()` if it never waits.
    type RollbackState: Serialize + DeserializeOwned;

    /// Takes the effect back: `output` is none if `start` never got that far.
    fn rollback(ctx: &Context, input: Self::Input, output: Option<Self::Output>) -> Ended<Self::RollbackState>;

    /// Goes on with the rollback after a suspension.
    fn resume_rollback(
        ctx: &Context,
        input: Self::Input,
        output: Option<Self::Output>,
        state: Self::RollbackState,
        event: Event,
    ) -> Ended<Self::RollbackState> {
        let _ = (ctx, input, output, state, event);
        Err(never_suspends(Self::NAME))
    }
}

/// What `find` found: the outcome, or none if the effect never happened.
pub type Found<A> = Result<Option<Outcome<<A as Action>::Output, <A as Action>::State>>, Failure>;

/// An action that can tell, after an attempt whose end is unknown, what its idempotency key came to.
pub trait Find: Action {
    /// Looks, and only looks: the outcome, or none if the effect never happened.
    fn find(ctx: &Context, input: Self::Input) -> Found<Self>;
}

fn never_suspends(action: &str) -> Failure {
    Failure::internal("never-suspends", format!("`{action}` waited, and has no `resume` to go on with: write `fn resume` into its `impl`, `resume_rollback` or `resume_cancel` where that waits")).never()
}
