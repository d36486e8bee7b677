//! Dry runs of whole releases: what they do not do, what they show, and what they find.

use serde_json::{Value, json};
use windlass_server::view::{ReleaseView, StepView};

use crate::support::release::{Deployment, PAYMENTS, payments};
use crate::support::{Counterparts, PASSWORD, Service, Site};

const RUN: [&str; 4] = ["run", "payments.yaml", "--param", "version=1.2.3"];

fn step<'a>(view: &'a ReleaseView, name: &str) -> &'a StepView {
    view.steps.iter().find(|it| it.name == name).expect("a step")
}

/// What a step would have done, without the address.
fn would(view: &ReleaseView, name: &str) -> Vec<String> {
    let dry = step(view, name).dry_run.as_ref().expect("of a dry run");
    let line =
        |it: &str| it.replace("http://127.0.0.1:", "").split_once('/').map_or(it.to_owned(), |it| it.1.to_owned());
    dry.would
        .iter()
        .map(|it| format!("{} /{}", it.what.split(' ').next().unwrap_or_default(), line(&it.what)))
        .collect()
}

fn output_from(view: &ReleaseView, name: &str) -> Option<String> {
    step(view, name).dry_run.as_ref().and_then(|it| it.output_from.clone())
}

fn nothing_was_changed(counterparts: &Counterparts) {
    assert!(counterparts.jenkins.effects().is_empty(), "{:?}", counterparts.jenkins.effects());
    assert!(counterparts.servicenow.effects().is_empty(), "{:?}", counterparts.servicenow.effects());
}

#[test]
fn a_whole_release_is_gone_through_and_nothing_is_changed() {
    let (site, counterparts) = payments(Deployment::Succeeds, 0, 0);
    // Groups, limits, breakers and services hold no dry run; deploying says that a version is live, which it is not.
    let rules = "concurrency: { group: production }\nsteps:\n";
    let text = PAYMENTS.replacen("steps:\n", rules, 1).replacen(
        "    on_failure: rollback\n",
        "    on_failure: rollback\n    delivers: { service: payments, version: '${{ parameters.version }}', environment: prod }\n",
        1,
    );
    site.write("payments.yaml", &text);
    let mut serve = site.serve();
    site.good(&["limit", "set", "--releases", "1"]);
    site.good(&["breaker", "trip", "connection:jenkins/ci", "--reason", "to see"]);
    site.good(&["breaker", "trip", "workflow:payments", "--reason", "to see"]);
    let ran = site.good(&[&RUN[..], &["--dry-run"]].concat());
    nothing_was_changed(&counterparts);
    let view = site.ended("payments-1");
    assert_eq!((view.state.as_str(), view.dry_run), ("succeeded", true));
    assert!(would(&view, "build")[0].starts_with("POST /job/build/buildWithParameters"), "{:?}", would(&view, "build"));
    assert!(would(&view, "change")[0].starts_with("POST /api/"), "{:?}", would(&view, "change"));
    assert_eq!(output_from(&view, "build").as_deref(), Some("schema"));
    let deploy = step(&view, "deploy").dry_run.as_ref().expect("of a dry run");
    assert_eq!(deploy.left_out, ["would ask 1 of group:release-managers: Deploy 1.2.3?"]);
    assert_eq!(view.left_out, ["would take a place in group production, and wait for one"]);
    assert!(step(&view, "task").dry_run.as_ref().is_some_and(|it| it.made_up));
    // It is in the record, and on the screen.
    let body = step(&view, "change").dry_run.as_ref().expect("of a dry run").would[0].body.clone();
    assert!(body.contains("Release payments 1.2.3"), "{body}");
    for shown in [ran.stdout, site.good(&["release", "show", "payments-1"]).stdout] {
        assert!(shown.contains("· dry run, nothing was written"), "{shown}");
        assert!(shown.contains("would POST http://127.0.0.1:"), "{shown}");
        assert!(shown.contains("would ask 1 of group:release-managers"), "{shown}");
        assert!(shown.contains("output made of its schema"), "{shown}");
        assert!(!shown.contains(PASSWORD), "{shown}");
    }
    let list = site.json(&["release", "list"]);
    assert_eq!(list[0]["dry_run"], true, "{list}");
    let story = site.good(&["release", "show", "payments-1"]).stdout;
    assert!(story.contains("dry run: would POST"), "{story}");
    let logs = site.good(&["release", "logs", "payments-1", "--requests"]).stdout;
    assert!(logs.contains("this is a dry run, in which nothing is written"), "{logs}");
    // Nothing came of it for anybody else.
    assert_eq!(site.json(&["service", "list"]), json!([]));
    site.good(&["breaker", "reset", "connection:jenkins/ci", "--reason", "seen"]);
    site.good(&["breaker", "reset", "workflow:payments", "--reason", "seen"]);
    let refused = site.run(&["release", "rollback", "payments-1", "--reason", "to see"]);
    assert!(refused.stderr.contains("a dry run has done nothing that could be rolled back"), "{refused:?}");

    // What a real release gave is what the next dry run goes on with.
    site.good(&[&RUN[..], &["--detach"]].concat());
    site.until("payments-2", "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    let real = site.show("payments-2").expect("a release");
    let (mark, seen) = (counterparts.mark(), counterparts.servicenow.effects().len());
    // That one has the only place, of its group and of all; a dry run needs none. Of another dry run nothing is taken.
    site.good(&[&RUN[..], &["--dry-run", "--detach"]].concat());
    assert_eq!(site.ended("payments-3").state, "succeeded");
    site.good(&[&RUN[..], &["--dry-run", "--detach"]].concat());
    let view = site.ended("payments-4");
    assert_eq!(output_from(&view, "change").as_deref(), Some("payments-2"));
    assert_eq!(step(&view, "change").output, step(&real, "change").output);
    let note = |view: &ReleaseView| step(view, "change").dry_run.as_ref().and_then(|it| it.note.clone());
    assert_eq!(note(&view), None);
    // What another version gave may stand in for this one's, and is told to be that.
    site.good(&["run", "payments.yaml", "--param", "version=9.9.9", "--dry-run", "--detach"]);
    let other = site.ended("payments-5");
    assert_eq!(output_from(&other, "change").as_deref(), Some("payments-2"));
    assert_eq!(note(&other).as_deref(), Some("its output was given for another input"));
    // With a change that is there, the task would be made for it.
    assert!(!would(&view, "task").is_empty(), "{:?}", step(&view, "task"));
    assert!(counterparts.effects(mark).is_empty() && counterparts.servicenow.effects().len() == seen);
    // It is the same for whoever opens the store next, and that is as it should be.
    site.good(&["release", "approve", "payments-2", "--as", "ana"]);
    assert_eq!(site.ended("payments-2").state, "succeeded");
    serve.kill_9();
    assert!(site.show("payments-4").is_some_and(|it| it.dry_run && it.steps == view.steps));
    site.check();
}

#[test]
fn a_dry_run_finds_what_is_really_wrong() {
    let (site, counterparts) = payments(Deployment::Succeeds, 0, 0);
    // The credential is not there: the first read says so.
    std::fs::remove_file(counterparts.secret()).expect("it is there");
    site.write(
        "payments.yaml",
        &PAYMENTS.replacen("    timeout: 1m\n", "    timeout: 1m\n    retry: { attempts: 1 }\n", 1),
    );
    for breaker in ["connection:jenkins/ci", "connection:servicenow/itsm", "workflow:payments"] {
        site.good(&["breaker", "set", breaker, "--consecutive", "1"]);
    }
    let ran = site.run(&[&RUN[..], &["--dry-run"]].concat());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for breaker in site.json(&["breaker", "list"]).as_array().expect("a list") {
        assert_eq!((&breaker["state"], &breaker["counted"]), (&"closed".into(), &0.into()), "{breaker}");
    }
    let view = site.show("payments-1").expect("a release");
    assert_eq!(view.state, "failed");
    // A person would be asked in a real run; here nobody is.
    let error = view.steps.iter().find_map(|it| it.error.as_ref()).expect("it failed");
    assert!(error.code == "credential-not-available" && view.waits.is_empty(), "{error:?}");
    assert_eq!(step(&view, "task").state, "not run");
    nothing_was_changed(&counterparts);
    let ran = site.run(&["rehearse", "payments.yaml", "--dry-run"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
}

#[test]
fn a_run_that_would_be_refused_is_told() {
    let (site, counterparts) = payments(Deployment::Succeeds, 0, 0);
    site.write("payments.yaml", &PAYMENTS.replacen("steps:\n", "rollback: { rehearsed_within: 30d }\nsteps:\n", 1));
    let ran = site.good(&[&RUN[..], &["--dry-run"]].concat());
    assert!(
        ran.stderr.contains("a run would be refused: the rollback of `payments` is to have been rehearsed"),
        "{ran:?}"
    );
    nothing_was_changed(&counterparts);
}

const OUTER: &str = r"windlass: v1
workflow: fleet
steps:
  look: { uses: http/get@^0.1, connection: service, with: { path: /regions }, on_failure: fail }
  tell:
    needs: [look]
    uses: http/request@^0.1
    connection: service
    with: { method: POST, path: /tell, json: { regions: '${{ steps.look.output.json }}' } }
  deploy:
    needs: [tell]
    uses: ./deploy.yaml
    for_each: ${{ steps.look.output.json }}
    with: { region: '${{ each.value }}' }
  announce:
    needs: [deploy]
    uses: http/get@^0.1
    connection: service
    with: { path: '/announce/${{ steps.tell.output.json.ticket.id }}' }
    on_failure: fail
";

const DEPLOY: &str = r"windlass: v1
workflow: deploy
parameters:
  region: { type: string }
steps:
  install:
    uses: http/request@^0.1
    connection: service
    with: { method: PUT, path: '/install/${{ parameters.region }}', text: please }
outputs:
  url: { value: 'https://${{ parameters.region }}.example', type: string }
";

#[test]
fn what_runs_inside_is_dry_too_and_reads_reach_the_world() {
    let service = Service::start();
    let site = Site::new();
    site.write("fleet.yaml", OUTER);
    site.write("deploy.yaml", DEPLOY);
    site.good(&["connection", "add", "service", "--url", &service.url, "--private-network"]);
    service.answers("/regions", 200, r#"["eu", "us"]"#);
    let _serve = site.serve();
    let ran = site.run(&["run", "fleet.yaml", "--dry-run"]);
    assert_eq!(ran.code, Some(0), "{ran:?} {:#?}", site.show("fleet-1"));
    assert_eq!((service.asked("/regions"), service.asked("/tell"), service.asked("/install/eu")), (1, 0, 0));
    let view = site.show("fleet-1").expect("a release");
    assert_eq!(would(&view, "tell"), ["POST /tell"]);
    let told = &step(&view, "tell").dry_run.as_ref().expect("of a dry run").would[0];
    assert_eq!(serde_json::from_str::<Value>(&told.body).ok(), Some(json!({"regions": ["eu", "us"]})));
    let deploy = step(&view, "deploy");
    let inner: Vec<ReleaseView> =
        deploy.items.iter().map(|it| site.show(it.release.as_deref().expect("inside")).expect("a release")).collect();
    assert_eq!(
        inner.iter().map(|it| would(it, "install").join("")).collect::<Vec<_>>(),
        ["PUT /install/eu", "PUT /install/us"]
    );
    assert!(inner.iter().all(|it| it.dry_run && it.state == "succeeded"));
    assert_eq!(deploy.output, json!([{"url": "https://eu.example"}, {"url": "https://us.example"}]));
    // What cannot be told is told as that: there is no ticket in what is made up.
    let announce = step(&view, "announce").dry_run.as_ref().expect("of a dry run");
    assert!(announce.note.as_deref().is_some_and(|it| it.contains("its plugin was not called")), "{announce:?}");
}
