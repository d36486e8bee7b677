//! Releases that only wait are in no memory, and come back when something happens.

use crate::support::release::{Deployment, RELEASE, payments};
use crate::support::{Service, Site, eventually};

/// How many releases the process drives and how many it has parked.
fn attended(site: &Site) -> (u64, u64) {
    let (_, status) = site.get("/v1/status");
    (status["driven"].as_u64().expect("a number"), status["parked"].as_u64().expect("a number"))
}

#[test]
fn a_release_that_waits_for_a_person_is_parked_and_comes_back() {
    let (site, _counterparts) = payments(Deployment::Succeeds, 0, 0);
    let mut serve = site.serve();
    site.good(&["run", "payments.yaml", "--param", "version=1.2.3", "--detach"]);
    site.until(RELEASE, "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    eventually("it is parked", || (attended(&site) == (0, 1)).then_some(()));
    serve.kill_9();
    // The next process does not even read its journal before it is wanted.
    let _serve = site.serve();
    assert_eq!(attended(&site), (0, 1));
    let refused = site.run(&["release", "approve", RELEASE, "--as", "root"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    eventually("it is parked again", || (attended(&site) == (0, 1)).then_some(()));
    site.good(&["release", "approve", RELEASE, "--as", "ana"]);
    assert!(site.ended(RELEASE).succeeded);
    eventually("it is gone", || (attended(&site) == (0, 0)).then_some(()));
}

const WATCHED: &str = r"windlass: v1
workflow: watched
steps:
  look:
    uses: http/health-check@^0.1
    connection: service
    with: { path: /health, interval: 2s, successes: 1, failures_tolerated: 100 }
";

#[test]
fn a_release_that_waits_for_a_time_is_parked_and_woken_by_it_also_after_a_crash() {
    let service = Service::start();
    let site = Site::new();
    site.write("watched.yaml", WATCHED);
    site.good(&["connection", "add", "service", "--url", &service.url, "--private-network"]);
    let mut serve = site.serve();
    site.good(&["run", "watched.yaml", "--detach"]);
    eventually("it is parked between two looks", || (attended(&site) == (0, 1)).then_some(()));
    serve.kill_9();
    service.answers("/health", 200, "fine");
    let _serve = site.serve();
    assert!(site.ended("watched-1").succeeded);
    // Who watches a release keeps it in memory, and sees its end.
    service.answers("/health", 503, "not yet");
    site.good(&["run", "watched.yaml", "--detach"]);
    eventually("it is parked", || (attended(&site) == (0, 1)).then_some(()));
    let mut watch = site.command(&["release", "show", "watched-2", "--watch"]);
    let mut watching = crate::support::Process::start(&mut watch);
    eventually("it is looked at", || (attended(&site) == (1, 0)).then_some(()));
    service.answers("/health", 200, "fine");
    assert!(site.ended("watched-2").succeeded);
    let status = eventually("who watches sees the end", || watching.ended());
    assert!(status.success(), "{status}");
}
