//! Seeds in which a fault would be seen, by its name.
//!
//! A seed tells this story only as long as the simulation is as it was.

use windlass_simulation_driver::{Detail, Place, run};

fn breaks_no_rule(seed: u64) {
    let ran = run(seed, &Place::new().expect("a folder"), Detail::Quick);
    assert_eq!(ran.violation, None, "windlass-simulation-driver --seed {seed} tells its story");
}

/// The store failed at the creation of a release, and had written it: nobody looked after it.
#[test]
fn begun_though_the_store_failed() {
    breaks_no_rule(74);
}

/// A journal could not be read when a process began.
#[test]
fn unreadable_when_a_process_begins() {
    breaks_no_rule(46);
}

/// The host panicked in one call while another one ended: the wrong step failed, and the other one hung.
#[test]
fn panic_in_a_call_while_another_one_ends() {
    breaks_no_rule(91);
}

/// A step had failed because the store did, and what it had begun went on without it.
#[test]
fn inner_release_of_a_step_whose_store_failed() {
    breaks_no_rule(1260);
}

/// A call was over before the release that it began was durable.
#[test]
fn inner_release_that_comes_after_its_end() {
    breaks_no_rule(929);
}

/// The clock was set ahead past the deadline of a call that was made.
#[test]
fn clock_that_is_set_past_a_deadline() {
    breaks_no_rule(1012);
}

/// A call that was let through waited for its turn among `calls_max`, and by then its breaker was open.
#[test]
fn let_through_and_then_held_while_it_waits_for_its_turn() {
    breaks_no_rule(241);
}

/// A release was held by a breaker when its process ended.
#[test]
fn held_when_a_process_ends() {
    breaks_no_rule(1276);
}

/// A clock was set back, and what waited for the store waited longer.
#[test]
fn patient_after_a_clock_that_was_set_back() {
    breaks_no_rule(175);
}

/// The same, while it was parked.
#[test]
fn parked_for_longer_by_a_clock_that_was_set_back() {
    breaks_no_rule(1123);
}

/// Somebody said something to a release between its creation being durable and its driver being told so.
#[test]
fn told_something_while_it_is_created() {
    breaks_no_rule(12_213);
}

/// Somebody set a breaker, which could not be written, while it opened by itself: it was closed again.
#[test]
fn opened_by_itself_while_somebody_sets_it() {
    breaks_no_rule(340);
}

/// Items of a step that was to run again were rolled back, and nobody could see them.
#[test]
fn earlier_items_that_are_rolled_back() {
    breaks_no_rule(480);
}

/// A release was created while its process wound down.
#[test]
fn created_while_the_process_winds_down() {
    breaks_no_rule(8609);
}

/// A release was brought back while its process wound down, and what it took over was said not to have been begun in a
/// record of its own.
#[test]
fn brought_back_while_the_process_winds_down() {
    breaks_no_rule(40_703);
}

/// An inner release that was rolled back before it had told of its first end tells of both with one word: a topic of each
/// call, by which the older word came too early, was waited for in vain.
#[test]
fn one_word_may_stand_for_two_ends() {
    breaks_no_rule(900_089);
}

/// The clock was set back again and again, by seven hours in all: releases wait until it shows again what it has shown, and
/// the simulation did not.
#[test]
fn clock_that_is_set_back_by_hours() {
    breaks_no_rule(7_061_174);
}

/// A call was left to the next driver, its step came to an end without it, and the call of the rollback, which was made and
/// cut off, was repeated under its own number.
#[test]
fn left_to_the_next_driver_and_never_made() {
    breaks_no_rule(10_010_599);
}

/// What undoes an effect began, and ended, before the stopped call that had the effect was gone.
#[test]
fn undone_while_the_stopped_call_goes_on() {
    breaks_no_rule(47_935);
}

/// A store failed when a call had ended that nobody had looked at, and something of it waited for the driver, which waited
/// for it.
#[test]
fn store_fails_when_a_call_has_ended_and_is_not_quite_gone() {
    breaks_no_rule(552);
}

/// A driver panicked when what somebody had said to it was written; another driver was asked as if nobody had looked at it,
/// and who had said it was told that it was refused.
#[test]
fn driver_panics_when_what_it_was_told_is_written() {
    breaks_no_rule(310);
}
