//! What is below `/_sim`: the part of a simulator which its real counterpart does not have.
//!
//! **Invariant:** nothing here needs a credential, and no fault reaches it. It is for tests and the demo, on
//! loopback.

use crate::fault::Fault;
use crate::http::{Reply, Request};
use crate::jenkins::JobConfiguration;
use crate::servicenow::ApprovalAnswer;
use crate::simulator::{Shared, Vendor};
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;

/// One thing or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    Many(Vec<T>),
    One(T),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            OneOrMany::Many(many) => many,
            OneOrMany::One(one) => vec![one],
        }
    }
}

/// Answers a request below `/_sim`.
pub(crate) fn answer(shared: &Shared, request: &Request, now_ms: i64) -> Reply {
    let mut state = shared.lock();
    state.advance(now_ms);
    let state = &mut *state;
    let parts = request.parts();
    match (request.method.as_str(), &parts[1..]) {
        ("GET", []) => ok(json!({
            "simulated": true,
            "kind": shared.kind,
            "url": shared.url,
            "pid": std::process::id(),
        })),
        ("GET", ["effects"]) => ok(json!(state.effects.all())),
        ("GET", ["requests"]) => ok(json!(state.requests)),
        ("GET", ["faults"]) => ok(state.faults.to_json()),
        ("DELETE", ["faults"]) => {
            state.faults.clear();
            ok(state.faults.to_json())
        }
        ("POST", ["faults"]) => match request.json::<OneOrMany<Fault>>() {
            Ok(faults) => {
                state.faults.order(faults.into_vec());
                ok(state.faults.to_json())
            }
            Err(error) => bad_request(&format!("not a list of faults: {error}")),
        },
        ("POST", ["shutdown"]) => {
            shared.stop.send_replace(true);
            ok(json!({ "stopping": true })).with("connection", "close")
        }
        (method, rest) => match (&mut state.vendor, method, rest) {
            (Vendor::Jenkins(jenkins), "POST", ["jobs"]) => match request.json::<OneOrMany<JobConfiguration>>() {
                Ok(jobs) => {
                    for job in jobs.into_vec() {
                        jenkins.configure(job);
                    }
                    ok(json!(jenkins.configurations()))
                }
                Err(error) => bad_request(&format!("not a job: {error}")),
            },
            (Vendor::Jenkins(jenkins), "GET", ["jobs"]) => ok(json!(jenkins.configurations())),
            (Vendor::ServiceNow(servicenow), "POST", ["approve"]) => match request.json::<ApprovalAnswer>() {
                Ok(answer) => match servicenow.approve(&answer, now_ms, &mut state.effects) {
                    Ok(answered) => ok(answered),
                    Err(message) => Reply::json(StatusCode::CONFLICT, &json!({ "error": message })),
                },
                Err(error) => bad_request(&format!("not an answer to an approval: {error}")),
            },
            (Vendor::ServiceNow(servicenow), "POST", ["expire-tokens"]) => {
                ok(json!({ "expired": servicenow.expire_tokens() }))
            }
            (Vendor::Echo(echo), "POST", ["health"]) => match echo.set_health(request) {
                Ok(status) => ok(json!({ "status": status })),
                Err(error) => bad_request(&error),
            },
            _ => Reply::json(StatusCode::NOT_FOUND, &json!({ "error": "no such simulator control" })),
        },
    }
}

fn ok(value: serde_json::Value) -> Reply {
    Reply::json(StatusCode::OK, &value)
}

fn bad_request(message: &str) -> Reply {
    Reply::json(StatusCode::BAD_REQUEST, &json!({ "error": message }))
}
