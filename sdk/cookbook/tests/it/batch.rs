use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};
use windlass_sdk::http::TransportErrorKind;
use windlass_sdk::testing::{MockHost, Reply, SeenRequest, TestStep};
use windlass_sdk::{Event, FailureClass, Method, Operation, Outcome};

use crate::{step, suspended};

/// The gateway: its jobs by number, and how a job that is submitted ends.
#[derive(Default)]
struct Gateway {
    jobs: Vec<Value>,
    ends: Option<i32>,
    log: String,
    loses: bool,
}

fn serve(gateway: &mut Gateway, seen: &SeenRequest) -> Reply {
    let mut segments = seen.path.split('/').skip(2);
    let Some(number) = segments.next().and_then(|it| it.parse::<usize>().ok()) else {
        if seen.method == Method::Get {
            let named: Vec<&Value> = gateway.jobs.iter().filter(|it| it["name"] == seen.query["name"]).collect();
            return Reply::json(200, json!({ "jobs": named }));
        }
        let mut job: Value = seen.json();
        job["number"] = json!(gateway.jobs.len() + 1);
        gateway.jobs.push(job.clone());
        return if gateway.loses { Reply::error(TransportErrorKind::Interrupted) } else { Reply::json(201, job) };
    };
    if segments.next().is_some() {
        let from: usize = seen.query["from"].parse().expect("a number");
        return Reply::text(200, &gateway.log[from..]);
    }
    let job = &mut gateway.jobs[number - 1];
    if seen.method == Method::Delete {
        job["canceled"] = json!(true);
        return Reply::status(202);
    }
    job["exit_code"] = json!(gateway.ends);
    Reply::json(200, job.clone())
}

fn host() -> (MockHost, Rc<RefCell<Gateway>>) {
    let gateway = Rc::new(RefCell::new(Gateway::default()));
    let served = Rc::clone(&gateway);
    let host = MockHost::new().connection("batch", "https://batch.test");
    (host.serve(move |seen| Some(serve(&mut served.borrow_mut(), seen))), gateway)
}

fn run_batch() -> TestStep {
    step("run-batch", json!({ "program": "LOAD", "undo": "UNLOAD" }))
}

#[test]
fn a_job_is_followed_and_its_log_shown_once() {
    let ((host, gateway), step) = (host(), run_batch());
    let waits = suspended(step.start(&host).expect("it runs"));
    gateway.borrow_mut().log = "one\ntwo\nthr".to_owned();
    let waits = suspended(step.resume(&host, &waits, Event::Timer).expect("it runs"));
    assert_eq!((host.log_text().as_str(), host.last_status().as_deref()), ("one\ntwo\n", Some("two")));
    gateway.borrow_mut().log.push_str("ee\n");
    gateway.borrow_mut().ends = Some(4);
    let output = step.finish(&host, waits).expect("it ends");
    assert_eq!(output, json!({ "job": 1, "warnings": true }));
    assert_eq!(host.log_text(), "one\ntwo\nthree\n");
}

#[test]
fn exit_codes_are_failures_of_their_kind() {
    let classes = [
        (8, FailureClass::Rejected),
        (12, FailureClass::Invalid),
        (75, FailureClass::Conflict),
        (137, FailureClass::Internal),
    ];
    for (code, class) in classes {
        let (host, gateway) = host();
        gateway.borrow_mut().ends = Some(code);
        assert_eq!(run_batch().run(&host).expect_err("it failed").class, class, "{code}");
    }
}

#[test]
fn a_job_whose_number_got_lost_is_found_stopped_and_taken_back() {
    let ((host, gateway), step) = (host(), run_batch());
    gateway.borrow_mut().loses = true;
    step.start(&host).expect_err("the answer got lost");
    gateway.borrow_mut().loses = false;
    assert!(matches!(step.find(&host), Ok(Some(Outcome::Suspended(_)))));
    assert_eq!(step.cancel(&host, None).expect("it stops"), json!({ "stopped": true, "job": 1 }));
    gateway.borrow_mut().ends = Some(0);
    assert_eq!(step.rollback(&host, None).expect("it is undone"), json!({ "undone": true, "job": 2 }));
    let gateway = gateway.borrow();
    assert_eq!((&gateway.jobs[0]["program"], &gateway.jobs[1]["program"]), (&json!("LOAD"), &json!("UNLOAD")));
    assert_eq!(gateway.jobs[1]["name"], TestStep::key(Operation::Rollback));
}

#[test]
fn what_was_never_submitted_is_neither_stopped_nor_taken_back() {
    let (host, gateway) = host();
    assert_eq!(run_batch().cancel(&host, None).expect("nothing"), json!({ "stopped": false }));
    assert_eq!(run_batch().rollback(&host, None).expect("nothing"), json!({ "undone": false }));
    assert!(gateway.borrow().jobs.is_empty());
}

#[test]
fn taking_back_is_submitted_once() {
    let ((host, gateway), step) = (host(), run_batch());
    gateway.borrow_mut().ends = Some(0);
    let output = step.run(&host).expect("it ends");
    gateway.borrow_mut().loses = true;
    step.rollback(&host, Some(&output)).expect_err("the answer got lost");
    step.rollback(&host, Some(&output)).expect("it is found and followed");
    assert_eq!(gateway.borrow().jobs.len(), 2);
}
