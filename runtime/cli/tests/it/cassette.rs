//! Releases that are recorded, and their attempts played again where nothing is.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::release::{Deployment, payments};
use crate::support::{PASSWORD, Service, Site, component};

fn path(file: &Path) -> &str {
    file.to_str().expect("text")
}

fn read(site: &Site, name: &str) -> String {
    std::fs::read_to_string(site.folder().join(name)).expect("a file")
}

#[test]
fn an_attempt_becomes_a_test_that_needs_nobody() {
    let (site, counterparts) = payments(Deployment::Succeeds, 0, 0);
    let run = ["run", "payments.yaml", "--param", "version=1.2.3", "--record", "--detach"];
    let mut serve = site.serve();
    site.good(&run);
    site.until("payments-1", "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    // One that nobody asked to record is not.
    site.good(&[&run[..4], &["--detach"]].concat());
    site.until("payments-2", "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    assert!(!site.state().join("logs/payments-2.recorded").exists());
    let refused = site.run(&["plugin", "test", "--from-release", "payments-2", "--step", "build"]);
    assert!(refused.code == Some(2) && refused.stderr.contains("`windlass run --record` records"), "{refused:?}");
    let refused = site.run(&["plugin", "test", "--from-release", "payments-1", "--step", "deploy"]);
    assert!(refused.stderr.contains("recorded are: build (start, attempt 1), change"), "{refused:?}");
    // The record says so, so the process after this one records, too.
    serve.kill_9();
    let serve = site.serve();
    site.good(&["release", "approve", "payments-1", "--as", "ana"]);
    site.ended("payments-1");
    for step in ["build", "change", "deploy"] {
        site.good(&["plugin", "test", "--from-release", "payments-1", "--step", step]);
    }
    site.good(&["release", "cancel", "payments-2", "--reason", "enough"]);
    site.ended("payments-2");
    drop(serve);
    drop(counterparts);
    let build = read(&site, "payments-1-build.cassette.json");
    let cassette: Value = serde_json::from_str(&build).expect("JSON");
    assert_eq!((&cassette["cassette"], &cassette["action"]), (&json!(1), &json!("trigger-build")));
    let calls = cassette["calls"].as_array().expect("calls");
    assert!(calls.len() > 1 && calls[0]["function"] == "start" && calls[1]["function"] == "resume", "{build}");
    for step in ["build", "change", "deploy"] {
        let text = read(&site, &format!("payments-1-{step}.cassette.json"));
        assert!(!text.contains(PASSWORD) && !text.contains("access_token") && !text.contains("wcb_"), "{text}");
    }
    // Nobody is there any more.
    let (jenkins, servicenow) = (component("jenkins"), component("servicenow"));
    for (step, plugin) in [("build", &jenkins), ("change", &servicenow), ("deploy", &jenkins)] {
        let played = site.good(&["plugin", "replay", &format!("payments-1-{step}.cassette.json"), path(plugin)]);
        assert!(played.stdout.starts_with('✔'), "{played:?}");
    }
    let all = site.json(&["plugin", "replay", "--old", "jenkins", "--new", path(&jenkins)]);
    assert_eq!((&all["same"], all["attempts"].as_array().map(Vec::len)), (&json!(true), Some(2)), "{all}");

    // What is asked for in another way is told, with the place.
    let changed = build.replace("1.2.3", "1.2.4").replacen("1.2.4", "1.2.3", 1);
    site.write("changed.json", &changed);
    let played = site.run(&["plugin", "replay", "changed.json", path(&jenkins)]);
    assert_eq!(played.code, Some(1), "{played:?}");
    assert!(
        played.stdout.contains("✘ payments-1  build") && played.stdout.contains("call 1 (start): POST"),
        "{played:?}"
    );
    let recorded = read(&site, "state/logs/payments-1.recorded").replace("/job/deploy/", "/job/undeploy/");
    site.write("state/logs/payments-1.recorded", &recorded);
    let all = site.run(&["plugin", "replay", "--old", path(&jenkins), "--new", path(&jenkins)]);
    assert_eq!(all.code, Some(1), "{all:?}");
    assert!(all.stdout.contains("✔ payments-1  build") && all.stdout.contains("✘ payments-1  deploy"), "{all:?}");
    assert!(all.stdout.contains("is not in the recording, and was not answered"), "{all:?}");
    // What cannot be played is said.
    for (arguments, says) in [
        (vec!["changed.json", "changed.json"], "is no plugin that can be played"),
        (vec!["payments.yaml", path(&jenkins)], "it is no cassette"),
        (vec!["--old", "nothing", "--new", path(&jenkins)], "neither a file nor an installed plugin"),
        (vec!["--old", "helm", "--new", path(&jenkins)], "no attempt of helm"),
    ] {
        let refused = site.run(&[&["plugin", "replay"], &arguments[..]].concat());
        assert!(refused.code == Some(2) && refused.stderr.contains(says), "{says}: {refused:?}");
    }
    // It goes with its release.
    site.good(&["store", "archive", "--older-than", "0s"]);
    site.good(&["store", "expire", "--older-than", "1ms"]);
    assert!(!site.state().join("logs/payments-1.recorded").exists());
}

const OUTER: &str = r"windlass: v1
workflow: fleet
steps:
  deploy: { uses: ./deploy.yaml, with: { region: eu } }
";

const DEPLOY: &str = r"windlass: v1
workflow: deploy
parameters:
  region: { type: string }
steps:
  install:
    uses: http/get@^0.1
    connection: service
    with: { path: '/install/${{ parameters.region }}' }
    on_failure: fail
";

#[test]
fn recordings_stand_in_for_systems_and_what_they_have_not_fails() {
    let service = Service::start();
    let site = Site::new();
    site.write("deploy.yaml", DEPLOY);
    site.good(&["connection", "add", "service", "--url", &service.url, "--private-network"]);
    service.answers("/install/eu", 200, r#"{"done": "really"}"#);
    site.good(&["run", "deploy.yaml", "--param", "region=eu", "--record"]);
    std::fs::create_dir(site.folder().join("tapes")).expect("a folder");
    let refused = site.run(&["serve", "--recordings", "tapes"]);
    assert!(refused.code == Some(2) && refused.stderr.contains("tapes holds no cassettes"), "{refused:?}");
    site.good(&["plugin", "test", "--from-release", "deploy-1", "--step", "install", "--out", "tapes/install.json"]);
    let _serve = site.start(&["serve", "--recordings", "tapes"]);
    // Asked once, answered as often as somebody asks.
    for number in [2, 3] {
        site.good(&["run", "deploy.yaml", "--param", "region=eu", "--detach"]);
        let view = site.ended(&format!("deploy-{number}"));
        assert_eq!(view.steps[0].output["json"], json!({"done": "really"}), "{view:#?}");
    }
    site.good(&["run", "deploy.yaml", "--param", "region=us", "--detach"]);
    let view = site.ended("deploy-4");
    let error = view.steps[0].error.as_ref().expect("it failed");
    assert_eq!(error.code, "not-recorded");
    assert!(error.message.contains("/install/us is not in the recording"), "{error}");
    assert_eq!((service.asked("/install/eu"), service.asked("/install/us")), (1, 0));
}

#[test]
fn what_runs_inside_is_recorded_too() {
    let service = Service::start();
    let site = Site::new();
    site.write("fleet.yaml", OUTER);
    site.write("deploy.yaml", DEPLOY);
    site.good(&["connection", "add", "service", "--url", &service.url, "--private-network"]);
    service.answers("/install/eu", 200, r#"{"done": true}"#);
    site.good(&["run", "fleet.yaml", "--record"]);
    site.good(&["plugin", "test", "--from-release", "deploy-1", "--step", "install", "--out", "install.json"]);
    let http = component("http");
    site.good(&["plugin", "replay", "install.json", path(&http)]);
    assert_eq!(service.asked("/install/eu"), 1);
}
