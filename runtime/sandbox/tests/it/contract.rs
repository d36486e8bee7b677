//! What the contract says, kept or broken.

use std::sync::Arc;

use serde_json::json;
use windlass_model::event::{Operation, Wake};
use windlass_model::failure::{FailureClass, FailureOrigin, RetryAdvice};
use windlass_model::time::Span;
use windlass_sandbox::{CallKind, CallOutcome, LogLevel, LogSource, WAKE_DELAY_MIN, WakeUp};

use crate::support::recorder::Recorder;
use crate::support::{Given, call, call_with, code, done, message, others_go_on, target};

#[tokio::test]
async fn a_call_arrives_as_it_was_made() {
    let given = Given {
        kind: CallKind::Resume { state: vec![1], wake: Wake::Timer },
        operation: Operation::Rollback,
        attempt: 3,
        input: json!({"a": 1}),
        output: Some(json!({"b": 2})),
        dry_run: true,
        ..Given::default()
    };
    assert_eq!(
        done(call("whole-call", given).await),
        json!({
            "action": "whole-call", "operation": "Operation::Rollback", "release": "payments-7", "step": "deploy",
            "attempt": 3, "key": "0123456789abcdef0123456789abcdef", "deadline": null, "dry_run": true,
            "input": {"a": 1}, "output": "{\"b\":2}", "context": [["tenant", "acme"]],
        })
    );
}

#[tokio::test]
async fn every_operation_is_called() {
    let kind = CallKind::Cancel { state: Some(vec![0; 7]) };
    assert_eq!(
        done(call("noop", Given { kind, operation: Operation::Cancel, ..Given::default() }).await),
        json!({"state_bytes": 7})
    );
    let given = Given {
        kind: CallKind::Rollback,
        operation: Operation::Rollback,
        output: Some(json!([1])),
        ..Given::default()
    };
    assert_eq!(done(call("noop", given).await), json!([1]));
    let found = call("noop", Given { kind: CallKind::Find, attempt: 2, ..Given::default() }).await;
    assert_eq!(done(found), json!({}));
    let found = call("noop", Given { kind: CallKind::Find, ..Given::default() }).await;
    assert_eq!(found.result, Ok(CallOutcome::NotFound));
}

#[tokio::test]
async fn a_declared_failure_is_the_plugins() {
    let error = call_with("fail", json!({})).await.result.expect_err("a failure");
    assert_eq!((error.origin, error.class), (FailureOrigin::Plugin, FailureClass::Rejected));
    assert_eq!((error.code.as_str(), error.advice), ("on-purpose", RetryAdvice::After(Span(7))));
    assert_eq!(error.details, [("why".to_owned(), "to see it".to_owned())]);
}

#[tokio::test]
async fn a_panic_is_told_with_its_text() {
    let report = call_with("panic", json!({})).await;
    assert_eq!(code(&report), "plugin-panicked");
    assert!(message(&report).contains("the hostile plugin panics on purpose"), "{}", message(&report));
    assert_eq!(code(&call_with("trap", json!({})).await), "plugin-trapped");
    let report = call_with("exit", json!({})).await;
    assert_eq!(code(&report), "plugin-exited");
    others_go_on().await;
}

#[tokio::test]
async fn schemas_hold_in_both_directions() {
    let report = call_with("typed-input", json!({"job": 7})).await;
    assert_eq!(code(&report), "input-breaks-schema");
    assert!(message(&report).contains("`/job`"), "{}", message(&report));
    assert_eq!(code(&call_with("typed-input", json!({})).await), "input-breaks-schema");
    assert_eq!(done(call_with("typed-input", json!({"job": "x"})).await), json!({"job": "x"}));
    let report = call_with("output-breaks-schema", json!({})).await;
    assert_eq!(code(&report), "output-breaks-schema");
    assert!(message(&report).contains("`/build/number`"), "{}", message(&report));
    let report = call_with("output-not-json", json!({})).await;
    assert_eq!(code(&report), "output-not-json");
}

#[tokio::test]
async fn what_cannot_be_called_is_refused() {
    let report = call_with("no-such-action", json!({})).await;
    assert_eq!(code(&report), "unknown-action");
    assert!(message(&report).contains("noop"), "{}", message(&report));
    let report = call_with("needs-connection", json!({})).await;
    assert_eq!(code(&report), "connection-missing");
    let given = Given { access: target("http://127.0.0.1:1", json!({})), ..Given::default() };
    assert_eq!(done(call("needs-connection", given).await), json!({}));
}

#[tokio::test]
async fn suspensions_wait_a_little_at_least() {
    let report = call_with("suspend-forever", json!({})).await;
    let Ok(CallOutcome::Suspended { state, wakes, status }) = report.result else { panic!("{report:?}") };
    assert_eq!((state, status.as_str()), (vec![1; 4], "waiting"));
    assert_eq!(wakes[0], WakeUp::After(WAKE_DELAY_MIN));
    let WakeUp::At(at) = wakes[1] else { panic!("{wakes:?}") };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis();
    assert!(u128::from(at.as_millis()) + 60_000 > now, "not in 1970");
}

#[tokio::test]
async fn suspensions_that_nothing_ends_are_refused() {
    assert_eq!(code(&call_with("no-wakes", json!({})).await), "no-wakes");
    assert_eq!(code(&call_with("too-many-wakes", json!({})).await), "too-many-wakes");
    let report = call_with("unknown-callback", json!({})).await;
    assert_eq!(code(&report), "unknown-callback");
    // A topic is a secret, whosever it is.
    assert!(!message(&report).contains("somebody-elses"), "{}", message(&report));
    let report = call_with("wait-for-callback", json!({})).await;
    let Ok(CallOutcome::Suspended { wakes, .. }) = report.result else { panic!("{report:?}") };
    assert_eq!(wakes, [WakeUp::Callback("topic-0".to_owned())]);
}

#[tokio::test]
async fn checkpoints_are_remembered_when_finished() {
    let host = Arc::new(Recorder::default());
    let given = || Given { host: host.clone(), ..Given::default() };
    assert_eq!(done(call("leave-checkpoint", given()).await), json!({}));
    assert!(host.checkpoints.lock().expect("not poisoned").is_empty());
    assert_eq!(done(call("remember", given()).await), json!({"fresh": true}));
    assert_eq!(done(call("remember", given()).await), json!({"recorded": "answer"}));
    assert_eq!(code(&call_with("large-checkpoint", json!({})).await), "checkpoint-refused");
}

#[tokio::test]
async fn output_streams_become_log_lines() {
    let given = Given::default();
    let host = given.host.clone();
    done(call("print", given).await);
    let lines = host.lines.lock().expect("not poisoned").clone();
    let seen: Vec<_> = lines.iter().map(|it| (it.level, it.message.as_str(), it.source.clone())).collect();
    assert_eq!(
        seen,
        [(LogLevel::Info, "to standard output", LogSource::Stdout), (LogLevel::Info, "unfinished", LogSource::Stdout)]
    );
}

#[tokio::test]
async fn only_roles_of_the_action_are_seen() {
    let given = Given { access: target("http://127.0.0.1:1/base", json!({})), ..Given::default() };
    let host = given.host.clone();
    assert_eq!(done(call("own-connections", given).await), json!({"target": null, "other": null}));
    let lines = host.lines.lock().expect("not poisoned").clone();
    let told: Vec<_> = lines.iter().filter(|it| it.source == LogSource::Host).map(|it| it.message.as_str()).collect();
    let says =
        "the plugin asks for the connection of the role `target`, and its action `own-connections` declares none";
    assert_eq!(told, [says], "once is enough");
}
