//! Approvals and conflicts.

use crate::fake::Fake;
use serde_json::{Value, json};
use windlass_plugin_servicenow::plugin;
use windlass_sdk::http::TransportErrorKind;
use windlass_sdk::testing::{Reply, TestStep};
use windlass_sdk::{Event, FailureClass, Outcome, RetryAdvice, Suspension};

const CHANGES: &str = "change_request";

fn suspended(outcome: Outcome<Value, Value>) -> Suspension<Value> {
    match outcome {
        Outcome::Suspended(suspension) => suspension,
        Outcome::Done(output) => panic!("it is done: {output}"),
    }
}

fn asked(state: &str, approval: &str) -> Fake {
    let fake = Fake::with_change(state, approval);
    let change = fake.field(CHANGES, "sys_id");
    for name in ["Ana", "Ben"] {
        fake.insert(
            "sysapproval_approver",
            json!({ "sysapproval": change, "approver": name, "state": "requested", "comments": "" }),
        );
    }
    fake
}

#[test]
fn approvals_are_read() {
    let fake = asked("-3", "requested");
    let output = fake.run("read-approvals", json!({ "change": "CHG1" })).expect("it reads");
    assert_eq!((&output["approval"], &output["state_label"]), (&json!("requested"), &json!("Authorize")));
    assert_eq!(
        output["approvers"][1],
        json!({ "name": "Ben", "state": "requested", "comments": null, "updated": null })
    );
}

#[test]
fn approval_is_awaited() {
    let fake = asked("-4", "requested");
    let step = TestStep::new(plugin(), "await-approval", json!({ "change": "CHG1", "poll_interval": "1m" }));
    let first = suspended(step.start(&fake.host).expect("it waits"));
    assert_eq!(first.status, "CHG1 waits for Ana, Ben");

    // The peers' approval leads to the board's.
    fake.set(CHANGES, "approval", json!("approved"));
    let second = suspended(step.resume(&fake.host, &first, Event::Timer).expect("it still waits"));

    fake.set(CHANGES, "state", json!("-2"));
    let output = step.finish(&fake.host, second).expect("it is approved");
    assert_eq!(output["state_label"], "Scheduled");
}

#[test]
fn a_rejected_or_cancelled_change_fails_the_step() {
    let fake = asked("-5", "rejected");
    fake.set("sysapproval_approver", "state", json!("rejected"));
    fake.set("sysapproval_approver", "comments", json!("not this week"));
    let failure = fake.run("await-approval", json!({ "change": "CHG1" })).expect_err("it was rejected");
    assert_eq!((failure.class, failure.retry), (FailureClass::Rejected, RetryAdvice::Never));
    assert_eq!(failure.message, "CHG1 was rejected by Ana (not this week)");

    let fake = asked("4", "requested");
    let failure = fake.run("await-approval", json!({ "change": "CHG1" })).expect_err("it was canceled");
    assert_eq!(failure.class, FailureClass::Canceled);
}

#[test]
fn a_maintenance_window_is_sat_out() {
    let fake = asked("-3", "requested");
    let step = TestStep::new(plugin(), "await-approval", json!({ "change": "CHG1" }));
    let first = suspended(step.start(&fake.host).expect("it waits"));
    fake.host.reply("GET /api/now/table/change_request", Reply::error(TransportErrorKind::NotConnected));
    let second = suspended(step.resume(&fake.host, &first, Event::Timer).expect("it sits it out"));
    assert_eq!(second.status, "ServiceNow does not answer (not-connected); asking again");
    fake.set(CHANGES, "state", json!("-2"));
    step.finish(&fake.host, second).expect("it is approved");

    for _ in 0..21 {
        fake.host.reply("GET /api/now/table/change_request", Reply::status(503));
    }
    let failure = step.finish(&fake.host, first).expect_err("at some point it is over");
    assert_eq!(failure.code, "http-503");
}

#[test]
fn conflicts_are_detected_and_read() {
    let fake = Fake::with_change("-5", "not requested");
    let change = fake.field(CHANGES, "sys_id");
    fake.set(CHANGES, "conflict_status", json!("No Conflict"));
    fake.set(CHANGES, "conflict_last_run", json!("2026-01-01 00:00:00"));
    fake.insert("conflict", json!({ "change": change, "type": "CI already scheduled", "conflicting_change": "CHG7" }));
    fake.tables.borrow_mut().conflicts_after = Some(4);
    let output = fake.run("check-conflicts", json!({ "change": "CHG1" })).expect("it ends");
    assert_eq!((&output["status"], &output["checked_at"]), (&json!("Conflict"), &json!("2026-01-05 09:00:10")));
    assert_eq!(output["conflicts"][0]["conflicting_change"], "CHG7");
    assert_eq!(fake.writes(), 1);

    let failure = fake
        .run("check-conflicts", json!({ "change": "CHG1", "run": false, "fail_on_conflict": true }))
        .expect_err("a conflict is not wanted");
    assert_eq!(failure.message, "CHG1 has conflicts: CI already scheduled");
    assert_eq!(fake.writes(), 1);

    let failure = fake.run("check-conflicts", json!({ "change": "CHG1" })).expect_err("this detection never ends");
    assert_eq!(failure.code, "detection-does-not-end");

    let unreadable = Fake::with_change("-5", "not requested");
    let output = unreadable.run("check-conflicts", json!({ "change": "CHG1", "run": false })).expect("it reads");
    assert_eq!((&output["status"], &output["conflicts"]), (&json!("Not Run"), &Value::Null));
}
