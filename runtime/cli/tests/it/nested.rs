//! Releases inside of releases, by the command.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::mpsc;

use serde_json::json;

use crate::support::{DEADLINE, Service, Site};

const OUTER: &str = r"windlass: v1
workflow: fleet
steps:
  deploy:
    uses: ./parts/deploy.yaml
    for_each: [eu, us]
    with: { region: '${{ each.value }}' }
    on_failure: rollback
  announce:
    needs: [deploy]
    uses: http/get@^0.1
    connection: service
    with: { path: '/announce/${{ steps.deploy.output[1].url }}' }
    retry: { attempts: 1 }
    on_failure: pause
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
    retry: { attempts: 1 }
    on_failure: fail
  check: { needs: [install], uses: ./check.yaml, with: { what: '${{ parameters.region }}' }, on_failure: fail }
outputs:
  url: ${{ steps.install.output.text }}
";

const CHECK: &str = r"windlass: v1
workflow: check
parameters:
  what: { type: string }
steps:
  look:
    uses: http/get@^0.1
    connection: service
    with: { path: '/check/${{ parameters.what }}' }
    retry: { attempts: 1 }
";

/// Its deployment can be tried again, and run again.
const AGAIN: &str = r"windlass: v1
workflow: outer
steps:
  deploy:
    uses: ./parts/deploy.yaml
    with: { region: eu }
    retry: { attempts: 1 }
    on_failure: pause
  announce:
    needs: [deploy]
    uses: http/get@^0.1
    connection: service
    with: { path: /nobody }
    retry: { attempts: 1 }
    on_failure: pause
";

fn site(service: &Service) -> Site {
    let site = Site::new();
    site.write("fleet.yaml", OUTER);
    site.write("parts/deploy.yaml", DEPLOY);
    site.write("parts/check.yaml", CHECK);
    site.good(&["connection", "add", "service", "--url", &service.url, "--private-network"]);
    for path in ["/install/eu", "/install/us"] {
        service.answers(path, 200, &path[9..]);
    }
    site
}

#[test]
fn a_release_waits_for_those_inside_of_it_whatever_process_they_run_in() {
    let service = Service::start();
    let site = site(&service);
    service.answers("/check/eu", 200, "fine");
    let mut serve = site.serve();
    site.good(&["run", "fleet.yaml", "--detach"]);
    // The check of one region is not there yet, so that the release two levels down pauses.
    site.until("fleet-1", "the first region is done", |it| it.steps[0].items.iter().any(|it| it.state == "succeeded"));
    let fleet = site.until("fleet-1", "the second one waits", |it| {
        it.steps[0].items.iter().any(|it| it.release.is_some() && it.state == "suspended")
    });
    let waiting = fleet.steps[0].items.iter().find(|it| it.state == "suspended").expect("one waits");
    let inner = waiting.release.clone().expect("its release");
    let deploy = site.until(&inner, "it waits for the check", |it| it.steps[1].release.is_some());
    assert_eq!(deploy.parent, Some(("fleet-1".to_owned(), waiting.name.clone())));
    let check = deploy.steps[1].release.clone().expect("its release");
    site.until(&check, "it pauses", |it| it.state == "paused");

    serve.kill_9();
    let _serve = site.serve();
    service.answers("/check/us", 200, "fine");
    service.answers("/announce/us", 200, "told");
    site.good(&["release", "retry", &check, "--step", "look", "--reason", "the check is there now"]);
    let fleet = site.ended("fleet-1");
    assert!(fleet.succeeded, "{fleet:#?}");
    assert_eq!(fleet.steps[0].output, json!([{ "url": "eu" }, { "url": "us" }]));
    for path in ["/install/eu", "/install/us"] {
        assert_eq!(service.asked(path), 1, "{path}");
    }
    site.check();
}

#[test]
fn what_happens_to_a_release_happens_to_those_inside_of_it() {
    let service = Service::start();
    let site = site(&service);
    let _serve = site.serve();
    // One fails: the outer one is rolled back, and with it the inner one that went well.
    service.answers("/check/eu", 200, "fine");
    service.answers("/install/us", 500, "broken");
    site.good(&["run", "fleet.yaml", "--detach"]);
    let fleet = site.ended("fleet-1");
    assert_eq!(fleet.state, "rolled back", "{fleet:#?}");
    for item in &fleet.steps[0].items {
        let inner = site.ended(item.release.as_deref().expect("a release"));
        assert_eq!(inner.state, "rolled back");
    }
    // Canceling reaches down two levels.
    service.answers("/install/us", 200, "us");
    site.good(&["run", "fleet.yaml", "--detach"]);
    let fleet = site.until("fleet-2", "a region waits for its check", |it| {
        it.steps[0].items.iter().any(|it| it.state == "succeeded")
            && it.steps[0].items.iter().any(|it| it.state == "suspended")
    });
    let inner = fleet.steps[0].items.iter().find(|it| it.state == "suspended").and_then(|it| it.release.clone());
    let inner = inner.expect("its release");
    let check = site.until(&inner, "it runs a check", |it| it.steps[1].release.is_some()).steps[1].release.clone();
    let check = check.expect("its release");
    site.until(&check, "it pauses", |it| it.state == "paused");
    site.good(&["release", "cancel", "fleet-2", "--reason", "enough"]);
    for release in ["fleet-2", inner.as_str(), check.as_str()] {
        assert_eq!(site.ended(release).state, "canceled", "{release}");
    }
}

#[test]
fn an_inner_release_that_ended_while_nothing_ran_is_told_of_at_the_next_start() {
    let service = Service::start();
    let site = site(&service);
    for path in ["/check/eu", "/announce/us"] {
        service.answers(path, 200, "fine");
    }
    let mut serve = site.serve();
    site.good(&["run", "fleet.yaml", "--detach"]);
    let fleet = site.until("fleet-1", "a region waits for its check", |it| {
        it.steps[0].items.iter().any(|it| it.state == "suspended")
            && it.steps[0].items.iter().any(|it| it.state == "succeeded")
    });
    let inner = fleet.steps[0].items.iter().find(|it| it.state == "suspended").and_then(|it| it.release.clone());
    let inner = inner.expect("its release");
    let check = site.until(&inner, "it runs a check", |it| it.steps[1].release.is_some()).steps[1].release.clone();
    let check = check.expect("its release");
    site.until(&check, "it pauses", |it| it.state == "paused");
    serve.stop();
    // Its end is recorded, and nobody is there to tell the one above it, nor the one above that.
    site.good(&["release", "cancel", &check, "--reason", "no check today"]);
    assert_eq!(site.show(&check).expect("a release").state, "canceled");
    assert_eq!(site.show(&inner).expect("a release").state, "running");
    let _serve = site.serve();
    // The outer one first: between its failure and its rollback the inner one has ended as failed.
    for release in ["fleet-1", inner.as_str()] {
        assert_eq!(site.ended(release).state, "rolled back", "{release}");
    }
}

#[test]
fn an_inner_release_is_kept_for_the_rollback_of_the_outer_one_however_old_it_is() {
    let service = Service::start();
    let site = site(&service);
    let _serve = site.serve();
    for path in ["/check/eu", "/check/us"] {
        service.answers(path, 200, "fine");
    }
    site.good(&["run", "fleet.yaml", "--detach"]);
    let fleet = site.until("fleet-1", "nobody can be told", |it| it.state == "paused");
    let inner = fleet.steps[0].items[0].release.clone().expect("a release");
    assert_eq!(site.json(&["store", "expire", "--older-than", "1ms"])["releases"], 0);
    assert!(site.show(&inner).is_some_and(|it| it.succeeded), "{inner} ended, and is kept");
    site.good(&["release", "rollback", "fleet-1", "--reason", "back"]);
    assert_eq!(site.ended("fleet-1").state, "rolled back");
    assert_eq!(site.show(&inner).expect("it is kept").state, "rolled back");
}

#[test]
fn all_releases_that_a_step_began_are_rolled_back_with_it() {
    let service = Service::start();
    let site = site(&service);
    site.write("outer.yaml", AGAIN);
    let mut serve = site.serve();
    // The first is not successful, the second one is, and a third runs because a person wants it so.
    service.answers("/check/eu", 200, "fine");
    service.answers("/install/eu", 404, "not there yet");
    site.good(&["run", "outer.yaml", "--detach"]);
    site.until("outer-1", "its deployment failed", |it| it.state == "paused");
    service.answers("/install/eu", 200, "eu");
    site.good(&["release", "retry", "outer-1", "--step", "deploy", "--reason", "it is there now"]);
    site.until("outer-1", "nobody can be told", |it| it.state == "paused" && it.steps[0].state == "succeeded");
    site.good(&["release", "rerun", "outer-1", "--step", "deploy", "--reason", "once more"]);
    let outer = site.until("outer-1", "nobody can be told", |it| {
        it.state == "paused" && it.steps[0].release.as_deref() == Some("deploy-3")
    });
    assert_eq!(outer.steps[0].state, "succeeded", "{outer:#?}");
    assert_eq!(service.asked("/install/eu"), 3, "what runs again runs");

    let preview = site.json(&["release", "rollback", "outer-1", "--preview"]);
    let inner = preview["steps"][0]["inner"].as_array().expect("a list");
    let names: Vec<_> = inner.iter().map(|it| it["release"].as_str().expect("a name")).collect();
    assert_eq!(names, ["deploy-3", "deploy-2", "deploy-1"]);
    site.good(&["release", "rollback", "outer-1", "--reason", "back"]);
    serve.kill_9();
    let _serve = site.serve();
    let outer = site.ended("outer-1");
    assert_eq!(outer.state, "rolled back");
    // What was waiting for a decision is not any more, and no time passes for it.
    assert_eq!((outer.steps[1].state.as_str(), outer.steps[1].ended_at.is_some()), ("failed", true), "{outer:#?}");
    let ends: Vec<_> = names.iter().map(|it| site.ended(it)).collect();
    assert!(ends.iter().all(|it| it.state == "rolled back"), "{ends:#?}");
    assert!(ends.windows(2).all(|it| it[0].updated_at <= it[1].updated_at), "the newest first: {ends:#?}");
    site.check();
}

#[test]
fn who_looks_at_a_release_is_told_what_one_inside_of_it_waits_for() {
    let service = Service::start();
    let site = site(&service);
    site.write("outer.yaml", AGAIN);
    service.answers("/nobody", 200, "told");
    let _serve = site.serve();
    let mut watching = site.command(&["run", "outer.yaml"]).stdout(Stdio::piped()).spawn().expect("windlass starts");
    let (told, lines) = mpsc::channel();
    let stdout = BufReader::new(watching.stdout.take().expect("its output"));
    let reader = std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|it| told.send(it)));
    let mut all = Vec::new();
    // Two levels down it pauses, and who watches the outer one hears of it.
    while !all.last().is_some_and(|it: &String| it.contains("windlass release retry check-1 --step look")) {
        all.push(lines.recv_timeout(DEADLINE).unwrap_or_else(|why| panic!("it is told of ({why}): {all:#?}")));
    }
    assert!(all.last().is_some_and(|it| it.contains("check-1 look  waits for ")), "{all:#?}");
    let shown = site.good(&["release", "show", "outer-1"]).stdout;
    for part in ["→ deploy-1 (running)", "▸ check-1 look waits: http-404"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let within = &site.json(&["release", "show", "outer-1"])["release"]["within"];
    let states: Vec<_> = within.as_array().expect("a list").iter().map(|it| (&it["release"], &it["state"])).collect();
    assert_eq!(states, [(&json!("deploy-1"), &json!("running")), (&json!("check-1"), &json!("paused"))], "{within:#}");
    service.answers("/check/eu", 200, "fine");
    site.good(&["release", "retry", "check-1", "--step", "look", "--reason", "it is there now"]);
    all.extend(lines);
    assert!(watching.wait().expect("it ends").success(), "{all:#?}");
    reader.join().expect("no panic").expect("all was taken");
    let outer = site.show("outer-1").expect("a release");
    assert!(outer.succeeded && outer.within.is_empty(), "{outer:#?}");
}

#[test]
fn files_that_do_not_fit_are_told_where_they_stand() {
    let service = Service::start();
    let site = site(&service);
    let told = |name: &str, text: &str| {
        site.write(name, text);
        let ran = site.run(&["validate", "fleet.yaml"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        ran.stderr
    };
    let circle =
        told("parts/check.yaml", &CHECK.replace("uses: http/get@^0.1\n    connection: service", "uses: ../fleet.yaml"));
    assert!(
        circle.contains("a workflow would run inside of itself: `fleet.yaml` uses `parts/deploy.yaml` uses `parts/check.yaml` uses `fleet.yaml`"),
        "{circle}"
    );
    site.write("parts/check.yaml", CHECK);
    let input = told("parts/deploy.yaml", &DEPLOY.replace("with: { what:", "with: { wat:"));
    assert!(
        input.contains("the input of `workflow check` has no field `wat`") && input.contains("parts/deploy.yaml:12"),
        "{input}"
    );
    assert!(input.contains("`parts/deploy.yaml` has 1 problem of its own"), "{input}");
    // From where one stands, so that an editor opens it.
    let whole = site.path("fleet.yaml");
    let ran = site.run(&["validate", whole.to_str().expect("text")]);
    let deploy = format!("{}:12", site.path("parts/deploy.yaml").display());
    assert!(ran.stderr.contains(&deploy), "{ran:?}");
    // What is told of it with the file that uses it is not told again.
    let both = site.run(&["validate", "fleet.yaml", "parts/deploy.yaml"]);
    assert_eq!(both.stderr.matches("has no field `wat`").count(), 1, "{both:?}");
    assert!(both.code == Some(1) && both.stderr.contains("parts/deploy.yaml: as told above"), "{both:?}");
    // Unless nobody told of it.
    let offline = site.run(&["validate", "--offline", "fleet.yaml", "parts/deploy.yaml"]);
    assert!(!offline.stderr.contains("as told above"), "{offline:?}");
    site.write("parts/deploy.yaml", DEPLOY);
    let output = told("fleet.yaml", &OUTER.replace("[1].url", "[1].uri"));
    assert!(output.contains("there is no field `uri`"), "{output}");
    let missing = told("fleet.yaml", &OUTER.replace("./parts/deploy.yaml", "./deploy.yaml"));
    assert!(missing.contains("there is no workflow file `deploy.yaml`"), "{missing}");
    let bound = told("fleet.yaml", &OUTER.replace("on_failure: rollback", "connection: service"));
    assert!(bound.contains("a workflow binds its connections itself"), "{bound}");
}
