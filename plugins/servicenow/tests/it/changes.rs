//! Creating, updating, moving, closing, cancelling.

use crate::fake::Fake;
use serde_json::{Value, json};
use windlass_plugin_servicenow::plugin;
use windlass_sdk::testing::TestStep;
use windlass_sdk::{FailureClass, Operation, Outcome, RetryAdvice};

const CHANGES: &str = "change_request";

fn create(input: Value) -> TestStep {
    TestStep::new(plugin(), "create-change", input)
}

#[test]
fn a_change_is_created_with_what_the_input_says() {
    let fake = Fake::new();
    let group = fake.insert("sys_user_group", json!({ "name": "Release Managers" }));
    let output = fake
        .run(
            "create-change",
            json!({
                "type": "emergency", "short_description": "Deploy payments 1.2.3", "assignment_group": "Release Managers",
                "start": "2026-03-09T14:05:00Z", "backout_plan": "helm rollback", "fields": { "risk": 2 },
            }),
        )
        .expect("it is created");
    assert_eq!((&output["number"], &output["state_label"]), (&json!("CHG1"), &json!("New")));
    assert_eq!(
        output["url"],
        format!(
            "https://sn.test/nav_to.do?uri=%2Fchange_request.do%3Fsys_id%3D{}",
            output["sys_id"].as_str().expect("text")
        )
    );
    assert_eq!(fake.tables.borrow().kinds, ["emergency"]);
    for (field, value) in [
        ("correlation_id", json!(TestStep::key(Operation::Start))),
        ("correlation_display", json!("Windlass payments-1.2.3/step")),
        ("assignment_group", json!(group)),
        ("start_date", json!("2026-03-09 14:05:00")),
        ("risk", json!(2)),
    ] {
        assert_eq!(fake.field(CHANGES, field), value, "{field}");
    }
    assert_eq!(fake.host.links()[0].0, "CHG1");
}

#[test]
fn retries_make_one_change() {
    let fake = Fake::new();
    let step = create(json!({ "short_description": "Deploy" }));
    assert_eq!(step.find(&fake.host).expect("it looks"), None);
    fake.tables.borrow_mut().lose_answers = 1;
    let failure = step.run(&fake.host).expect_err("the answer got lost");
    assert_eq!(failure.class, FailureClass::Transient);
    let output = step.attempt(2).run(&fake.host).expect("it is found");
    assert_eq!((fake.count(CHANGES), &output["number"]), (1, &json!("CHG1")));
    let found = create(json!({ "short_description": "Deploy" })).find(&fake.host).expect("it looks");
    assert_eq!(found, Some(Outcome::Done(output)));
}

#[test]
fn wrong_inputs_are_refused_before_anything_is_written() {
    let fake = Fake::new();
    fake.insert("sys_user_group", json!({ "name": "Twice" }));
    fake.insert("sys_user_group", json!({ "name": "Twice" }));
    for (input, code) in [
        (json!({ "type": "standard" }), "template"),
        (json!({ "type": "standard", "template": "Deploy" }), "template"),
        (json!({ "template": "0".repeat(32) }), "template"),
        (json!({ "assignment_group": "Nobody" }), "unknown-reference"),
        (json!({ "assignment_group": "Twice" }), "unknown-reference"),
        (json!({ "assignment_group": "a^ORname=b" }), "unknown-reference"),
        (json!({ "end": "tomorrow" }), "date"),
        (json!({ "fields": { "correlation_id": "x" } }), "reserved-field"),
        (json!({ "fields": { "risk": [1] } }), "field-value"),
    ] {
        let mut whole = json!({ "short_description": "Deploy" });
        whole.as_object_mut().expect("an object").extend(input.as_object().expect("an object").clone());
        let failure = fake.run("create-change", whole).expect_err(code);
        assert_eq!(
            (failure.class, failure.code.as_str(), failure.retry),
            (FailureClass::Invalid, code, RetryAdvice::Never)
        );
    }
    assert_eq!(fake.writes(), 0);
    let template = "ab".repeat(16);
    fake.run("create-change", json!({ "type": "standard", "template": template, "short_description": "x" }))
        .expect("it is created");
    assert_eq!(fake.tables.borrow().kinds, [format!("standard/{template}")]);
}

#[test]
fn rolling_back_cancels_an_open_change() {
    let step = create(json!({ "short_description": "Deploy" }));
    for (state, expected) in [
        ("-5", Ok((json!(true), "4"))),
        ("-1", Ok((json!(true), "4"))),
        ("3", Ok((json!(false), "3"))),
        ("4", Ok((json!(true), "4"))),
        ("0", Err("CHG1 is in state Review and cannot be canceled; it can move to: Closed, Implement")),
    ] {
        let fake = Fake::new();
        let output = step.run(&fake.host).expect("it is created");
        fake.set(CHANGES, "state", json!(state));
        match (step.rollback(&fake.host, Some(&output)), expected) {
            (Ok(ended), Ok((canceled, now))) => {
                assert_eq!(
                    (ended["canceled"].clone(), fake.field(CHANGES, "state")),
                    (canceled, json!(now)),
                    "{state}"
                );
            }
            (Err(failure), Err(message)) => {
                assert_eq!((failure.message.as_str(), failure.retry), (message, RetryAdvice::Pause))
            }
            (other, _) => panic!("{state}: {other:?}"),
        }
    }

    // Cut off before its output was known: the recorded key finds it, not the rollback's own.
    let fake = Fake::new();
    fake.tables.borrow_mut().lose_answers = 1;
    step.run(&fake.host).expect_err("the answer got lost");
    assert_eq!(step.rollback(&fake.host, None).expect("it is canceled")["canceled"], true);
    assert_eq!(fake.field(CHANGES, "state"), "4");
    assert!(
        fake.field(CHANGES, "work_notes")
            .as_str()
            .expect("text")
            .contains("Canceled by Windlass: release payments-1.2.3")
    );

    // After an attempt with a definite answer there are two, whichever output is known.
    for known in [true, false] {
        let fake = Fake::new();
        step.run(&fake.host).expect("it is created, and something else says no");
        let again = create(json!({ "short_description": "Deploy" })).start_anew();
        let output = again.run(&fake.host).expect("another one is created");
        let ended = again.rollback(&fake.host, Some(&output).filter(|_| known)).expect("both are canceled");
        let both = json!({
            "canceled": true, "number": "CHG2", "earlier": [{ "canceled": true, "number": "CHG1" }],
        });
        assert_eq!((fake.count(CHANGES), ended), (2, both));
    }

    let untouched = Fake::new();
    assert_eq!(step.rollback(&untouched.host, None).expect("it ends")["why"], "no change was created");
}

#[test]
fn a_note_is_written_once() {
    let fake = Fake::with_change("-5", "not requested");
    let input = json!({ "change": "CHG1", "fields": { "priority": "2" }, "work_note": "built #12" });
    fake.tables.borrow_mut().lose_answers = 1;
    fake.run("update-change", input.clone()).expect_err("the answer got lost");
    let output = fake.run("update-change", input).expect("it is updated");
    assert_eq!(output["number"], "CHG1");
    let notes = fake.field(CHANGES, "work_notes");
    assert_eq!(notes, "built #12\n[windlass 0123456789ab]\n");
    assert_eq!(fake.field(CHANGES, "priority"), "2");

    let writes = fake.writes();
    fake.run("update-change", json!({ "change": "CHG1", "work_note": "built #12" })).expect("nothing is left to do");
    assert_eq!(fake.writes(), writes);
}

#[test]
fn a_move_is_made_or_refused_with_the_allowed_ones() {
    let fake = Fake::with_change("-5", "not requested");
    let output = fake.run("move-change", json!({ "change": "CHG1", "state": "assess" })).expect("it moves");
    assert_eq!((&output["state"], &output["state_label"]), (&json!("-4"), &json!("Assess")));
    let writes = fake.writes();
    fake.run("move-change", json!({ "change": "CHG1", "state": "Assess" })).expect("it is there");
    fake.run("move-change", json!({ "change": "CHG1", "state": "-4" })).expect("it is there");
    assert_eq!(fake.writes(), writes);

    let fake = Fake::with_change("-4", "requested");
    let failure =
        fake.run("move-change", json!({ "change": "CHG1", "state": "authorize" })).expect_err("it is not approved");
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Invalid, "illegal-move"));
    assert_eq!(
        failure.message,
        "CHG1 is in state Assess and cannot move to `authorize` (not met: Approved); it can move to: New, Canceled"
    );
    assert_eq!(fake.writes(), 0);
    fake.run("move-change", json!({ "change": "CHG1", "state": "cancelled" })).expect("both spellings do");
    assert_eq!(fake.field(CHANGES, "state"), "4");

    let none = Fake::new();
    for (change, code) in [
        ("CHG9", "no-record"),
        ("CHG9^x", "record-reference"),
        ("", "record-reference"),
        (&"0".repeat(32), "no-record"),
    ] {
        assert_eq!(none.run("move-change", json!({ "change": change, "state": "new" })).expect_err(code).code, code);
    }
}

#[test]
fn a_move_whose_answer_got_lost_is_not_asked_for_again() {
    let fake = Fake::with_change("-5", "not requested");
    let step = TestStep::new(plugin(), "move-change", json!({ "change": "CHG1", "state": "assess" }));
    fake.tables.borrow_mut().lose_answers = 1;
    step.run(&fake.host).expect_err("the answer got lost");
    // The peer group approved in the meantime.
    fake.set(CHANGES, "state", json!("-3"));
    let output = step.attempt(2).run(&fake.host).expect("it was moved");
    assert_eq!(output["state_label"], "Authorize");
    assert_eq!(fake.writes(), 1);
}

#[test]
fn a_move_that_was_refused_is_not_taken_for_done_because_the_change_went_elsewhere() {
    let fake = Fake::with_change("0", "approved");
    let step = TestStep::new(plugin(), "move-change", json!({ "change": "CHG1", "state": "closed" }));
    step.run(&fake.host).expect_err("codes are missing");
    // Somebody takes it back; then the step is tried again, as another piece of work.
    fake.set(CHANGES, "state", json!("-1"));
    let failure = step.start_anew().run(&fake.host).expect_err("it was not closed");
    assert_eq!(failure.code, "illegal-move");
}

#[test]
fn a_change_is_closed_with_code_and_notes() {
    let fake = Fake::with_change("0", "approved");
    let input = json!({ "change": "CHG1", "close_code": "successful_issues", "close_notes": "one pod restarted" });
    let output = fake.run("close-change", input.clone()).expect("it is closed");
    assert_eq!(output["state_label"], "Closed");
    assert_eq!(fake.field(CHANGES, "close_code"), "successful_issues");
    fake.run("close-change", input.clone()).expect("it is closed already");
    assert_eq!(fake.writes(), 1);

    let early = Fake::with_change("-1", "approved");
    let failure = early.run("close-change", input).expect_err("it was not reviewed");
    assert_eq!(
        failure.message,
        "CHG1 is in state Implement and cannot move to `Closed`; it can move to: Review, Canceled"
    );
}

#[test]
fn what_a_rule_refuses_is_a_no_and_not_a_lack_of_rights() {
    let fake = Fake::with_change("0", "approved");
    let failure =
        fake.run("move-change", json!({ "change": "CHG1", "state": "closed" })).expect_err("codes are missing");
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Rejected, "refused-by-rule"));
    assert!(failure.message.contains("close_code is mandatory"));
}

#[test]
fn reading_a_change_gives_board_date_and_items() {
    let fake = Fake::with_change("-3", "requested");
    fake.set(CHANGES, "cab_date_time", json!("2026-03-12 10:00:00"));
    fake.set(CHANGES, "cab_required", json!("true"));
    fake.set(CHANGES, "cmdb_ci", json!("ci1"));
    let output = fake.run("read-change", json!({ "change": "CHG1" })).expect("it reads");
    assert_eq!((&output["cab_date_time"], &output["cab_required"]), (&json!("2026-03-12 10:00:00"), &json!(true)));
    assert_eq!(output["configuration_items"], json!([{ "sys_id": "ci1", "name": "ci1" }]));
    let sys_id = output["sys_id"].clone();
    fake.insert("task_ci", json!({ "task": sys_id, "ci_item": "ci1" }));
    fake.insert("task_ci", json!({ "task": sys_id, "ci_item": "ci2" }));
    let output = fake.run("read-change", json!({ "change": sys_id })).expect("it reads");
    assert_eq!(
        output["configuration_items"],
        json!([{ "sys_id": "ci1", "name": "ci1" }, { "sys_id": "ci2", "name": "ci2" }])
    );
}
