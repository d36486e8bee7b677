//! Write Windlass plugins in Rust.
//!
//! A plugin is a component with *actions*. An author writes a type per action and implements [`Action`] for it, with
//! [`Cancel`], [`Rollback`] and [`Find`] where the action has these operations, and lists them in [`plugin!`]. The
//! manifest with its JSON Schemas comes from the types; the component's exports from the macro.
//!
//! All that a plugin does to the world goes through its [`Context`]: HTTP to a bound connection, the log, progress,
//! checkpoints, callbacks, native tools. A plugin never holds a credential.
//!
//! **Invariant:** everything but [`guest`] and [`bindings`] also runs natively, so that a plugin's tests need no
//! component: see [`testing`] (feature `testing`).
//!
//! **Invariant:** an input, state, callback or response that is not as expected becomes a [`Failure`], never a panic.

mod action;
#[doc(hidden)]
pub mod announced;
mod artifact;
#[cfg(target_arch = "wasm32")]
pub mod bindings;
mod call;
mod context;
mod decode;
mod duration;
mod failure;
#[cfg(target_arch = "wasm32")]
pub mod guest;
pub mod host;
pub mod http;
mod manifest;
mod outcome;
mod plugin;
mod status;
#[cfg(all(feature = "testing", not(target_arch = "wasm32")))]
pub mod testing;
mod tool;

pub use action::{Action, Cancel, Ended, Find, Found, Rollback};
pub use artifact::Artifact;
pub use call::{Call, Operation, RawOutcome};
pub use context::{Context, Log, Progress, Started};
pub use duration::{HumanDuration, rfc3339};
pub use failure::{Failure, FailureClass, RetryAdvice};
pub use host::{CallbackAddress, Connection, Level, ToolStream};
pub use http::{Method, Response};
pub use manifest::{CONTRACT, Effect, Limits, Role, Tool};
pub use outcome::{Answer, CallbackEvent, Event, Outcome, Suspending, Suspension, Wake, suspend};
pub use plugin::{ActionEntry, Plugin, Registration};
pub use tool::{ToolOutput, ToolRun};
