//! The recipes on a scripted host; what they do as a component is tested with the `windlass` command.

mod batch;
mod callback;
mod no_keys;
mod oauth;
mod pagination;
mod polling;
mod readme;
mod upload;

use windlass_sdk::testing::TestStep;
use windlass_sdk::{Outcome, Suspension};

fn step(action: &str, input: serde_json::Value) -> TestStep {
    TestStep::new(windlass_plugin_cookbook::plugin(), action, input)
}

fn suspended(outcome: Outcome<serde_json::Value, serde_json::Value>) -> Suspension<serde_json::Value> {
    match outcome {
        Outcome::Suspended(it) => it,
        Outcome::Done(output) => panic!("it has ended: {output}"),
    }
}
