//! The example's own test; what it does as a component is tested with those of the other languages.

use serde_json::json;
use windlass_sdk::testing::{MockHost, Reply, TestStep};
use windlass_sdk::{Method, Outcome};

fn submit() -> TestStep {
    TestStep::new(windlass_plugin_jobs::plugin(), "submit", json!({ "title": "index" }))
}

#[test]
fn a_job_is_submitted_once_and_waited_for() {
    let host = MockHost::new().connection("jobs", "https://jobs.test/v1");
    host.reply("POST /jobs", Reply::json(201, json!({ "id": "j-1", "state": "queued" })));
    host.reply("GET /jobs/j-1", Reply::status(503));
    let done = json!({ "id": "j-1", "state": "done", "artifact": "https://jobs.test/a", "seconds": 4 });
    host.reply("GET /jobs/j-1", Reply::json(200, done));
    let step = submit();
    let output = step.run(&host).expect("it ends");
    assert_eq!(output, json!({ "id": "j-1", "artifact": "https://jobs.test/a", "seconds": 4 }));
    step.start(&host).expect("another attempt");
    assert_eq!(host.count("POST /jobs"), 1);
}

#[test]
fn all_jobs_are_withdrawn_also_one_whose_answer_got_lost() {
    let host = MockHost::new().connection("jobs", "https://jobs.test/v1");
    host.reply("POST /jobs", Reply::json(201, json!({ "id": "j-1", "state": "queued" })));
    let failed = json!({ "id": "j-1", "state": "failed", "reason": "no room" });
    host.reply("GET /jobs/j-1", Reply::json(200, failed));
    let step = submit();
    assert_eq!(step.run(&host).expect_err("it fails").code, "job-failed");
    // That was an answer: another attempt is another job.
    let again = step.start_anew();
    host.reply("POST /jobs", Reply::status(503));
    assert_eq!(again.run(&host).expect_err("nobody knows").code, "http-503");
    let found = json!({ "jobs": [{ "id": "j-2", "state": "queued" }] });
    host.reply("GET /jobs", Reply::json(200, found));
    host.reply("DELETE /jobs/j-1", Reply::status(404));
    host.reply("DELETE /jobs/j-2", Reply::status(204));
    assert_eq!(again.rollback(&host, None).expect("it goes back"), json!({ "withdrawn": ["j-2"] }));
    let asked =
        host.requests().into_iter().find(|it| it.path == "/jobs" && it.method == Method::Get).expect("it looked");
    assert_eq!(asked.query["key"], TestStep::start_key(2));
}

#[test]
fn a_job_is_found_by_its_key() {
    let host = MockHost::new().connection("jobs", "https://jobs.test/v1");
    host.reply("GET /jobs", Reply::json(200, json!({ "jobs": [] })));
    assert_eq!(submit().find(&host), Ok(None));
    host.reply("GET /jobs", Reply::json(200, json!({ "jobs": [{ "id": "j-7", "state": "running" }] })));
    let Ok(Some(Outcome::Suspended(found))) = submit().find(&host) else { panic!("it is there") };
    assert_eq!(found.state["id"], "j-7");
}
