//! Tasks and attachments.

use crate::fake::Fake;
use serde_json::json;
use windlass_plugin_servicenow::plugin;
use windlass_sdk::testing::TestStep;

const TASKS: &str = "change_task";

#[test]
fn retries_make_one_task_and_rolling_back_cancels_it() {
    let fake = Fake::with_change("-5", "not requested");
    let change = fake.field("change_request", "sys_id");
    let input = json!({ "change": "CHG1", "short_description": "Warm caches", "type": "implementation" });
    let step = TestStep::new(plugin(), "create-task", input.clone());
    fake.tables.borrow_mut().lose_answers = 1;
    step.run(&fake.host).expect_err("the answer got lost");
    assert!(step.find(&fake.host).expect("it looks").is_some());
    let output = step.attempt(2).run(&fake.host).expect("it is found");
    assert_eq!((fake.count(TASKS), &output["number"]), (1, &json!("CTASK1")));
    assert_eq!(
        (fake.field(TASKS, "change_request"), fake.field(TASKS, "change_task_type")),
        (change, json!("implementation"))
    );

    let step = TestStep::new(plugin(), "create-task", input);
    assert_eq!(step.rollback(&fake.host, Some(&output)).expect("it is canceled")["canceled"], true);
    assert_eq!(fake.field(TASKS, "state"), "4");
    fake.set(TASKS, "state", json!("3"));
    assert_eq!(step.rollback(&fake.host, Some(&output)).expect("it stays closed")["canceled"], false);
}

#[test]
fn tasks_are_updated_and_closed_once() {
    let fake = Fake::new();
    fake.insert(TASKS, json!({ "state": "1" }));
    let output = fake
        .run("update-task", json!({ "task": "CTASK1", "state": "in_progress", "work_note": "on it" }))
        .expect("it is updated");
    assert_eq!(output["state"], "2");
    let input = json!({ "task": "CTASK1", "close_code": "successful", "close_notes": "done" });
    fake.run("close-task", input.clone()).expect("it is closed");
    assert_eq!((fake.field(TASKS, "state"), fake.field(TASKS, "close_notes")), (json!("3"), json!("done")));
    fake.run("close-task", input).expect("it is closed already");
    assert_eq!(fake.writes(), 2);
}

#[test]
fn evidence_is_attached_once() {
    let fake = Fake::with_change("-1", "approved");
    let input = json!({ "change": "CHG1", "file_name": "test report.txt", "text": "42 passed" });
    fake.tables.borrow_mut().lose_answers = 1;
    fake.run("attach-evidence", input.clone()).expect_err("the answer got lost");
    let output = fake.run("attach-evidence", input).expect("it is there");
    assert_eq!(fake.tables.borrow().attachments.len(), 1);
    assert_eq!(output["sha256"], "d826e9a8f6aeee149bcc3b3e1e805c188e432b41af492e6b68321935015de8d8");
    assert_eq!(
        output["url"],
        format!("https://sn.test/api/now/attachment/{}/file", output["sys_id"].as_str().expect("text"))
    );

    fake.run(
        "attach-evidence",
        json!({ "change": "CHG1", "file_name": "logo.png", "base64": "iVBORw0KGgo=", "content_type": "image/png" }),
    )
    .expect("it is attached");
    let request = fake.host.requests().pop().expect("there are requests");
    assert_eq!(
        (request.body.as_slice(), request.header("content-type")),
        (&b"\x89PNG\r\n\x1a\n"[..], Some("image/png"))
    );
    assert_eq!(request.query["table_name"], "change_request");

    for input in [
        json!({ "file_name": "a", "text": "b" }),
        json!({ "change": "CHG1", "task": "CTASK1", "file_name": "a", "text": "b" }),
        json!({ "change": "CHG1", "file_name": "a" }),
        json!({ "change": "CHG1", "file_name": "a", "base64": "?" }),
    ] {
        assert_eq!(fake.run("attach-evidence", input).expect_err("it is refused").code, "evidence");
    }
}

#[test]
fn evidence_with_a_known_digest_is_compared_by_it() {
    let fake = Fake::with_change("-1", "approved");
    let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let attachment = |hash: &str| json!({ "sys_id": "a1", "file_name": "a.txt", "size_bytes": "5", "hash": hash });
    fake.tables.borrow_mut().attachments = vec![attachment(&"0".repeat(64)), attachment(hash)];
    let output = fake
        .run("attach-evidence", json!({ "change": "CHG1", "file_name": "a.txt", "text": "hello" }))
        .expect("it is there");
    assert_eq!((output["sha256"].as_str(), fake.writes()), (Some(hash), 0));
    fake.tables.borrow_mut().attachments.truncate(1);
    fake.run("attach-evidence", json!({ "change": "CHG1", "file_name": "a.txt", "text": "hello" }))
        .expect("it is attached");
    assert_eq!(fake.writes(), 1);
}
