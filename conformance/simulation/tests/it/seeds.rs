//! Seeds that found something, by the name of what they found.
//!
//! A seed tells this story only as long as the simulation is as it was; what each of them found has a
//! test of its own in `runtime/engine/tests/it`, which stays.

use windlass_simulation::{Detail, run, workflows};

fn breaks_no_rule(seed: u64) {
    let ran = run(seed, &workflows::catalog(), Detail::Story);
    assert_eq!(ran.violation, None, "{}", ran.story);
}

/// In a release that was rolled back, somebody was asked to try a paused step again.
#[test]
fn asked_for_what_is_refused() {
    breaks_no_rule(15);
}

/// The input of a step had no value; a person's retry called the plugin with `null`.
#[test]
fn called_without_an_input() {
    breaks_no_rule(29);
}

/// An attempt took too long and could not be stopped; its step was canceled, and the release never ended.
#[test]
fn timed_out_and_not_stopped() {
    breaks_no_rule(39);
}

/// A step failed before its plugin was called, and was rolled back.
#[test]
fn rolled_back_what_was_never_called() {
    breaks_no_rule(94);
}

/// Two attempts of one step were stopped, by two calls with one id.
#[test]
fn two_cancels_with_one_id() {
    breaks_no_rule(205);
}

/// A credential expired while a step was waiting; its retry did everything a second time.
#[test]
fn expired_credential() {
    breaks_no_rule(250);
}

/// The release was canceled while a slow attempt was being stopped, and the attempt after it began.
#[test]
fn retried_after_the_cancel() {
    breaks_no_rule(1860);
}

/// The clock jumped past a deadline and the timer behind it; the retry did not wait for its backoff.
#[test]
fn late_tick() {
    breaks_no_rule(2420);
}
