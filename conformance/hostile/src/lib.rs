//! A plugin that does everything it must not, one behaviour per action.
//!
//! The tests of `windlass-sandbox` call every action and check how the host contains it. Built for
//! other targets than WebAssembly this crate is empty.
#![cfg(target_arch = "wasm32")]

mod act;
mod bindings;
mod fetch;
mod manifest;

use bindings::exports::windlass::plugin::step::{Call, Event, Failure, Guest, Outcome};

struct Hostile;

impl Guest for Hostile {
    fn manifest() -> String {
        manifest::manifest().to_string()
    }

    fn start(call: Call) -> Result<Outcome, Failure> {
        act::act(&call)
    }

    fn resume(call: Call, _state: Vec<u8>, _event: Event) -> Result<Outcome, Failure> {
        act::act(&call)
    }

    fn cancel(call: Call, state: Option<Vec<u8>>) -> Result<Outcome, Failure> {
        if call.action == "send" {
            return act::act(&call);
        }
        if call.action == "will-not-stop" {
            return Err(act::failure("it goes on"));
        }
        Ok(Outcome::Done(serde_json::json!({"state_bytes": state.map(|it| it.len())}).to_string()))
    }

    fn rollback(call: Call) -> Result<Outcome, Failure> {
        if call.action == "send" {
            return act::act(&call);
        }
        Ok(Outcome::Done(call.output.unwrap_or_else(|| "null".to_owned())))
    }

    fn find(call: Call) -> Result<Option<Outcome>, Failure> {
        if call.action == "send" {
            return act::act(&call).map(Some);
        }
        Ok((call.attempt > 1).then(|| Outcome::Done("{}".to_owned())))
    }
}

#[expect(unsafe_code, reason = "generated")]
mod exported {
    use super::{Hostile, bindings};

    bindings::export!(Hostile with_types_in bindings);
}
