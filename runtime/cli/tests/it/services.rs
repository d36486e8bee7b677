//! Releases of several teams that wait for each other's versions.

use serde_json::json;
use windlass_server::view::ReleaseView;

use crate::support::release::{Deployment, payments};
use crate::support::{Service, Site};

/// A service's deployment.
const DEPLOY: &str = r"windlass: v1
workflow: NAME
parameters:
  version: { type: string }
  environment: { type: string, default: production }
steps:
  build:
    uses: http/get@^0.1
    connection: service
    with: { path: '/build/NAME' }
    retry: { attempts: 1 }
  deploy:
    needs: [build]
    requires: [REQUIRES]
    delivers: { service: NAME, version: '${{ parameters.version }}', environment: '${{ parameters.environment }}' }
    uses: http/get@^0.1
    connection: service
    with: { path: '/deploy/NAME' }
    retry: { attempts: 1 }
";

fn file(name: &str, requires: &str) -> String {
    let requires = requires.replace("HERE", "environment: '${{ parameters.environment }}'");
    DEPLOY.replace("NAME", name).replace("REQUIRES", &requires)
}

fn site(service: &Service) -> Site {
    let site = Site::new();
    site.good(&["connection", "add", "service", "--url", &service.url, "--private-network"]);
    site.write("ledger.yaml", &file("ledger", ""));
    site.write("payments.yaml", &file("payments", "{ service: ledger, version: '>=2.4', HERE }"));
    for name in ["ledger", "payments", "core"] {
        service.answers(&format!("/build/{name}"), 200, "built");
    }
    site
}

fn run<'a>(file: &'a str, version: &'a str) -> [&'a str; 5] {
    ["run", file, "--param", version, "--detach"]
}

fn refused(site: &Site, arguments: &[&str], says: &[&str]) {
    let ran = site.run(arguments);
    assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
    for text in says {
        assert!(ran.stderr.contains(text), "{text}: {ran:?}");
    }
}

#[test]
fn a_release_waits_for_the_version_that_another_team_delivers() {
    let service = Service::start();
    let site = site(&service);
    let mut serve = site.serve();
    refused(
        &site,
        &run("payments.yaml", "version=3.1.0"),
        &[
            "step `deploy` requires ledger >=2.4 in production",
            "nobody is to deliver ledger >=2.4 in production: none is live",
        ],
    );
    // The ledger's deployment pauses: its service does not answer yet.
    site.good(&run("ledger.yaml", "version=2.4.1"));
    site.until("ledger-1", "its deployment failed", |it| it.state == "paused");
    let planned = site.good(&["validate", "payments.yaml", "--param", "version=3.1.0"]).stdout;
    let wait = "step `deploy` will wait for ledger >=2.4 in production: ledger-1 is to deliver 2.4.1";
    assert!(planned.contains(wait), "{planned}");
    let started = site.good(&run("payments.yaml", "version=3.1.0"));
    assert!(started.stderr.contains(wait), "{started:?}");
    let held = |it: &ReleaseView| it.waits.iter().any(|it| it.cause == "service");
    let view = site.until("payments-1", "it waits for the ledger", held);
    assert_eq!(view.steps[0].state, "succeeded", "what needs nothing goes on");
    let wait = &view.waits[0];
    assert_eq!(wait.text, "requires ledger >=2.4 in production; ledger-1 is to deliver 2.4.1");
    assert_eq!((wait.owner.as_str(), wait.command.as_str()), ("ledger-1", "windlass release show ledger-1"));

    serve.kill_9();
    // What nobody drives now is promised all the same.
    let planned = site.good(&["validate", "payments.yaml", "--param", "version=3.1.1"]).stdout;
    assert!(planned.contains("ledger-1 is to deliver 2.4.1"), "{planned}");
    let shown = site.good(&["release", "show", "payments-1"]).stdout;
    assert!(shown.contains("ledger-1 is to deliver 2.4.1") && !shown.contains("nobody"), "{shown}");
    let _serve = site.serve();
    site.until("payments-1", "it waits for the ledger", held);
    assert_eq!(site.json(&["service", "list"])[0]["coming"], json!([["ledger-1", "2.4.1"]]));
    service.answers("/deploy/payments", 200, "there");
    service.answers("/deploy/ledger", 200, "there");
    site.good(&["release", "retry", "ledger-1", "--step", "deploy", "--reason", "it answers"]);
    assert_eq!(site.ended("payments-1").state, "succeeded");
    assert_eq!(service.asked("/deploy/payments"), 1);
    let shown = site.good(&["service", "list"]).stdout;
    assert_eq!(shown, "ledger in production  2.4.1\npayments in production  3.1.0\n");
    let shown = site.good(&["service", "show", "ledger", "--environment", "production"]).stdout;
    assert!(shown.contains("2.4.1  ledger-1, step deploy"), "{shown}");
    // Another place is another matter.
    let elsewhere = ["run", "payments.yaml", "--param", "version=3.1.0", "--param", "environment=staging", "--detach"];
    refused(&site, &elsewhere, &["ledger >=2.4 in staging: none is live"]);
    // What is live need not be waited for.
    site.good(&run("payments.yaml", "version=3.1.1"));
    assert_eq!(site.ended("payments-2").state, "succeeded");
    site.check();
}

#[test]
fn circles_and_chains_are_refused_before_anything_starts() {
    let service = Service::start();
    let site = site(&service);
    site.write("core.yaml", &file("core", "{ service: payments, version: '^3', HERE }"));
    site.write("ledger.yaml", &file("ledger", "{ service: core, version: '^1', HERE }"));
    let _serve = site.serve();
    // A chain that ends in nothing; then one that leads back.
    site.good(&["service", "set", "core", "--environment", "production", "--version", "1.0", "--reason", "as found"]);
    site.good(&run("ledger.yaml", "version=2.4.0"));
    site.until("ledger-1", "its deployment failed", |it| it.state == "paused");
    site.good(&["service", "forget", "core", "--environment", "production", "--reason", "it was shut down"]);
    refused(
        &site,
        &run("payments.yaml", "version=3.0.0"),
        &[
            "requires ledger >=2.4 in production; ledger-1 is to deliver ledger in production 2.4.0 (step `deploy`)",
            "after core ^1 in production is live",
            "nobody is to deliver core ^1 in production: none is live",
        ],
    );
    let all = r"windlass: v1
workflow: all
steps:
  core: { uses: ./core.yaml, with: { version: '1.2.0' } }
  payments: { uses: ./payments.yaml, with: { version: '3.0.0' } }
";
    site.write("all.yaml", all);
    refused(
        &site,
        &["run", "all.yaml", "--detach"],
        &[
            "step `core/deploy` requires payments ^3 in production",
            "this release is to deliver core in production 1.2.0",
            "it is a circle",
        ],
    );
    assert!(site.show("all-1").is_none() && site.show("payments-1").is_none(), "nothing was started");
    let wrong = "step `deploy` delivers a version: `next` is no version such as `2.4.1`";
    refused(&site, &run("payments.yaml", "version=next"), &[wrong]);
    refused(&site, &["service", "show", "core"], &["no version of core is known; known are"]);
    refused(&site, &["service", "set", "core", "--version", "x", "--reason", "y"], &["`x` is no version"]);
    refused(&site, &["service", "set", "core", "--version", "1", "--reason", " "], &["a reason is missing"]);
}

#[test]
fn services_inside_of_one_release_come_in_the_order_of_their_needs() {
    let service = Service::start();
    let site = site(&service);
    for name in ["ledger", "payments"] {
        service.answers(&format!("/deploy/{name}"), 200, "there");
    }
    let all = r"windlass: v1
workflow: all
steps:
  payments: { uses: ./payments.yaml, with: { version: '3.0.0' } }
  ledger: { delay: 300ms, uses: ./ledger.yaml, with: { version: '2.5.0' } }
";
    site.write("all.yaml", all);
    let ran = site.run(&["run", "all.yaml"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let wait = "step `payments/deploy` will wait for ledger >=2.4 in production: this release is to deliver 2.5.0";
    assert!(ran.stderr.contains(wait), "{ran:?}");
    let deployed = |release: &str| site.show(release).and_then(|it| it.steps[1].ended_at).expect("it was deployed");
    assert!(deployed("ledger-1") <= deployed("payments-1"));
    let story = site.good(&["release", "show", "payments-1"]).stdout;
    assert!(story.contains("waits: requires ledger >=2.4") && story.contains("is not held any more"), "{story}");
}

#[test]
fn what_is_rolled_back_is_not_live_any_more() {
    let (site, _counterparts) = payments(Deployment::Succeeds, 0, 0);
    let change = r"windlass: v1
workflow: change
parameters: { version: { type: string } }
steps:
  change:
    uses: servicenow/create-change@^0.1
    connection: itsm
    with: { short_description: '${{ parameters.version }}' }
    delivers: { service: ledger, version: '${{ parameters.version }}' }
";
    site.write("change.yaml", change);
    let mut serve = site.serve();
    for (version, release) in [("version=1.0", "change-1"), ("version=2.0", "change-2")] {
        site.good(&run("change.yaml", version));
        assert_eq!(site.ended(release).state, "succeeded");
    }
    let live = || site.json(&["service", "show", "ledger"])["live"].clone();
    assert_eq!(live(), json!("2.0.0"));
    site.good(&["release", "rollback", "change-2", "--reason", "too slow"]);
    site.until("change-2", "it is over", |it| it.state == "rolled back");
    assert_eq!(live(), json!("1.0.0"), "the one before is live again");
    serve.kill_9();
    let _serve = site.serve();
    assert_eq!(live(), json!("1.0.0"));
    site.good(&["service", "set", "ledger", "--version", "1.1", "--reason", "by hand", "--as", "ana"]);
    assert_eq!(live(), json!("1.1.0"));
    site.check();
}

/// A step that only looks whether a version is there has nothing to roll back, and what it looked at is gone.
#[test]
fn what_a_look_found_live_is_not_when_what_it_stands_on_was_rolled_back() {
    let (site, _counterparts) = payments(Deployment::Succeeds, 0, 0);
    let service = Service::start();
    service.answers("/health", 200, "well");
    site.good(&["connection", "add", "api", "--url", &service.url, "--private-network"]);
    let change = r"windlass: v1
workflow: change
parameters: { version: { type: string } }
steps:
  change:
    uses: servicenow/create-change@^0.1
    connection: itsm
    with: { short_description: '${{ parameters.version }}' }
  verify:
    needs: [change]
    uses: http/get@^0.1
    connection: api
    with: { path: /health }
    delivers: { service: ledger, version: '${{ parameters.version }}' }
";
    site.write("change.yaml", change);
    let mut serve = site.serve();
    for (version, release) in [("version=1.0", "change-1"), ("version=2.0", "change-2")] {
        site.good(&run("change.yaml", version));
        assert_eq!(site.ended(release).state, "succeeded");
    }
    let live = || site.json(&["service", "show", "ledger"])["live"].clone();
    assert_eq!(live(), json!("2.0.0"));
    site.good(&["release", "rollback", "change-2", "--reason", "too slow"]);
    site.until("change-2", "it is over", |it| it.state == "rolled back");
    assert_eq!(live(), json!("1.0.0"), "the one before is live again");
    // What is forgotten stays so when its release is looked at again.
    site.good(&["service", "forget", "ledger", "--reason", "it was shut down"]);
    let refused = site.run(&["release", "cancel", "change-1", "--reason", "it ended long ago"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    serve.kill_9();
    assert_eq!(site.json(&["service", "list"]), json!([]));
}
