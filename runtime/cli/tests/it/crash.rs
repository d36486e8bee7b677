//! `kill -9` where a release spends its time: waiting for a build, for people, deploying, rolling back.
//!
//! Each counterpart then counts one effect per step.

use crate::support::release::{Deployment, RELEASE, payments};
use crate::support::{Counterparts, Process, Site, noop};
use windlass_server::view::ReleaseView;

const RUN: [&str; 4] = ["run", "payments.yaml", "--param", "version=1.2.3"];

fn step<'a>(view: &'a ReleaseView, name: &str) -> &'a str {
    view.steps.iter().find(|it| it.name == name).map(|it| it.state.as_str()).expect("the step")
}

fn approve(site: &Site) {
    site.until(RELEASE, "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    site.good(&["release", "approve", RELEASE, "--as", "ana", "--comment", "go"]);
}

fn ends(site: &Site, counterparts: &Counterparts, deployment: Deployment) {
    let view = site.ended(RELEASE);
    assert_eq!(view.state, deployment.state(), "{view:#?}");
    site.check();
    let effects: Vec<(String, usize)> = counterparts.effects(Default::default()).into_iter().collect();
    let effects: Vec<(&str, usize)> = effects.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    assert_eq!(effects, deployment.effects());
}

#[test]
fn killed_while_it_waits_for_a_build() {
    let (site, counterparts) = payments(Deployment::Succeeds, 2_500, 0);
    let mut run = site.start(&RUN);
    site.until(RELEASE, "the build is waited for", |it| step(it, "build") == "suspended");
    run.kill_9();
    let _serve = site.serve();
    approve(&site);
    ends(&site, &counterparts, Deployment::Succeeds);
}

#[test]
fn killed_while_it_waits_for_an_approval() {
    let (site, counterparts) = payments(Deployment::Succeeds, 0, 0);
    let mut run = site.start(&RUN);
    site.until(RELEASE, "it waits for approval", |it| step(it, "deploy") == "held");
    run.kill_9();
    // Nobody runs: the answer is recorded all the same, and taken when somebody does.
    let answered = site.good(&["release", "approve", RELEASE, "--as", "ana"]);
    assert!(answered.stderr.contains("nothing runs"), "{answered:?}");
    let _serve = site.serve();
    ends(&site, &counterparts, Deployment::Succeeds);
}

#[test]
fn killed_in_the_middle_of_a_deployment() {
    let (site, counterparts) = payments(Deployment::Succeeds, 0, 2_500);
    let mut run = site.start(&RUN);
    approve(&site);
    site.until(RELEASE, "the deployment is waited for", |it| step(it, "deploy") == "suspended");
    run.kill_9();
    let mut serve = site.start(&["serve", "--until-idle"]);
    let status = crate::support::eventually("serve ends with its last release", || serve.ended());
    assert!(status.success(), "{status}");
    ends(&site, &counterparts, Deployment::Succeeds);
}

#[test]
fn killed_in_the_middle_of_a_rollback() {
    let (site, counterparts) = payments(Deployment::Fails, 0, 0);
    let mut serve = site.serve();
    site.good(&[&RUN[..], &["--detach"]].concat());
    // A request takes longer than it takes to see that the rollback is on.
    counterparts.slow_down(300);
    approve(&site);
    site.until(RELEASE, "a step is being rolled back", |it| step(it, "task") == "rolling back");
    serve.kill_9();
    let mut serve = site.serve();
    site.until(RELEASE, "the next step is being rolled back", |it| step(it, "change") == "rolling back");
    serve.kill_9();
    let _serve = site.serve();
    ends(&site, &counterparts, Deployment::Fails);
}

/// What is said goes into a file on a disk that is full, as the state directory's may be. Nothing ends by that.
#[test]
fn a_log_that_cannot_be_written_keeps_nothing_from_going_on() {
    let site = Site::empty();
    site.good(&["plugin", "install", noop().to_str().expect("text")]);
    let quiet = "windlass: v1\nworkflow: quiet\nsteps:\n  first: { uses: noop/noop }\n  second: { needs: [first], uses: noop/noop, delay: 300ms }\n";
    site.write("quiet.yaml", quiet);
    let full = || std::fs::File::options().write(true).open("/dev/full").expect("a disk that is full").into();
    let serve = Process::start_saying(site.command(&["serve"]).env("WINDLASS_LOG", "trace"), full);
    let _serve = site.answers(serve);
    for number in 1..=3 {
        site.good(&["run", "quiet.yaml", "--detach"]);
        assert!(site.ended(&format!("quiet-{number}")).succeeded);
    }
}
