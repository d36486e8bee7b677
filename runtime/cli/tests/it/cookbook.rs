//! The recipes of `sdk/cookbook` as a component, against services that behave as such services do.

mod api;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};

use self::api::{Api, World};
use crate::support::{Site, WINDLASS};

/// The component, built once.
pub(crate) fn cookbook() -> &'static str {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let file = BUILT.get_or_init(|| {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cookbook");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/cookbook");
        let mut command = std::process::Command::new(WINDLASS);
        let built = command.args(["--json", "plugin", "build"]).arg(folder).arg("--out").arg(&out).output();
        let built = built.expect("windlass starts");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let built: Value = serde_json::from_slice(&built.stdout).expect("JSON");
        PathBuf::from(built[0]["file"].as_str().expect("a file"))
    });
    file.to_str().expect("UTF-8")
}

/// Runs an action with its roles bound to the services.
fn run(site: &Site, action: &str, input: &Value, roles: &[(&str, &str)], more: &[&str]) -> Value {
    let (input, roles) = (input.to_string(), roles.iter().map(|(role, url)| format!("{role}={url}")));
    let roles: Vec<String> = roles.collect();
    let mut arguments = vec!["--json", "plugin", "run", cookbook(), action, "--with", &input];
    for role in &roles {
        arguments.extend(["--connection", role]);
    }
    arguments.extend(more);
    site.good(&arguments).json()
}

#[test]
fn polling() {
    let running = json!({ "state": "running" });
    let api = Api::start(World {
        exports: vec![
            (200, Some(1), running.clone()),
            (503, None, json!({})),
            (200, None, running),
            (200, None, json!({ "state": "done", "rows": 7 })),
        ],
        ..World::default()
    });
    let input = json!({ "export": "e 1", "first_wait": "1ms" });
    let ran = run(&Site::empty(), "wait-for-export", &input, &[("exports", &api.url)], &[]);
    assert_eq!(ran["output"], json!({ "rows": 7 }), "{ran}");
    assert_eq!(api.count("GET /exports/e%201"), 4);
    let waits: Vec<&Value> = ran["happened"].as_array().into_iter().flatten().collect();
    let waits: Vec<&Value> = waits.iter().filter(|it| it["happened"] == "suspended").map(|it| &it["wakes"]).collect();
    assert_eq!(waits.len(), 3, "{ran}");
    assert!(waits[0].to_string().contains("1000") || waits[0].to_string().contains("1s"), "{}", waits[0]);
}

#[test]
fn callback() {
    let api = Api::start(World::default());
    let roles = [("ci", api.url.as_str())];
    let ran = run(&Site::empty(), "build", &json!({ "branch": "main" }), &roles, &["--callbacks", "127.0.0.1:0"]);
    assert_eq!(ran["output"], json!({ "number": 12, "digest": "sha256:12" }), "{ran}");
    // By the call: the safety net is ten minutes away.
    assert!(ran["happened"].to_string().contains("resume, by a callback"), "{ran}");
}

#[test]
fn upload() {
    let file: Vec<u8> = (0..300_000_u32).flat_map(|it| it.to_le_bytes()).collect();
    let api = Api::start(World { file: file.clone(), patch_lost: 2, ..World::default() });
    let input = json!({ "file": "app.tar", "piece_bytes": 262_144 });
    let ran = run(&Site::empty(), "upload", &input, &[("store", &api.url), ("target", &api.url)], &[]);
    assert_eq!(ran["output"], json!({ "upload": "u-1", "bytes": file.len() }), "{ran}");
    assert!(api.world().uploaded == file, "what arrived is another file");
    assert_eq!((api.count("POST /uploads"), api.count("PATCH /uploads/u-1")), (1, 5));
    assert_eq!(ran["usage"]["calls"], 3, "two pieces each: {ran}");
}

#[test]
fn pagination() {
    let (api, site) = (Api::start(World::default()), Site::empty());
    let linked = format!("{}/linked", api.url);
    for (action, role, url) in [("list-by-cursor", "tracker", &api.url), ("list-by-link", "forge", &linked)] {
        let ran = run(&site, action, &json!({}), &[(role, url)], &[]);
        assert_eq!(ran["output"], json!({ "issues": [1, 2, 3], "complete": true }), "{action}: {ran}");
    }
}

const BALANCE: &str = "windlass: v1
workflow: balance
steps:
  read: { uses: cookbook/read-balance@^0.1, connection: ledger, with: { account: '7' }, on_failure: fail }
outputs:
  balance: ${{ steps.read.output.balance }}
";

#[test]
fn oauth() {
    let (api, site) = (Api::start(World::default()), Site::empty());
    site.good(&["plugin", "install", cookbook()]);
    site.write("client-secret", "c1ient-s3cret\n");
    let secret = format!("file:{}", site.path("client-secret").display());
    let token_url = format!("{}/token", api.url);
    let ledger = ["connection", "add", "ledger", "--url", &api.url, "--private-network", "--auth", "oauth2"];
    let client = ["--token-url", &token_url, "--client-id", "windlass", "--client-secret", &secret, "--scope", "read"];
    site.good(&[&ledger[..], &client].concat());
    site.write("balance.yaml", BALANCE);
    let ran = site.json(&["run", "balance.yaml"]);
    assert_eq!(ran["outputs"], json!({ "balance": 250 }), "{ran}");
    // Its token was refused once; the host fetched another and sent the request again.
    assert_eq!((api.count("GET /accounts/7"), api.world().tokens), (2, 2));
    for told in [&["release", "show", "balance-1"][..], &["release", "logs", "balance-1", "--requests"]] {
        let told = site.good(&[&["--json"], told].concat()).stdout;
        assert!(!told.contains("t0ken") && !told.contains("s3cret"), "{told}");
    }
}

#[test]
fn no_keys() {
    let (api, site) = (Api::start(World::default()), Site::empty());
    let roles = [("desk", api.url.as_str())];
    let input = json!({ "title": "Index is slow" });
    let ran = run(&site, "open-ticket", &input, &roles, &["--save", "step.json"]);
    assert_eq!(ran["output"], json!({ "ticket": 1 }), "{ran}");
    assert_eq!((api.count("POST /tickets"), api.world().tickets.len()), (1, 1));
    let role = format!("desk={}", api.url);
    let find = ["plugin", "run", cookbook(), "--resume", "step.json", "--find", "--connection", &role];
    let found = site.json(&find);
    assert_eq!(found["output"], json!({ "ticket": 1 }), "{found}");
}

#[test]
fn batch_is_followed_and_taken_back() {
    let (api, site) = (Api::start(World { exit_codes: vec![Some(0), Some(0)], ..World::default() }), Site::empty());
    let input = json!({ "program": "LOAD", "undo": "UNLOAD" });
    let ran = run(&site, "run-batch", &input, &[("batch", &api.url)], &["--then-rollback"]);
    assert_eq!(ran["rolled_back"], json!({ "undone": true, "job": 2 }), "{ran}");
    let programs: Vec<Value> = api.world().jobs.iter().map(|it| it["program"].clone()).collect();
    assert_eq!(programs, ["LOAD", "UNLOAD"]);
    let lines = ran["happened"].as_array().into_iter().flatten().filter(|it| it["happened"] == "log");
    let lines: Vec<&str> = lines.filter_map(|it| it["message"].as_str()).collect();
    assert_eq!(lines, ["reading", "1000 rows", "done"]);
}

#[test]
fn batch_is_stopped() {
    let (api, site) = (Api::start(World::default()), Site::empty());
    let input = json!({ "program": "LOAD", "undo": "UNLOAD" });
    run(&site, "run-batch", &input, &[("batch", &api.url)], &["--no-wait", "--save", "step.json"]);
    let role = format!("batch={}", api.url);
    let stop = ["plugin", "run", cookbook(), "--resume", "step.json", "--cancel", "--connection", &role];
    let stopped = site.json(&stop);
    assert_eq!(stopped["output"], json!({ "stopped": true, "job": 1 }), "{stopped}");
    assert_eq!(api.count("DELETE /jobs/1"), 1);
}

const NIGHTLY: &str = "windlass: v1
workflow: nightly
steps:
  load:
    uses: cookbook/run-batch@^0.1
    connection: batch
    with: { program: LOAD, undo: UNLOAD }
    retry: { attempts: 2, backoff: 10ms, on: [conflict] }
    on_failure: fail
outputs:
  job: ${{ steps.load.output.job }}
";

#[test]
fn a_batch_job_that_says_try_again_is_another_job() {
    let api = Api::start(World { exit_codes: vec![Some(75), Some(4)], ..World::default() });
    let site = Site::empty();
    site.good(&["plugin", "install", cookbook()]);
    site.good(&["connection", "add", "batch", "--url", &api.url, "--private-network"]);
    site.write("nightly.yaml", NIGHTLY);
    let ran = site.json(&["run", "nightly.yaml"]);
    assert_eq!(ran["outputs"], json!({ "job": 2 }), "{ran}");
    let jobs = api.world().jobs.clone();
    assert_eq!(jobs.len(), 2);
    assert_ne!(jobs[0]["name"], jobs[1]["name"], "another logical call");
}
