//! Calls that are recorded, and played again without the world.

use std::sync::Arc;

use serde_json::{Value, json};
use windlass_model::event::{Operation, Wake};
use windlass_sandbox::CallKind;
use windlass_sandbox::cassette::{
    Cassette, CassetteError, Content, Differences, Exchanged, HttpAnswer, Played, RECORDED_BYTES_MAX, RecordedCall,
    RecordedOutcome, Tape, ToolRan, What, replay,
};

use crate::support::recorder::Recorder;
use crate::support::server::Server;
use crate::support::{Given, call, done, target, world};
use crate::tools::{run_given, tool};

async fn record(action: &str, given: Given) -> (RecordedCall, Value) {
    let mut report = call(action, Given { tape: Tape::Record, ..given }).await;
    let recorded = *report.recorded.take().expect("it was to be recorded");
    let output = match &report.result {
        Ok(_) => done(report),
        Err(error) => json!({"failed": error.code}),
    };
    (recorded, output)
}

async fn play(action: &str, recorded: &RecordedCall, mode: Differences) -> Played {
    let world = world().await;
    // As it is after it was written to a file and read again.
    let written = serde_json::to_string(recorded).expect("JSON");
    let recorded = serde_json::from_str(&written).expect("the same");
    replay(&world.sandbox, &world.hostile, action, Arc::new(recorded), mode).await
}

fn given(server: &Server, more: Value, input: Value) -> Given {
    let mut input = input;
    input["url"] = json!(server.url());
    Given { input, access: target(&server.url(), more), ..Given::default() }
}

fn whats(played: &Played) -> Vec<(What, String)> {
    played.differences.iter().map(|it| (it.what, it.of.replace("http://", ""))).collect()
}

#[tokio::test]
async fn a_call_is_played_again_without_anybody_there() {
    let requests = json!({"requests": [
        {"method": "GET", "path": "/open/hello", "headers": {"accept": "text/plain"}},
        {"method": "POST", "path": "/open/echo?n=1", "body": "{\"a\": 1}"},
        {"method": "POST", "path": "/open/echo?n=1", "body": "{\"a\": 2}"},
        {"method": "GET", "path": "/secret/admin"},
        {"method": "GET", "path": "/open/nowhere"},
        {"method": "GET", "path": "/open/echo", "headers": {"x-http-method": "PUT"}},
    ]});
    let server = Server::start().await;
    let (recorded, output) = record("send", given(&server, json!({}), requests)).await;
    assert_eq!((recorded.function.as_str(), recorded.incomplete.as_deref()), ("start", None));
    assert_eq!(recorded.exchanges.len(), 6);
    let Exchanged::Http { request, answer } = &recorded.exchanges[1] else { panic!("{recorded:?}") };
    assert_eq!(request.body, Some(Content::Text("{\"a\": 1}".to_owned())));
    assert!(matches!(answer, HttpAnswer::Response { status: 200, .. }));
    assert!(matches!(&recorded.exchanges[3], Exchanged::Http { answer: HttpAnswer::Denied(_), .. }));
    let seen = server.seen().len();
    let played = play("send", &recorded, Differences::End).await;
    assert_eq!((&played.differences, server.seen().len()), (&Vec::new(), seen), "nobody was asked");
    assert_eq!(played.outcome, RecordedOutcome::Done(output));
    // A call that is not recorded keeps nothing.
    assert!(call("noop", Given::default()).await.recorded.is_none());
}

#[tokio::test]
async fn what_is_asked_for_in_another_way_is_told_with_the_nearest() {
    let server = Server::start().await;
    let requests = json!({"requests": [
        {"method": "POST", "path": "/open/echo?n=1", "body": "{\"job\": {\"ref\": \"main\"}}"},
        {"method": "GET", "path": "/open/hello"},
    ]});
    let (recorded, _) = record("send", given(&server, json!({}), requests)).await;
    let seen = server.seen().len();
    let mut other = recorded.clone();
    other.call.input["requests"][0]["body"] = json!("{\"job\": {\"ref\": \"next\"}}");
    let played = play("send", &other, Differences::End).await;
    let RecordedOutcome::Failed(error) = &played.outcome else { panic!("{played:?}") };
    assert_eq!(error.code, "not-recorded");
    for text in [
        "/open/echo?n=1 is not in the recording",
        "nearest in the recording is POST",
        "/job/ref was \"main\" and is \"next\"",
    ] {
        assert!(error.message.contains(text), "{text}: {}", error.message);
    }
    let address = server.address;
    let changed = (What::NotRecorded, format!("POST {address}/open/echo?n=1"));
    assert_eq!(whats(&played)[0], changed);
    // All of them are found where that is wanted.
    other.call.input["requests"][1]["path"] = json!("/open/nothing");
    let played = play("send", &other, Differences::Collect).await;
    assert_eq!(
        whats(&played),
        [
            (What::Changed, format!("POST {address}/open/echo?n=1")),
            (What::NotRecorded, format!("GET {address}/open/nothing")),
            (What::NotMade, format!("GET {address}/open/hello")),
        ]
    );
    // What is asked for once more than it was recorded is not.
    other = recorded.clone();
    let again = other.call.input["requests"][1].clone();
    other.call.input["requests"].as_array_mut().expect("a list").push(again);
    let played = play("send", &other, Differences::Collect).await;
    assert_eq!(whats(&played), [(What::NotRecorded, format!("GET {address}/open/hello"))]);
    assert!(played.differences[0].how[0].contains("all that were recorded have been made"), "{played:?}");
    // An answer that differs makes another outcome.
    other = recorded;
    if let Exchanged::Http { answer: HttpAnswer::Response { status, .. }, .. } = &mut other.exchanges[1] {
        *status = 201;
    }
    let played = play("send", &other, Differences::End).await;
    assert_eq!(whats(&played), [(What::Outcome, "the outcome".to_owned())]);
    assert_eq!(played.differences[0].how, ["it/done/1/status was 200 and is 201"]);
    assert_eq!(server.seen().len(), seen, "nobody was asked");
}

#[tokio::test]
async fn clocks_and_randomness_say_the_same_again() {
    let server = Server::start().await;
    let (recorded, output) = record("send-time", given(&server, json!({}), json!({}))).await;
    assert!(!recorded.clocks.wall.is_empty() && !recorded.clocks.monotonic.is_empty());
    let played = play("send-time", &recorded, Differences::End).await;
    assert_eq!((played.differences, played.outcome), (Vec::new(), RecordedOutcome::Done(output.clone())));
    // Recorded calls are no less random than others.
    let (again, other) = record("send-time", given(&server, json!({}), json!({}))).await;
    assert_ne!((&again.seed, &other), (&recorded.seed, &output));
}

#[tokio::test]
async fn no_recording_holds_a_credential_in_any_form() {
    const SECRET: &str = "t4pe-s3cret/with+signs";
    let server = Server::start().await;
    world().await.secrets.set("TAPE_SECRET", SECRET);
    for authentication in [
        json!({"type": "bearer", "token": "env:TAPE_SECRET"}),
        json!({"type": "basic", "username": "bot", "password": "env:TAPE_SECRET"}),
        json!({"type": "header", "header": "x-api-key", "value": "env:TAPE_SECRET"}),
    ] {
        // It gets hold of the credential in every form that the server sends, and would send it on.
        let fishing = given(&server, json!({"authentication": authentication}), json!({}));
        let (fished, _) = record("credential-fishing", fishing).await;
        // It has guessed the credential, and sends it in all places.
        let known = json!({"requests": [{
            "method": "POST", "path": format!("/open/echo?key={}", "t4pe-s3cret%2Fwith%2Bsigns"),
            "headers": {"x-mine": SECRET}, "body": format!("{{\"token\": \"{SECRET}\"}}"),
        }], "also": SECRET});
        let (known, _) = record("send", given(&server, json!({"authentication": authentication}), known)).await;
        let text = serde_json::to_string(&[&fished, &known]).expect("JSON");
        assert!(text.contains("***"), "{text}");
        use base64::Engine as _;
        let base64 = |it: &str| base64::engine::general_purpose::STANDARD_NO_PAD.encode(it);
        for form in [
            SECRET.to_owned(),
            base64(SECRET),
            base64(&format!("bot:{SECRET}")),
            hex::encode(SECRET),
            "t4pe-s3cret%2Fwith%2Bsigns".to_owned(),
            "TAPE_SECRET".to_owned(),
        ] {
            assert!(!text.contains(&form), "{form}: {text}");
        }
    }
}

#[tokio::test]
async fn tools_are_recorded_and_not_run_again() {
    let given = |arguments: Value| Given {
        input: json!({"arguments": arguments, "role": "cluster", "file": "values.yaml"}),
        tape: Tape::Record,
        ..Given::default()
    };
    for (arguments, end) in [
        (json!(["echo", "web"]), Some(Ok(0))),
        (json!(["fail"]), Some(Ok(7))),
        (json!(["die"]), Some(Err("signal 15".to_owned()))),
        (json!(["leak"]), Some(Ok(0))),
        (json!(["nothing"]), None),
    ] {
        let mut report = run_given(tool(json!({})), given(arguments.clone())).await;
        let recorded = report.recorded.take().expect("it was to be recorded");
        let Exchanged::Tool { command, ran } = &recorded.exchanges[0] else { panic!("{recorded:?}") };
        assert_eq!(command.stdin, Some(Content::Text("standard input".to_owned())));
        match (end, ran) {
            (Some(expected), ToolRan::Ended { end, .. }) => assert_eq!(*end, expected, "{arguments}"),
            (None, ToolRan::Denied(_)) => {}
            (_, other) => panic!("{arguments}: {other:?}"),
        }
        let text = serde_json::to_string(&recorded).expect("JSON");
        assert!(!text.contains("kub3") && !text.contains("a3ViMy1zM2NyZXQtdG9rZW4"), "{text}");
        let played = play("run-tool", &recorded, Differences::End).await;
        assert_eq!(played.differences, Vec::new(), "{arguments}");
        assert_eq!(played.outcome, recorded.outcome, "{arguments}");
    }
    // The program is not there, and nobody misses it; with another argument it is told what was recorded.
    let mut report = run_given(tool(json!({})), given(json!(["echo", "web"]))).await;
    let mut recorded = report.recorded.take().expect("it was to be recorded");
    recorded.call.input["arguments"] = json!(["echo", "api"]);
    let played = play("run-tool", &recorded, Differences::End).await;
    assert_eq!(whats(&played)[0], (What::NotRecorded, "tool helm echo api".to_owned()));
}

#[tokio::test]
async fn checkpoints_callbacks_and_waits_are_played_too() {
    let host = Arc::new(Recorder::default());
    let fresh = Given { host: host.clone(), ..Given::default() };
    let (first, _) = record("remember", fresh).await;
    assert!(matches!(&first.exchanges[..], [Exchanged::Checkpoint { .. }]), "{first:?}");
    let again = Given { host, attempt: 2, ..Given::default() };
    let (second, output) = record("remember", again).await;
    assert!(matches!(&second.exchanges[..], [Exchanged::Known { .. }]), "{second:?}");
    assert_eq!(output, json!({"recorded": "answer"}));
    let (waiting, _) = record_suspension("wait-for-callback").await;
    assert!(matches!(&waiting.exchanges[..], [Exchanged::Callback { .. }]), "{waiting:?}");
    for (action, recorded) in [("remember", &first), ("remember", &second), ("wait-for-callback", &waiting)] {
        let played = play(action, recorded, Differences::End).await;
        assert_eq!(played.differences, Vec::new(), "{action}");
    }
    let resume = Given {
        kind: CallKind::Resume { state: vec![0xff, 0xfe], wake: Wake::Timer },
        operation: Operation::Rollback,
        output: Some(json!({"b": 2})),
        input: json!({"a": 1}),
        ..Given::default()
    };
    let (whole, output) = record("whole-call", resume).await;
    assert_eq!(whole.call.state, Some(Content::Bytes { base64: "//4=".to_owned() }));
    let played = play("whole-call", &whole, Differences::End).await;
    assert_eq!((played.differences, played.outcome), (Vec::new(), RecordedOutcome::Done(output)));
}

async fn record_suspension(action: &str) -> (RecordedCall, ()) {
    let mut report = call(action, Given { tape: Tape::Record, ..Given::default() }).await;
    (*report.recorded.take().expect("it was to be recorded"), ())
}

#[tokio::test]
async fn what_is_not_whole_is_not_played() {
    let server = Server::start().await;
    let body = "x".repeat(RECORDED_BYTES_MAX + 1);
    let large = json!({"requests": [{"method": "POST", "path": "/open/nowhere", "body": body}]});
    let (recorded, _) = record("send", given(&server, json!({}), large)).await;
    assert_eq!(recorded.incomplete, Some(format!("it moved more than {RECORDED_BYTES_MAX} bytes")));
    let played = play("send", &recorded, Differences::End).await;
    assert_eq!(whats(&played)[0].0, What::Refused);
    let (mut recorded, _) = record("noop", Given::default()).await;
    recorded.function = "begin".to_owned();
    let played = play("noop", &recorded, Differences::End).await;
    assert_eq!(played.differences[0].how, ["`begin` is no function of plugins"]);
}

#[test]
fn files_that_are_no_cassettes_are_refused() {
    for (text, says) in [
        ("", "it is no cassette"),
        ("[]", "it has no `cassette`"),
        (r#"{"cassette": 2}"#, "it is of version 2"),
        (r#"{"cassette": 1}"#, "missing field"),
        (
            r#"{"cassette": 1, "plugin": "a", "component": "", "action": "a", "release": "r", "step": "s", "operation": "start", "attempt": 1, "calls": []}"#,
            "it has no calls",
        ),
    ] {
        let error = Cassette::parse(text.as_bytes()).expect_err(says).to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
    assert!(matches!(Cassette::parse(b"{\"cassette\": 7}"), Err(CassetteError::Version(7))));
}
