//! Seeds in which a fault would be seen, by its name.
//!
//! A seed tells this story only as long as the simulation is as it was; what was found has tests of its own in
//! `runtime/engine/tests/it`, which stay.

use windlass_simulation::{Detail, run, workflows};

fn breaks_no_rule(seed: u64) {
    let ran = run(seed, &workflows::catalog(), Detail::Story);
    assert_eq!(ran.violation, None, "{}", ran.story);
}

/// A point of no return had its effect, and its step runs again: a deadline may not roll the release back.
#[test]
fn point_of_no_return_of_an_earlier_run() {
    breaks_no_rule(247);
}

/// A deadline paused the release, and somebody canceled it.
#[test]
fn canceled_after_a_deadline() {
    breaks_no_rule(215);
}

/// A deadline passed once; the other deadlines stand.
#[test]
fn deadlines_stand_by_themselves() {
    breaks_no_rule(202);
}

/// A step was rejected, and its phase tolerates no failure.
#[test]
fn rejection_in_a_phase() {
    breaks_no_rule(68);
}

/// A step that was skipped had an effect, and the release is rolled back.
#[test]
fn skipped_with_an_effect() {
    breaks_no_rule(233);
}

/// A step ran for many items, then for fewer, and the release is rolled back.
#[test]
fn rolled_back_items_of_a_longer_run() {
    breaks_no_rule(834);
}

/// The release ended during what ran last, and went on.
#[test]
fn rerun_after_what_ran_last() {
    breaks_no_rule(13978);
}

/// A step that runs last has no input, and somebody waits for it.
#[test]
fn last_without_an_input() {
    breaks_no_rule(5207);
}

/// A point of no return was cut off after its effect, and when its call was to be made again the host could not: that was
/// taken for an answer, and the release rolled back past it.
#[test]
fn point_of_no_return_that_cannot_be_called_again() {
    breaks_no_rule(9_002_211);
}

/// A call was left to the next driver, which made it and was told that it did nothing: still the first of its attempt.
#[test]
fn left_to_the_next_driver_and_did_nothing() {
    breaks_no_rule(9_503_794);
}

/// In a dry run a write that nobody can look for takes too long: another attempt repeats nothing.
#[test]
fn too_long_in_a_dry_run() {
    breaks_no_rule(10_070_549);
}
