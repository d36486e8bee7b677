//! A plugin: its actions, its manifest, and the way from a call in JSON to the right typed function and back.
//!
//! **Invariant:** nothing here panics on what a call contains; what cannot be read is a failure that names the field.

use crate::action::{Action, Cancel, Ended, Find, Rollback};
use crate::call::{Call, Operation, RawOutcome};
use crate::context::Context;
use crate::failure::Failure;
use crate::host::Host;
use crate::manifest::{self, ActionDescription, CONTRACT, Role};
use crate::outcome::{Event, Outcome, Suspension};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::marker::PhantomData;

type Answered = Result<RawOutcome, Failure>;
type FoundRaw = Result<Option<RawOutcome>, Failure>;

/// The operations of one action, behind functions that read and write JSON.
pub struct ActionEntry {
    name: &'static str,
    describe: fn(Operations) -> ActionDescription,
    roles: fn() -> Vec<Role>,
    start: fn(&Context) -> Answered,
    resume: fn(&Context, &[u8], Event) -> Answered,
    cancel: Option<CancelEntry>,
    rollback: Option<RollbackEntry>,
    find: Option<fn(&Context) -> FoundRaw>,
}

struct CancelEntry {
    begin: fn(&Context, Option<&[u8]>) -> Answered,
    resume: fn(&Context, &[u8], Event) -> Answered,
}

struct RollbackEntry {
    begin: fn(&Context) -> Answered,
    resume: fn(&Context, &[u8], Event) -> Answered,
}

/// Which of the optional operations an action has.
#[derive(Clone, Copy)]
struct Operations {
    cancel: bool,
    rollback: bool,
    find: bool,
}

/// Registers an action, operation by operation; [`plugin!`](crate::plugin!) writes this.
pub struct Registration<A: Action> {
    entry: ActionEntry,
    action: PhantomData<A>,
}

impl<A: Action> Registration<A> {
    /// The action with `start` and `resume`.
    #[allow(clippy::new_without_default, reason = "an action is chosen, there is no default one")]
    pub fn new() -> Self {
        Self {
            entry: ActionEntry {
                name: A::NAME,
                describe: describe::<A>,
                roles: A::connections,
                start: |ctx| {
                    let outcome = A::start(ctx, input::<A>(ctx)?)?;
                    write::<A, _, _>(outcome)
                },
                resume: |ctx, state, event| {
                    let outcome = A::resume(ctx, input::<A>(ctx)?, read_state(state)?, event)?;
                    write::<A, _, _>(outcome)
                },
                cancel: None,
                rollback: None,
                find: None,
            },
            action: PhantomData,
        }
    }

    /// Announces and connects `cancel`.
    pub fn cancel(mut self) -> Self
    where
        A: Cancel,
    {
        self.entry.cancel = Some(CancelEntry {
            begin: |ctx, state| {
                let state = state.map(read_state).transpose()?;
                write_ended::<A, _>(A::cancel(ctx, input::<A>(ctx)?, state))
            },
            resume: |ctx, state, event| {
                let state = read_state(state)?;
                write_ended::<A, _>(A::resume_cancel(ctx, input::<A>(ctx)?, state, event))
            },
        });
        self
    }

    /// Announces and connects `rollback`.
    pub fn rollback(mut self) -> Self
    where
        A: Rollback,
    {
        self.entry.rollback = Some(RollbackEntry {
            begin: |ctx| write_ended::<A, _>(A::rollback(ctx, input::<A>(ctx)?, output::<A>(ctx)?)),
            resume: |ctx, state, event| {
                let (input, output) = (input::<A>(ctx)?, output::<A>(ctx)?);
                write_ended::<A, _>(A::resume_rollback(ctx, input, output, read_state(state)?, event))
            },
        });
        self
    }

    /// Announces and connects `find`.
    pub fn find(mut self) -> Self
    where
        A: Find,
    {
        self.entry.find = Some(|ctx| A::find(ctx, input::<A>(ctx)?)?.map(write::<A, _, _>).transpose());
        self
    }

    /// The entry for [`Plugin::action`].
    pub fn entry(self) -> ActionEntry {
        self.entry
    }
}

/// A plugin: a name and its actions.
pub struct Plugin {
    name: &'static str,
    version: &'static str,
    description: &'static str,
    actions: Vec<ActionEntry>,
}

impl Plugin {
    /// A plugin without actions yet.
    pub fn new(name: &'static str, version: &'static str, description: &'static str) -> Self {
        Self { name, version, description, actions: Vec::new() }
    }

    /// Adds an action.
    pub fn action(mut self, entry: ActionEntry) -> Self {
        self.actions.push(entry);
        self
    }

    /// The manifest. Pure.
    pub fn manifest(&self) -> Value {
        let actions: Map<String, Value> =
            self.actions.iter().map(|action| (action.name.to_owned(), action.description().json())).collect();
        json!({
            "name": self.name,
            "version": self.version,
            "contract": CONTRACT,
            "description": self.description,
            "actions": actions,
        })
    }

    /// What is wrong with the names: a plugin's own test should find this empty.
    pub fn problems(&self) -> Vec<String> {
        let mut names: Vec<&str> = vec![self.name];
        names.extend(self.actions.iter().map(|action| action.name));
        let mut problems: Vec<String> = names
            .iter()
            .filter(|name| !manifest::is_name(name))
            .map(|name| format!("`{name}` is no name: write [a-z][a-z0-9_-]{{0,62}}"))
            .collect();
        for (index, action) in self.actions.iter().enumerate() {
            if self.actions[..index].iter().any(|other| other.name == action.name) {
                problems.push(format!("two actions are called `{}`", action.name));
            }
        }
        problems
    }

    /// Begins an action.
    pub fn start(&self, host: &dyn Host, call: &Call) -> Answered {
        let entry = self.entry(call)?;
        (entry.start)(&entry.context(host, call))
    }

    /// Goes on with the operation that was suspended.
    pub fn resume(&self, host: &dyn Host, call: &Call, state: &[u8], event: Event) -> Answered {
        let entry = self.entry(call)?;
        let ctx = entry.context(host, call);
        match call.operation {
            Operation::Start => (entry.resume)(&ctx, state, event),
            Operation::Cancel => {
                let cancel = entry.cancel.as_ref().ok_or_else(|| missing(entry, "cancel"))?;
                (cancel.resume)(&ctx, state, event)
            }
            Operation::Rollback => {
                let rollback = entry.rollback.as_ref().ok_or_else(|| missing(entry, "rollback"))?;
                (rollback.resume)(&ctx, state, event)
            }
        }
    }

    /// Stops an action.
    pub fn cancel(&self, host: &dyn Host, call: &Call, state: Option<&[u8]>) -> Answered {
        let entry = self.entry(call)?;
        let cancel = entry.cancel.as_ref().ok_or_else(|| missing(entry, "cancel"))?;
        (cancel.begin)(&entry.context(host, call), state)
    }

    /// Takes an action's effect back.
    pub fn rollback(&self, host: &dyn Host, call: &Call) -> Answered {
        let entry = self.entry(call)?;
        let rollback = entry.rollback.as_ref().ok_or_else(|| missing(entry, "rollback"))?;
        (rollback.begin)(&entry.context(host, call))
    }

    /// Looks for the effect of an idempotency key.
    pub fn find(&self, host: &dyn Host, call: &Call) -> Result<Option<RawOutcome>, Failure> {
        let entry = self.entry(call)?;
        let find = entry.find.ok_or_else(|| missing(entry, "find"))?;
        find(&entry.context(host, call))
    }

    fn entry(&self, call: &Call) -> Result<&ActionEntry, Failure> {
        self.actions.iter().find(|action| action.name == call.action).ok_or_else(|| {
            let known: Vec<&str> = self.actions.iter().map(|action| action.name).collect();
            Failure::invalid(
                "unknown-action",
                format!("`{}` has no action `{}`; it has {}", self.name, call.action, known.join(", ")),
            )
            .never()
        })
    }
}

impl ActionEntry {
    fn context<'a>(&self, host: &'a dyn Host, call: &'a Call) -> Context<'a> {
        Context::new(host, call, self.roles)
    }

    fn description(&self) -> ActionDescription {
        (self.describe)(Operations {
            cancel: self.cancel.is_some(),
            rollback: self.rollback.is_some(),
            find: self.find.is_some(),
        })
    }
}

fn describe<A: Action>(operations: Operations) -> ActionDescription {
    ActionDescription {
        description: A::DESCRIPTION,
        input: manifest::input_schema::<A::Input>(),
        output: manifest::output_schema::<A::Output>(),
        effect: A::EFFECT,
        cancel: operations.cancel,
        rollback: operations.rollback,
        find: operations.find,
        connections: A::connections(),
        tools: A::tools(),
        limits: A::limits(),
    }
}

fn missing(entry: &ActionEntry, operation: &str) -> Failure {
    Failure::internal("unknown-operation", format!("`{}` has no {operation}", entry.name)).never()
}

fn input<A: Action>(ctx: &Context) -> Result<A::Input, Failure> {
    crate::decode::json(ctx.call().input.as_bytes())
        .map_err(|problem| Failure::invalid("input", format!("the input of `{}`: {problem}", A::NAME)).never())
}

fn output<A: Action>(ctx: &Context) -> Result<Option<A::Output>, Failure> {
    let text = ctx.call().output.as_deref();
    text.map(|text| crate::decode::json(text.as_bytes())).transpose().map_err(|problem| {
        Failure::internal("output", format!("the output that `{}` gave: {problem}", A::NAME)).never()
    })
}

fn read_state<State: DeserializeOwned>(state: &[u8]) -> Result<State, Failure> {
    crate::decode::json(state)
        .map_err(|problem| Failure::internal("state", format!("the suspended state cannot be read: {problem}")).never())
}

fn write_ended<A: Action, State: Serialize>(ended: Ended<State>) -> Answered {
    write::<A, _, _>(ended?)
}

fn write<A: Action, Output: Serialize, State: Serialize>(outcome: Outcome<Output, State>) -> Answered {
    let unwritable = |what: &str, error: serde_json::Error| {
        Failure::internal("unwritable", format!("the {what} of `{}` is no JSON: {error}", A::NAME)).never()
    };
    match outcome {
        Outcome::Done(output) => {
            serde_json::to_string(&output).map(RawOutcome::Done).map_err(|error| unwritable("output", error))
        }
        Outcome::Suspended(Suspension { state, wakes, status }) => {
            let state = serde_json::to_vec(&state).map_err(|error| unwritable("state", error))?;
            let limit = ActionDescription::state_bytes(&A::limits());
            if state.len() > limit {
                let message = format!(
                    "the state of `{}` has {} bytes; a suspension carries {limit} at most",
                    A::NAME,
                    state.len()
                );
                return Err(Failure::internal("state-too-large", message).never());
            }
            if wakes.is_empty() {
                let message = format!("`{}` suspended without saying what wakes it", A::NAME);
                return Err(Failure::internal("no-wakes", message).never());
            }
            Ok(RawOutcome::Suspended(Suspension { state, wakes, status }))
        }
    }
}

/// Declares the plugin: makes `pub fn plugin() -> Plugin` and, in a component, the exports.
///
/// ```
/// # use windlass_sdk::*;
/// # use schemars::JsonSchema; use serde::{Serialize, Deserialize};
/// #[derive(Deserialize, JsonSchema)]
/// struct Greeting { name: String }
/// #[derive(Serialize, Deserialize, JsonSchema)]
/// struct Greeted { text: String }
/// struct Greet;
/// impl Action for Greet {
///     const NAME: &'static str = "greet";
///     const DESCRIPTION: &'static str = "Says hello.";
///     const EFFECT: Effect = Effect::Read;
///     type Input = Greeting;
///     type Output = Greeted;
///     type State = ();
///     fn start(ctx: &Context, input: Greeting) -> Answer<Self> {
///         ctx.log().info("hello");
///         Ok(Outcome::done(Greeted { text: format!("hello {}", input.name) }))
///     }
/// }
/// // Optional operations are announced by naming them: `Greet: cancel + rollback + find`.
/// windlass_sdk::plugin! {
///     name: "hello",
///     description: "Says hello.",
///     actions: [Greet],
/// }
/// # fn main() { assert_eq!(plugin().manifest()["actions"]["greet"]["effect"], "read"); }
/// ```
///
/// One that is implemented and not announced is no plugin:
///
/// ```compile_fail,E0080
/// # use windlass_sdk::*;
/// # struct Wait;
/// # impl Action for Wait {
/// #     const NAME: &'static str = "wait";
/// #     const DESCRIPTION: &'static str = "Waits.";
/// #     const EFFECT: Effect = Effect::Read;
/// #     type Input = ();
/// #     type Output = ();
/// #     type State = ();
/// #     fn start(_: &Context, (): ()) -> Answer<Self> { Ok(Outcome::done(())) }
/// # }
/// impl Cancel for Wait {
///     type CancelState = ();
///     fn cancel(_: &Context, (): (), _: Option<()>) -> Ended<()> { Ok(Outcome::done(serde_json::Value::Null)) }
/// }
/// windlass_sdk::plugin! { name: "waiting", description: "Waits.", actions: [Wait] }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! plugin {
    (
        name: $name:literal,
        description: $description:literal,
        actions: [ $( $action:ty $( : $operation:ident $( + $more:ident )* )? ),+ $(,)? ] $(,)?
    ) => {
        /// This plugin; its tests call it without a component.
        pub fn plugin() -> $crate::Plugin {
            $crate::Plugin::new($name, env!("CARGO_PKG_VERSION"), $description)
                $( .action(
                    $crate::Registration::<$action>::new() $( .$operation() $( .$more() )* )? .entry()
                ) )+
        }

        $( const _: () = {
            #[allow(unused_imports)]
            use $crate::announced::{Implements, ImplementsNot as _, is_among};
            const ANNOUNCED: &[&str] = &[ $( stringify!($operation) $( , stringify!($more) )* )? ];
            assert!(
                !Implements::<$action>::CANCEL || is_among(ANNOUNCED, "cancel"),
                concat!("`", stringify!($action), "` implements `Cancel`; announce it, or no host calls it: `",
                    stringify!($action), ": cancel`")
            );
            assert!(
                !Implements::<$action>::ROLLBACK || is_among(ANNOUNCED, "rollback"),
                concat!("`", stringify!($action), "` implements `Rollback`; announce it, or no host calls it: `",
                    stringify!($action), ": rollback`")
            );
            assert!(
                !Implements::<$action>::FIND || is_among(ANNOUNCED, "find"),
                concat!("`", stringify!($action), "` implements `Find`; announce it, or no host calls it: `",
                    stringify!($action), ": find`")
            );
        }; )+

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;
            $crate::guest_exports!(Component, plugin);
            $crate::bindings::export_component!(Component with_types_in $crate::bindings);
        };
    };
}
