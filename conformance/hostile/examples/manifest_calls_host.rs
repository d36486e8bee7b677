//! A plugin whose manifest depends on the host.
#![cfg(target_arch = "wasm32")]
#![allow(unsafe_code, missing_docs, clippy::all, reason = "generated")]

wit_bindgen::generate!({ path: "../../wit/0.1", world: "plugin", generate_all });

use exports::windlass::plugin::step::{Call, Event, Failure, Guest, Outcome};

struct Broken;

impl Guest for Broken {
    fn manifest() -> String {
        windlass::plugin::log::log(windlass::plugin::log::Level::Info, "describing", &[]);
        String::new()
    }
    fn start(_call: Call) -> Result<Outcome, Failure> {
        Ok(Outcome::Done(String::new()))
    }
    fn resume(_call: Call, _state: Vec<u8>, _event: Event) -> Result<Outcome, Failure> {
        Ok(Outcome::Done(String::new()))
    }
    fn cancel(_call: Call, _state: Option<Vec<u8>>) -> Result<Outcome, Failure> {
        Ok(Outcome::Done(String::new()))
    }
    fn rollback(_call: Call) -> Result<Outcome, Failure> {
        Ok(Outcome::Done(String::new()))
    }
    fn find(_call: Call) -> Result<Option<Outcome>, Failure> {
        Ok(None)
    }
}

export!(Broken);
