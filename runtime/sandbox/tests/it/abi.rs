//! What no compiler makes: memory that is not what it says, handles nobody gave, calls at the wrong time.

use serde_json::json;
use windlass_model::event::{Operation, Wake};
use windlass_sandbox::{CallKind, CallReport};

use crate::support::made::call_made;
use crate::support::{Given, code, done, message, others_go_on};

const LOG: &str = r#"(import "windlass:plugin/log@0.1.0" "log" (func $log (param i32 i32 i32 i32 i32)))"#;

async fn start(imports: &str, body: &str) -> CallReport {
    call_made(imports, body, Given::default()).await
}

#[tokio::test]
async fn what_is_made_by_hand_is_a_plugin() {
    assert_eq!(done(start("", "").await), json!(null));
}

/// Each of the functions ends badly, in each of the ways in which one can.
#[tokio::test]
async fn traps_are_told_in_every_export() {
    let calls = [
        ("start", CallKind::Start, Operation::Start),
        ("resume", CallKind::Resume { state: vec![1], wake: Wake::Timer }, Operation::Start),
        ("cancel", CallKind::Cancel { state: None }, Operation::Cancel),
        ("rollback", CallKind::Rollback, Operation::Rollback),
        ("find", CallKind::Find, Operation::Start),
    ];
    let ways = [
        ("unreachable", "plugin-trapped", "unreachable"),
        ("(i32.div_u (i32.const 1) (i32.const 0))", "plugin-trapped", "divide by zero"),
        ("(i32.load (i32.const -1))", "plugin-trapped", "out of bounds"),
        ("(drop (call $deep (i32.const 0))) (i32.const 32)", "stack-overflow", "nested too deeply"),
        ("(loop $for_ever (br $for_ever)) unreachable", "cpu-limit", "300 ms"),
        ("(i32.const -4)", "plugin-broken", "breaks the contract"),
        ("(i32.const 33)", "plugin-broken", "not aligned"),
    ];
    let deep = "(func $deep (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))";
    for (name, kind, operation) in calls {
        for (way, expected, said) in ways {
            let body = format!("{deep} (func (export \"{name}\") (param i32) (result i32) {way})");
            let given = Given { kind: kind.clone(), operation, ..Given::default() };
            let report = call_made("", &body, given).await;
            assert_eq!(code(&report), expected, "{name}: {way}: {}", message(&report));
            assert!(message(&report).contains(said), "{name}: {way}: {}", message(&report));
        }
    }
    others_go_on().await;
}

/// An answer laid out at address 256, and texts at 512.
async fn answer(area: &str, text: &str) -> CallReport {
    let body = format!(
        r#"(data (i32.const 256) "{area}") (data (i32.const 512) "{text}")
           (func (export "start") (param i32) (result i32) (i32.const 256))"#
    );
    start("", &body).await
}

#[tokio::test]
async fn texts_that_are_no_utf_8_are_refused_wherever_they_come() {
    // `done`: discriminants of the result and of the outcome, then the text's address and length.
    let report = answer(r"\00\00\00\00\00\00\00\00\00\00\00\00\00\02\00\00\03\00\00\00", r"\22\ff\22").await;
    assert_eq!(code(&report), "plugin-broken");
    assert!(message(&report).contains("utf-8"), "{}", message(&report));
    // `failure`: class, then code and message.
    let failure = r"\01\00\00\00\00\00\00\00\00\00\00\00\00\02\00\00\03\00\00\00\00\02\00\00\03\00\00\00";
    let report = answer(failure, r"\61\c0\80").await;
    assert_eq!(code(&report), "plugin-broken");
    assert!(message(&report).contains("utf-8"), "{}", message(&report));
    // Half of a surrogate pair, as a log line.
    let body = r#"(data (i32.const 512) "\ed\a0\80")
        (func (export "start") (param i32) (result i32)
          (call $log (i32.const 2) (i32.const 512) (i32.const 3) (i32.const 0) (i32.const 0)) (i32.const 32))"#;
    let report = start(LOG, body).await;
    assert_eq!(code(&report), "plugin-broken");
    assert!(message(&report).contains("utf-8"), "{}", message(&report));
}

#[tokio::test]
async fn answers_that_point_nowhere_are_refused() {
    for (what, area) in [
        ("a text beyond the memory", r"\00\00\00\00\00\00\00\00\00\00\00\00\00\00\ff\ff\03\00\00\00"),
        ("a text longer than the memory", r"\00\00\00\00\00\00\00\00\00\00\00\00\00\02\00\00\ff\ff\ff\7f"),
        ("a result that is neither", r"\02\00\00\00\00\00\00\00\00\00\00\00\00\02\00\00\03\00\00\00"),
        ("an outcome that does not exist", r"\00\00\00\00\00\00\00\00\07\00\00\00\00\02\00\00\03\00\00\00"),
        (
            "a class that does not exist",
            r"\01\00\00\00\00\00\00\00\63\00\00\00\00\02\00\00\03\00\00\00\00\02\00\00\03\00\00\00",
        ),
    ] {
        let report = answer(area, "{}").await;
        let code = code(&report).to_owned();
        assert!(
            ["plugin-broken", "plugin-trapped", "output-limit"].contains(&code.as_str()),
            "{what}: {code}: {}",
            message(&report)
        );
    }
    others_go_on().await;
}

#[tokio::test]
async fn handles_that_nobody_gave_are_refused() {
    let imports = r#"
        (import "windlass:plugin/checkpoint@0.1.0" "[static]slot.finish" (func $finish (param i32 i32 i32)))
        (import "windlass:plugin/checkpoint@0.1.0" "[resource-drop]slot" (func $drop_slot (param i32)))
        (import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $timer (param i64) (result i32)))
        (import "wasi:io/poll@0.2.12" "[resource-drop]pollable" (func $drop_timer (param i32)))
        (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))
        (import "windlass:plugin/tools@0.1.0" "[method]process.wait" (func $wait (param i32 i32)))"#;
    for (what, way) in [
        ("a slot out of the air", "(call $finish (i32.const 7) (i32.const 0) (i32.const 0))"),
        ("a slot with the largest number", "(call $finish (i32.const -1) (i32.const 0) (i32.const 0))"),
        ("dropping what was not held", "(call $drop_slot (i32.const 1))"),
        ("a timer for a slot", "(call $finish (call $timer (i64.const 0)) (i32.const 0) (i32.const 0))"),
        ("a timer for a process", "(call $wait (call $timer (i64.const 0)) (i32.const 64))"),
        (
            "dropping twice",
            "(local.set 1 (call $timer (i64.const 0))) (call $drop_timer (local.get 1)) (call $drop_timer (local.get 1))",
        ),
        (
            "using after dropping",
            "(local.set 1 (call $timer (i64.const 0))) (call $drop_timer (local.get 1)) (call $block (local.get 1))",
        ),
    ] {
        let body = format!(r#"(func (export "start") (param i32) (result i32) (local i32) {way} (i32.const 32))"#);
        let report = start(imports, &body).await;
        assert_eq!(code(&report), "plugin-broken", "{what}: {}", message(&report));
        assert!(message(&report).contains("handle"), "{what}: {}", message(&report));
    }
    others_go_on().await;
}

#[tokio::test]
async fn the_host_is_not_entered_from_within_a_call_of_it() {
    // The host asks for room while it hands over the call: no time to call it.
    let body = r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (call $log (i32.const 2) (i32.const 128) (i32.const 4) (i32.const 0) (i32.const 0)) (call $room (local.get 3)))"#;
    let report = start(LOG, body).await;
    assert_eq!(code(&report), "plugin-trapped", "{}", message(&report));
    assert!(message(&report).contains("cannot leave component instance"), "{}", message(&report));
    for (what, way, expected) in [
        ("room beyond the memory", "(i32.const -8)", "plugin-broken"),
        (
            "room that is not aligned",
            "(i32.add (call $room (i32.add (local.get 3) (i32.const 1))) (i32.const 1))",
            "plugin-broken",
        ),
        ("never any room", "(loop $for_ever (br $for_ever)) unreachable", "cpu-limit"),
    ] {
        let body = format!(r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {way})"#);
        let report = start("", &body).await;
        assert_eq!(code(&report), expected, "{what}: {}", message(&report));
    }
    others_go_on().await;
}

#[tokio::test]
async fn what_runs_before_and_after_a_call_is_limited_like_the_call() {
    let spin = "(loop $for_ever (br $for_ever))";
    let after = format!(r#"(func (export "post:start") (param i32) {spin})"#);
    assert_eq!(code(&start("", &after).await), "cpu-limit");
    let after = r#"(func (export "post:start") (param i32) (call $log (i32.const 2) (i32.const 128) (i32.const 4) (i32.const 0) (i32.const 0)))"#;
    let report = start(LOG, after).await;
    assert_eq!(code(&report), "plugin-trapped", "{}", message(&report));
}
