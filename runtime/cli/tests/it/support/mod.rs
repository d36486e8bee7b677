//! What the tests have in common.

pub(crate) mod asked;
mod components;
mod counterparts;
mod process;
pub(crate) mod release;
mod scrub;
mod service;
mod site;

use std::time::{Duration, Instant};

pub(crate) use components::{component, noop, ready, simulator, standin_helm};
pub(crate) use counterparts::{Counterparts, PASSWORD, job};
pub(crate) use process::Process;
pub(crate) use scrub::scrubbed;
pub(crate) use service::Service;
pub(crate) use site::{Ran, Site, WINDLASS};

/// How long anything may take before a test gives up on it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Says that a test was not made, and why.
#[expect(clippy::print_stderr, reason = "this is what people read when they ask why")]
pub(crate) fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

/// Asks until there is an answer.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < DEADLINE, "this did not happen within {DEADLINE:?}: {what}");
        // Between two looks, so that what is waited for gets the processor.
        std::thread::sleep(Duration::from_millis(2));
    }
}
