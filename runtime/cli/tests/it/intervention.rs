//! What people may ask of a release, by the command.

use serde_json::Value;
use windlass_server::view::ReleaseView;

use crate::support::release::{Deployment, payments};
use crate::support::{Process, Service, Site};

const WORKFLOW: &str = r"windlass: v1
workflow: asking
steps:
  first:
    uses: http/get@^0.1
    connection: service
    with: { path: /first }
    retry: { attempts: 1 }
  second:
    needs: [first]
    uses: http/get@^0.1
    connection: service
    with: { path: '/second/${{ steps.first.output.json.next }}' }
    retry: { attempts: 1 }
    on_failure: fail
    mandatory: true
outputs:
  second: ${{ steps.second.output.text }}
";

fn site(service: &Service) -> Site {
    let site = Site::new();
    site.write("asking.yaml", WORKFLOW);
    site.good(&["connection", "add", "service", "--url", &service.url, "--private-network"]);
    site
}

fn refused(site: &Site, arguments: &[&str], says: &str) {
    let ran = site.run(arguments);
    assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
    assert!(ran.stderr.contains(says), "{arguments:?}: {ran:?}");
}

const BY_HAND: &str = r#"{"status": 200, "headers": {}, "json": {"next": "by-hand"}, "text": null, "latency_ms": 0}"#;

#[test]
fn a_paused_step_is_skipped_with_an_output_that_fits() {
    let service = Service::start();
    service.answers("/second/by-hand", 200, "the end");
    let site = site(&service);
    let _serve = site.serve();
    site.good(&["run", "asking.yaml", "--detach"]);
    site.until("asking-1", "it pauses", |it| it.state == "paused");

    let skip = |more: &[&'static str]| [&["release", "skip", "asking-1", "--reason", "by hand"], more].concat();
    refused(&site, &skip(&["--step", "first"]), "second uses a part of its output: say what it is to be");
    refused(&site, &skip(&["--step", "first", "--output", "{"]), "this is no JSON");
    refused(&site, &skip(&["--step", "first", "--output", r#"{"status": "fine"}"#]), "is not what `http/get` gives");
    refused(&site, &skip(&["--step", "second"]), "step `second` is mandatory in this workflow");
    refused(&site, &skip(&["--step", "third"]), "the release has no step `third`; its steps are first, second");
    let with = |version: &'static str| {
        ["release", "retry", "asking-1", "--plugin-version", version, "--reason", "the other one may know it"]
    };
    refused(&site, &with("9.9.9"), "step `first` cannot go on with version 9.9.9: installed of plugin `http` are 0.1");
    refused(&site, &with("newest"), "installed of plugin `http` are 0.1");
    let version = site.show("asking-1").expect("a release").steps[0].version.clone();
    let same: &'static str = version.leak();
    site.good(&with(same));
    site.until("asking-1", "it pauses again", |it| it.state == "paused");
    site.good(&skip(&["--step", "first", "--output", BY_HAND]));

    let view = site.ended("asking-1");
    assert!(view.succeeded, "{view:#?}");
    assert_eq!(view.outputs["second"], Value::from("the end"));
    let shown = site.good(&["release", "show", "asking-1"]).stdout;
    assert!(shown.contains("asked to skip first: by hand"), "{shown}");
    refused(&site, &skip(&["--step", "first"]), "steps can be skipped while the release runs");
}

#[test]
fn a_failed_release_goes_on_where_it_failed_and_a_pause_holds_it() {
    let service = Service::start();
    service.answers("/first", 200, r#"{"next": "1"}"#);
    let site = site(&service);
    let mut serve = site.serve();
    site.good(&["run", "asking.yaml", "--detach"]);
    assert_eq!(site.ended("asking-1").state, "failed");

    service.answers("/second/2", 200, "the end");
    let rerun = ["release", "rerun", "asking-1", "--step", "second", "--reason", "the service is back"];
    site.good(&rerun);
    assert_eq!(site.ended("asking-1").state, "failed", "it asked for the same again, and that is still not there");

    // While nothing runs, a person corrects what the first step gave, and the next process goes on with that.
    serve.stop();
    refused(
        &site,
        &["release", "set-output", "asking-1", "--step", "first", "--output", "{}", "--reason", "x"],
        "is not what",
    );
    let _serve = site.serve();
    service.answers("/first", 200, r#"{"next": "2"}"#);
    site.good(&["release", "rerun", "asking-1", "--step", "first", "--reason", "it had said the wrong thing"]);
    let view = site.ended("asking-1");
    assert!(view.succeeded, "{view:#?}");
    refused(&site, &rerun, "steps can run again while the release runs, and after it failed or was canceled");

    site.good(&["run", "asking.yaml", "--detach"]);
    site.ended("asking-2");
    refused(&site, &["release", "pause", "asking-2", "--reason", "x"], "a release can be paused while it runs");
}

#[test]
fn a_pause_survives_the_process() {
    let service = Service::start();
    let site = site(&service);
    let mut serve = site.serve();
    site.good(&["run", "asking.yaml", "--detach"]);
    site.until("asking-1", "it pauses", |it| it.state == "paused");
    site.good(&["release", "pause", "asking-1", "--reason", "lunch", "--as", "ana"]);
    serve.kill_9();
    service.answers("/first", 200, r#"{"next": "1"}"#);
    service.answers("/second/1", 200, "the end");
    let _serve = site.serve();
    let view = site.until("asking-1", "it is held", |it| it.waits.iter().any(|it| it.cause == "pause"));
    let wait = &view.waits[0];
    assert!(wait.text.contains("ana paused it: lunch") || wait.text.contains("ana"), "{wait:?}");
    assert_eq!(wait.command, "windlass release resume asking-1 --reason …");
    refused(&site, &["release", "retry", "asking-1", "--reason", "x"], "the release is paused: resume it first");
    site.good(&["release", "resume", "asking-1", "--reason", "back"]);
    site.good(&["release", "retry", "asking-1", "--reason", "it is there now"]);
    assert!(site.ended("asking-1").succeeded);
}

#[test]
fn what_is_asked_for_is_seen_through_where_nothing_runs() {
    let service = Service::start();
    service.answers("/first", 200, r#"{"next": "1"}"#);
    let site = site(&service);
    let mut serve = site.serve();
    site.good(&["run", "asking.yaml", "--detach"]);
    assert_eq!(site.ended("asking-1").state, "failed");
    service.answers("/first", 404, "");
    for release in ["asking-2", "asking-3"] {
        site.good(&["run", "asking.yaml", "--detach"]);
        site.until(release, "it pauses", |it| it.state == "paused");
    }
    serve.kill_9();

    // The exit code is that of the end, and not that of the asking.
    let rerun = ["release", "rerun", "asking-1", "--step", "second", "--reason", "the service is back"];
    let waits = |arguments: &[&str]| site.run(&[arguments, &["--wait"]].concat());
    let failed = waits(&rerun);
    assert!(failed.code == Some(1) && failed.stdout.contains("asking-1  failed"), "{failed:?}");
    assert!(failed.stderr.contains("2 other releases that nobody went on with: here, too"), "{failed:?}");
    service.answers("/second/1", 200, "the end");
    let succeeded = waits(&rerun);
    assert!(succeeded.code == Some(0) && succeeded.stdout.contains("asking-1  succeeded"), "{succeeded:?}");
    let again = waits(&rerun);
    assert!(again.code == Some(2) && again.stderr.contains("steps can run again while"), "{again:?}");

    let asked = site.good(&["release", "pause", "asking-2", "--reason", "x"]);
    assert!(asked.stderr.ends_with("or beside the next `windlass run`\n"), "it does not end by that: {asked:?}");
    let asked = site.good(&["release", "resume", "asking-2", "--reason", "x"]);
    assert!(asked.stderr.ends_with("; with `--wait` it goes on here\n"), "{asked:?}");
    let canceled = waits(&["release", "cancel", "asking-2", "--reason", "no longer needed"]);
    assert!(canceled.code == Some(0) && canceled.stdout.contains("asking-2  canceled"), "{canceled:?}");
    service.answers("/first", 200, r#"{"next": "1"}"#);
    let retried = waits(&["release", "retry", "asking-3", "--reason", "it is there now"]);
    assert!(retried.code == Some(0) && retried.stdout.contains("asking-3  succeeded"), "{retried:?}");
    assert!(!retried.stderr.contains("other release"), "{retried:?}");

    // A script does not wait for a person.
    service.answers("/first", 404, "");
    let mut serve = site.serve();
    site.good(&["run", "asking.yaml", "--detach"]);
    site.until("asking-4", "it pauses", |it| it.state == "paused");
    let asked_before = service.asked("/first");
    let retry = ["release", "retry", "asking-4", "--reason", "perhaps now"];
    for (goes_on_here, asked) in [(false, 1), (true, 2)] {
        if goes_on_here {
            serve.kill_9();
        }
        let paused = waits(&retry);
        assert!(paused.code == Some(1) && paused.stdout.contains("asking-4  paused"), "{paused:?}");
        assert_eq!(service.asked("/first"), asked_before + asked, "it was tried again");
    }

    // Whoever no longer waits stops nothing, and hears who goes on with it.
    service.answers("/first", 200, r#"{"next": "1"}"#);
    let gated = WORKFLOW.replacen("asking", "gated", 1).replacen(
        "  second:\n",
        "  second:\n    gates: [{ approval: { from: user:ana } }]\n",
        1,
    );
    site.write("gated.yaml", &gated);
    let mut serve = site.serve();
    site.good(&["run", "gated.yaml", "--detach"]);
    let is_asked = |it: &ReleaseView| it.waits.iter().any(|it| it.cause == "approval");
    site.until("gated-1", "it waits for approval", is_asked);
    site.good(&["release", "pause", "gated-1", "--reason", "lunch"]);
    serve.kill_9();
    let said = site.path("said");
    let file = std::fs::File::create(&said).expect("a file");
    let resume = ["release", "resume", "gated-1", "--reason", "back", "--wait"];
    let waiting = Process::start_saying(&mut site.command(&resume), || file.try_clone().expect("a file").into());
    let mut waiting = site.answers(waiting);
    site.until("gated-1", "it waits for approval again", is_asked);
    waiting.stop();
    let said = std::fs::read_to_string(said).expect("what it said");
    assert!(said.contains("not watched any more; gated-1 goes on when something runs here again"), "{said}");
}

/// What a release began outside may go on when it is over, and then somebody has to look.
#[test]
fn what_cannot_be_stopped_is_told() {
    let (site, _counterparts) = payments(Deployment::Succeeds, 0, 0);
    let _serve = site.serve();
    let without = "its action has no `cancel`";
    let refused = "on-purpose (rejected): it goes on";
    for (action, timed_out, canceled) in [
        ("goes-on", format!("; {without}, so what it began may go on"), format!("{without}: what it began may go on")),
        (
            "will-not-stop",
            format!("; it could not be stopped, and may go on: {refused}"),
            format!("it could not be stopped, and may go on: {refused}"),
        ),
    ] {
        for (number, timeout) in [(1, "1s"), (2, "1h")] {
            let text = format!(
                "windlass: v1\nworkflow: {action}\nsteps:\n  act: {{ uses: hostile/{action}, timeout: {timeout}, retry: {{ attempts: 1 }}, on_failure: fail }}\n"
            );
            site.write("unstoppable.yaml", &text);
            site.good(&["run", "unstoppable.yaml", "--detach"]);
            let release = format!("{action}-{number}");
            if number == 2 {
                site.until(&release, "it waits", |it| it.steps[0].state == "suspended");
                site.good(&["release", "cancel", &release, "--reason", "no longer needed"]);
            }
            let step = site.ended(&release).steps.remove(0);
            let told = if number == 1 { &timed_out } else { &canceled };
            assert!(step.status.ends_with(told), "{release}: {}", step.status);
        }
    }
}
