//! The example's own test; what it does as a component is tested with those of the other languages.

use serde_json::json;
use windlass_sdk::testing::{MockHost, Reply, TestStep};

#[test]
fn a_job_is_submitted_once_and_waited_for() {
    let host = MockHost::new().connection("jobs", "https://jobs.test/v1");
    host.reply("POST /jobs", Reply::json(201, json!({ "id": "j-1", "state": "queued" })));
    host.reply("GET /jobs/j-1", Reply::status(503));
    let done = json!({ "id": "j-1", "state": "done", "artifact": "https://jobs.test/a", "seconds": 4 });
    host.reply("GET /jobs/j-1", Reply::json(200, done));
    let step = TestStep::new(windlass_plugin_jobs::plugin(), "submit", json!({ "title": "index" }));
    let output = step.run(&host).expect("it ends");
    assert_eq!(output, json!({ "id": "j-1", "artifact": "https://jobs.test/a", "seconds": 4 }));
    step.start(&host).expect("another attempt");
    assert_eq!(host.count("POST /jobs"), 1);
}
