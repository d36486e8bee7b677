//! The plugin against a scripted Jenkins: what it asks, what it makes of the answers.

use serde_json::{Value, json};
use std::time::Duration;
use windlass_plugin_jenkins::plugin;
use windlass_sdk::http::TransportErrorKind;
use windlass_sdk::testing::{MockHost, Reply, TestStep};
use windlass_sdk::{Event, FailureClass, Operation, Outcome, RetryAdvice, Suspension, Wake};

const JOB: &str = "GET /job/team/job/payments/api/json";
const TRIGGER: &str = "POST /job/team/job/payments/buildWithParameters";
const QUEUE: &str = "GET /queue/api/json";
const ITEM: &str = "GET /queue/item/7/api/json";
const BUILD: &str = "GET /job/team/job/payments/12/api/json";
const CONSOLE: &str = "GET /job/team/job/payments/12/logText/progressiveText";
const TESTS: &str = "GET /job/team/job/payments/12/testReport/api/json";

fn jenkins() -> MockHost {
    MockHost::new().connection("jenkins", "https://ci.test/jenkins")
}

fn step(input: Value) -> TestStep {
    TestStep::new(plugin(), "trigger-build", input)
}

fn payments() -> TestStep {
    step(json!({ "job": "team/payments", "parameters": { "VERSION": "1.2.3", "FAST": true } }))
}

fn job(parameters: &[&str]) -> Reply {
    let definitions: Vec<Value> =
        parameters.iter().map(|name| json!({ "name": name, "type": "StringParameterDefinition" })).collect();
    Reply::json(
        200,
        json!({ "_class": "hudson.model.FreeStyleProject", "buildable": true, "property": [{}, { "parameterDefinitions": definitions }] }),
    )
}

fn correlated_job() -> Reply {
    job(&["VERSION", "FAST", "WINDLASS_KEY"])
}

fn triggered() -> Reply {
    Reply::status(201).header("Location", "https://ci.test/jenkins/queue/item/7/")
}

fn waiting() -> Reply {
    Reply::json(
        200,
        json!({ "id": 7, "why": "Waiting for next available executor", "cancelled": false, "executable": null }),
    )
}

fn left_queue() -> Reply {
    Reply::json(
        200,
        json!({ "id": 7, "why": null, "executable": { "number": 12, "url": "https://ci.test/jenkins/job/team/job/payments/12/" } }),
    )
}

fn build(building: bool, result: Option<&str>) -> Reply {
    Reply::json(
        200,
        json!({
            "number": 12, "url": "https://ci.test/jenkins/job/team/job/payments/12/", "building": building, "result": result,
            "timestamp": 1_767_603_600_000_u64, "duration": 4200, "estimatedDuration": 60_000,
            "artifacts": [{ "fileName": "app.jar", "relativePath": "out/my app.jar", "displayPath": "app.jar" }],
            "fingerprint": [{ "fileName": "app.jar", "hash": "d41d8cd98f00b204e9800998ecf8427e" }],
        }),
    )
}

fn console(text: &str, size: usize, more: bool) -> Reply {
    let reply = Reply::text(200, text).header("X-Text-Size", size.to_string());
    if more { reply.header("X-More-Data", "true") } else { reply }
}

fn marked(key: &str) -> Value {
    json!([{}, null, { "parameters": [{ "name": "SECRET" }, { "name": "WINDLASS_KEY", "value": key }] }])
}

fn empty_queue() -> Reply {
    Reply::json(200, json!({ "items": [] }))
}

fn built(result: Option<&str>, key: &str) -> Reply {
    let other = json!({ "number": 13, "url": "https://ci.test/13/", "building": false, "result": "SUCCESS", "actions": marked("other") });
    let build = json!({ "number": 12, "url": "https://ci.test/12/", "building": result.is_none(), "result": result, "actions": marked(key) });
    Reply::json(200, json!({ "builds": [other, build] }))
}

fn suspended(outcome: Outcome<Value, Value>) -> Suspension<Value> {
    match outcome {
        Outcome::Suspended(suspension) => suspension,
        Outcome::Done(output) => panic!("it is done: {output}"),
    }
}

#[test]
fn a_build_is_triggered_and_followed_to_its_report() {
    let host = jenkins();
    host.reply(JOB, correlated_job());
    host.reply(TRIGGER, triggered());
    host.reply(ITEM, waiting());
    host.reply(ITEM, left_queue());
    host.reply(BUILD, build(true, None));
    host.reply(CONSOLE, console("one\ntwo\nthr", 20, true));
    host.reply(BUILD, build(false, Some("SUCCESS")));
    host.reply(TESTS, Reply::json(200, json!({ "passCount": 40, "failCount": 0, "skipCount": 2 })));
    host.reply(CONSOLE, console("ee\nlast", 27, false));

    let output = payments().run(&host).expect("the build succeeds");

    assert_eq!(output["number"], 12);
    assert_eq!(output["result"], "SUCCESS");
    assert_eq!(output["tests"], json!({ "passed": 40, "failed": 0, "skipped": 2 }));
    assert_eq!(output["artifacts"][0]["md5"], "d41d8cd98f00b204e9800998ecf8427e");
    assert_eq!(
        output["artifacts"][0]["url"],
        "https://ci.test/jenkins/job/team/job/payments/12/artifact/out/my%20app.jar"
    );
    let requests = host.requests();
    let trigger = requests.iter().find(|request| request.line() == TRIGGER).expect("it was triggered").form();
    let key = TestStep::key(Operation::Start);
    assert_eq!(
        trigger.into_iter().collect::<Vec<_>>(),
        [
            ("FAST".to_owned(), "true".to_owned()),
            ("VERSION".to_owned(), "1.2.3".to_owned()),
            ("WINDLASS_KEY".to_owned(), key.to_owned()),
        ]
    );
    let offsets: Vec<String> = requests
        .iter()
        .filter(|request| request.line() == CONSOLE)
        .map(|request| request.query["start"].clone())
        .collect();
    assert_eq!(offsets, ["0", "20"]);
    let console: Vec<String> = host
        .log_lines()
        .into_iter()
        .filter(|line| line.fields.iter().any(|(name, _)| name == "source"))
        .map(|line| line.message)
        .collect();
    assert_eq!(console, ["one", "two", "three", "last"]);
    assert_eq!(host.last_percent(), Some(100));
    assert_eq!(host.links()[0].1, "https://ci.test/jenkins/job/team/job/payments/12/");
}

#[test]
fn the_waits_say_what_they_wait_for_and_back_off() {
    let host = jenkins();
    host.reply(JOB, correlated_job());
    host.reply(TRIGGER, triggered());
    host.always(ITEM, waiting());
    let step = payments();
    let mut waits = Vec::new();
    let mut suspension = suspended(step.start(&host).expect("it waits"));
    for _ in 0..8 {
        suspension = suspended(step.resume(&host, &suspension, Event::Timer).expect("it waits"));
        waits.push(match suspension.wakes[..] {
            [Wake::After(wait)] => wait.as_millis(),
            ref other => panic!("{other:?}"),
        });
    }
    assert_eq!(waits, [3_000, 4_500, 6_750, 10_125, 15_000, 15_000, 15_000, 15_000]);
    assert_eq!(suspension.status, "the build of `team/payments` is in the queue: Waiting for next available executor");
}

#[test]
fn what_jenkins_would_drop_in_silence_is_refused() {
    let choice = json!({ "buildable": true, "property": [{ "parameterDefinitions": [{ "name": "STAGE", "choices": ["blue", "green"] }] }] });
    for (input, job, code, message) in [
        (
            json!({ "VERSION": "1", "VERSOIN": "2" }),
            correlated_job(),
            "undeclared-parameter",
            "job `a` does not declare `VERSOIN`; it declares: VERSION, FAST, WINDLASS_KEY",
        ),
        (json!({ "A": "1" }), job(&[]), "undeclared-parameter", "job `a` does not declare `A`; it declares: none"),
        (
            json!({ "STAGE": "red" }),
            Reply::json(200, choice),
            "unknown-choice",
            "parameter `STAGE` of job `a` cannot be `red`; it can be: blue, green",
        ),
        (
            json!({ "WINDLASS_KEY": "1" }),
            correlated_job(),
            "reserved-parameter",
            "`WINDLASS_KEY` gets its value from Windlass; name another `correlation_parameter` to set it yourself",
        ),
        (json!({}), Reply::json(200, json!({ "buildable": false })), "job-disabled", "job `a` is disabled"),
        (
            json!({}),
            Reply::json(200, json!({ "jobs": [] })),
            "not-a-job",
            "`a` is no job that can be built: is it a folder?",
        ),
        (
            json!({}),
            Reply::status(404),
            "job-not-found",
            "there is no job `a`, or the connection's user may not see it",
        ),
    ] {
        let host = jenkins();
        host.reply("GET /job/a/api/json", job);
        let failure = step(json!({ "job": "a", "parameters": input })).run(&host).expect_err(code);
        assert_eq!((failure.code.as_str(), failure.message.as_str()), (code, message));
        assert_eq!(host.requests().len(), 1);
    }
    for name in ["", "/", "a//b", "../a", "a/.."] {
        let failure = step(json!({ "job": name })).run(&jenkins()).expect_err(name);
        assert_eq!(failure.code, "job-name");
    }
}

#[test]
fn a_lost_answer_does_not_make_a_second_build() {
    let host = jenkins();
    host.always(JOB, correlated_job());
    host.reply(TRIGGER, Reply::error(TransportErrorKind::Interrupted));
    let item = json!({ "items": [{ "id": 6, "actions": [] }, { "id": 7, "actions": marked(TestStep::key(Operation::Start)) }] });
    host.reply(QUEUE, Reply::json(200, item));
    let suspension = suspended(payments().start(&host).expect("the build was found"));
    assert_eq!(suspension.state["stage"], json!({ "queued": { "item": 7 } }));
    assert_eq!(host.count(TRIGGER), 1);
}

#[test]
fn a_second_attempt_takes_over_the_build_unless_it_failed() {
    let key = TestStep::key(Operation::Start);
    for (result, triggers) in
        [(None, 0), (Some("SUCCESS"), 0), (Some("FAILURE"), 1), (Some("UNSTABLE"), 1), (Some("ABORTED"), 1)]
    {
        let host = jenkins();
        host.reply(JOB, correlated_job());
        host.reply(JOB, built(result, key));
        host.reply(QUEUE, empty_queue());
        host.always(TRIGGER, triggered());
        let suspension = suspended(payments().attempt(2).start(&host).expect("it goes on"));
        assert_eq!(host.count(TRIGGER), triggers, "{result:?}");
        let expected =
            if triggers == 0 { json!({ "building": { "number": 12 } }) } else { json!({ "queued": { "item": 7 } }) };
        assert_eq!(suspension.state["stage"], expected);
    }
}

#[test]
fn without_a_correlation_parameter_a_lost_answer_waits_for_a_person() {
    let host = jenkins();
    host.always("GET /job/a/api/json", job(&["VERSION"]));
    host.reply("POST /job/a/buildWithParameters", Reply::status(502));
    let failure = step(json!({ "job": "a" })).start(&host).expect_err("the answer is lost");
    assert_eq!(failure.retry, RetryAdvice::Pause);
    assert!(host.log_text().contains("declares no string parameter `WINDLASS_KEY`"));

    let refused = jenkins();
    refused.always("GET /job/a/api/json", job(&["VERSION"]));
    refused.reply("POST /job/a/buildWithParameters", Reply::error(TransportErrorKind::NotConnected));
    let failure = step(json!({ "job": "a" })).start(&refused).expect_err("nothing was sent");
    assert_eq!((failure.class, failure.retry), (FailureClass::Transient, RetryAdvice::ByPolicy));

    let failure = step(json!({ "job": "a" })).find(&host).expect_err("it cannot be found");
    assert_eq!((failure.code.as_str(), failure.retry), ("not-correlated", RetryAdvice::Pause));
}

#[test]
fn find_tells_what_became_of_the_key() {
    let host = jenkins();
    host.reply(JOB, correlated_job());
    host.reply(QUEUE, empty_queue());
    host.reply(JOB, built(Some("FAILURE"), TestStep::key(Operation::Start)));
    let suspension = suspended(payments().find(&host).expect("it looks").expect("it is there"));
    assert_eq!(suspension.state["stage"], json!({ "building": { "number": 12 } }));

    let host = jenkins();
    host.reply(JOB, correlated_job());
    host.reply(QUEUE, empty_queue());
    host.reply(JOB, built(None, "of another step"));
    assert_eq!(payments().find(&host).expect("it looks"), None);
}

#[test]
fn a_forgotten_queue_item_is_found_by_its_key() {
    let host = jenkins();
    host.reply(JOB, correlated_job());
    host.reply(TRIGGER, triggered());
    host.reply(ITEM, Reply::status(404));
    host.reply(QUEUE, empty_queue());
    host.reply(JOB, built(Some("SUCCESS"), TestStep::key(Operation::Start)));
    host.reply(BUILD, build(false, Some("SUCCESS")));
    host.reply(TESTS, Reply::status(404));
    host.reply(CONSOLE, console("", 0, false));
    let output = payments().run(&host).expect("it was found");
    assert_eq!((&output["number"], &output["tests"]), (&json!(12), &Value::Null));

    let host = jenkins();
    host.reply(JOB, correlated_job());
    host.reply(TRIGGER, triggered());
    host.reply(ITEM, Reply::status(404));
    host.reply(QUEUE, empty_queue());
    host.reply(JOB, built(None, "of another step"));
    let failure = payments().run(&host).expect_err("nothing carries the key");
    assert_eq!((failure.code.as_str(), failure.retry), ("queue-item-lost", RetryAdvice::Pause));
}

#[test]
fn bad_results_are_failures_of_their_kind() {
    for (result, input, expected) in [
        ("FAILURE", json!({ "job": "team/payments" }), Some((FailureClass::Rejected, "build-failed"))),
        ("UNSTABLE", json!({ "job": "team/payments" }), Some((FailureClass::Rejected, "build-unstable"))),
        ("UNSTABLE", json!({ "job": "team/payments", "unstable": "accept" }), None),
        ("ABORTED", json!({ "job": "team/payments" }), Some((FailureClass::Canceled, "build-aborted"))),
        ("NOT_BUILT", json!({ "job": "team/payments" }), Some((FailureClass::Rejected, "build-not-built"))),
        ("PURPLE", json!({ "job": "team/payments" }), Some((FailureClass::Internal, "build-result"))),
    ] {
        let host = jenkins();
        host.reply(JOB, correlated_job());
        host.reply(TRIGGER, triggered());
        host.reply(ITEM, left_queue());
        host.reply(BUILD, build(false, Some(result)));
        host.reply(TESTS, Reply::json(200, json!({ "totalCount": 10, "failCount": 3, "skipCount": 1 })));
        host.reply(CONSOLE, console("", 0, false));
        match (step(input).run(&host), expected) {
            (Ok(output), None) => assert_eq!(output["result"], result),
            (Err(failure), Some((class, code))) => {
                assert_eq!((failure.class, failure.code.as_str()), (class, code));
                assert!(result != "FAILURE" || failure.message.contains("3 of 10 tests failed"), "{failure}");
            }
            (other, _) => panic!("{result}: {other:?}"),
        }
    }
    let host = jenkins();
    host.reply(JOB, correlated_job());
    host.reply(TRIGGER, triggered());
    host.reply(ITEM, Reply::json(200, json!({ "id": 7, "cancelled": true })));
    let failure = payments().run(&host).expect_err("somebody removed it");
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Canceled, "queue-item-cancelled"));
}

#[test]
fn a_restarting_jenkins_is_sat_out_but_not_for_ever() {
    let host = jenkins();
    host.reply(JOB, correlated_job());
    host.reply(TRIGGER, triggered());
    host.reply(ITEM, Reply::status(503).header("Retry-After", "60"));
    let step = payments();
    let first = suspended(step.start(&host).expect("it waits"));
    let second = suspended(step.resume(&host, &first, Event::Timer).expect("it sits it out"));
    assert_eq!(second.wakes, [Wake::After(Duration::from_secs(60))]);
    assert_eq!(second.state["stage"], first.state["stage"]);

    host.always(ITEM, Reply::error(TransportErrorKind::NotConnected));
    let failure = step.finish(&host, second).expect_err("at some point it is over");
    assert_eq!(failure.code, "not-connected");
    assert_eq!(host.count(ITEM), 21);
}

#[test]
fn a_crumb_is_fetched_when_jenkins_asks_for_one() {
    let host = jenkins();
    host.reply(JOB, correlated_job());
    host.reply(TRIGGER, Reply::text(403, "<html>No valid crumb was included in the request</html>"));
    host.reply(
        "GET /crumbIssuer/api/json",
        Reply::json(200, json!({ "crumb": "abc", "crumbRequestField": "Jenkins-Crumb" }))
            .header("Set-Cookie", "JSESSIONID=s1; Path=/; HttpOnly"),
    );
    host.reply(TRIGGER, triggered());
    suspended(payments().start(&host).expect("the crumb helps"));
    let last = host.requests().pop().expect("there are requests");
    assert_eq!((last.header("Jenkins-Crumb"), last.header("Cookie")), (Some("abc"), Some("JSESSIONID=s1")));

    let host = jenkins();
    host.reply(JOB, correlated_job());
    host.reply(TRIGGER, Reply::text(403, "anonymous is missing the Job/Build permission"));
    let failure = payments().start(&host).expect_err("no crumb helps here");
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Forbidden, "http-403"));
}

#[test]
fn cancelling_takes_it_out_of_the_queue_or_stops_the_build() {
    let cancel_item = "POST /queue/cancelItem";
    let stop = "POST /job/team/job/payments/12/stop";
    let step = payments();
    let start = |host: &MockHost| {
        host.reply(JOB, correlated_job());
        host.reply(TRIGGER, triggered());
        suspended(step.start(host).expect("it waits"))
    };

    let host = jenkins();
    let queued = start(&host);
    host.reply(cancel_item, Reply::status(204));
    host.reply(ITEM, Reply::json(200, json!({ "id": 7, "cancelled": true })));
    assert_eq!(step.cancel(&host, Some(&queued)).expect("it stops")["stopped"], "queue item");

    // It has left the queue meanwhile: some versions say so with a 500.
    for answer in [302, 500] {
        let host = jenkins();
        let queued = start(&host);
        host.reply(cancel_item, Reply::status(answer));
        host.reply(ITEM, left_queue());
        for _ in 0..3 {
            host.reply(BUILD, build(true, None));
        }
        host.reply(stop, Reply::status(302));
        host.reply(BUILD, build(false, Some("ABORTED")));
        let ended = step.cancel(&host, Some(&queued)).expect("it stops");
        assert_eq!((&ended["stopped"], &ended["result"]), (&json!("build"), &json!("ABORTED")), "{answer}");
        assert_eq!(host.count(stop), 1);
    }

    // The call of `start` was cut off after it triggered: the recorded key finds the build, not the cancel's own.
    let host = jenkins();
    let _ = start(&host);
    host.reply(QUEUE, empty_queue());
    host.reply(JOB, built(None, TestStep::key(Operation::Start)));
    host.reply(BUILD, build(false, Some("ABORTED")));
    assert_eq!(step.cancel(&host, None).expect("it is found")["number"], 12);

    // So was another attempt, after a build that failed: it is that one's build that is stopped.
    let again = payments().start_anew();
    host.reply(JOB, correlated_job());
    host.reply(JOB, built(None, TestStep::key(Operation::Start)));
    host.reply(QUEUE, empty_queue());
    host.reply(TRIGGER, triggered());
    suspended(again.start(&host).expect("it waits"));
    host.reply(QUEUE, empty_queue());
    host.reply(JOB, built(None, &TestStep::start_key(2)));
    host.reply(BUILD, build(false, Some("ABORTED")));
    assert_eq!(again.cancel(&host, None).expect("it is found")["number"], 12);

    // It was cut off before.
    assert_eq!(step.cancel(&jenkins(), None).expect("it ends")["stopped"], "nothing was triggered");

    let host = jenkins();
    let queued = start(&host);
    host.always(cancel_item, Reply::status(204));
    host.always(ITEM, waiting());
    let failure = step.cancel(&host, Some(&queued)).expect_err("it never stops");
    assert_eq!(failure.code, "build-does-not-stop");
}

#[test]
fn a_huge_console_is_cut_with_a_line_that_says_so() {
    let host = jenkins();
    host.reply(JOB, correlated_job());
    host.reply(TRIGGER, triggered());
    host.reply(ITEM, left_queue());
    host.reply(BUILD, build(true, None));
    host.reply(CONSOLE, console("skipped", 50_000_000, true));
    host.reply(BUILD, build(true, None));
    let lines = "a line of the console\n".repeat(20_000);
    host.reply(CONSOLE, console(&lines, 50_440_000, true));
    host.reply(BUILD, build(false, Some("SUCCESS")));
    host.reply(TESTS, Reply::status(404));
    host.reply(CONSOLE, console("", 50_440_000, false));
    payments().run(&host).expect("it succeeds");
    let log = host.log_text();
    assert!(log.contains("… 50000000 bytes of the console are left out here"), "{log:.200}");
    assert!(log.contains(" lines of the console are left out here"));
    assert!(log.len() < 1_000_000);
}

#[test]
fn get_build_reads_one() {
    let host = jenkins();
    host.reply("GET /job/a/lastSuccessfulBuild/api/json", build(false, Some("SUCCESS")));
    host.reply("GET /job/a/12/testReport/api/json", Reply::status(404));
    let step = TestStep::new(plugin(), "get-build", json!({ "job": "a", "build": "last-successful" }));
    assert_eq!(step.run(&host).expect("it reads")["duration_ms"], 4200);
    let failure = {
        host.reply("GET /job/a/99/api/json", Reply::status(404));
        TestStep::new(plugin(), "get-build", json!({ "job": "a", "build": 99 })).run(&host).expect_err("there is none")
    };
    assert_eq!(failure.message, "job `a` has no build `99`");
}
