//! Releases that wait for each other in a circle say so, link by link, and what to do; one that would close a circle is
//! refused.

use windlass_server::view::{ReleaseView, WaitView};

use crate::support::{Service, Site, noop};

fn in_circle(view: &ReleaseView) -> Option<&WaitView> {
    view.waits.iter().find(|it| !it.circle.is_empty())
}

/// Waits until a release is in a circle; gives how that is told.
fn circle(site: &Site, release: &str) -> WaitView {
    let view = site.until(release, "it waits in a circle", |it| in_circle(it).is_some());
    in_circle(&view).expect("just seen").clone()
}

const DEPLOY: &str = r"windlass: v1
workflow: NAME
TOPsteps:
  deploy:
    MORE
    uses: http/get@^0.1
    connection: service
    with: { path: '/deploy/NAME' }
    retry: { attempts: 1 }
";

#[test]
fn who_keeps_a_place_and_waits_for_who_waits_for_that_place_says_so() {
    let service = Service::start();
    let site = Site::new();
    site.good(&["connection", "add", "service", "--url", &service.url, "--private-network"]);
    let group = "concurrency: { group: prod }\n";
    let delivers = "delivers: { service: ledger, version: '2' }";
    let requires = "requires: [{ service: ledger, version: '>=2' }]";
    for (name, top, more) in [("ledger", "", delivers), ("later", group, delivers), ("payments", group, requires)] {
        let text = DEPLOY.replace("NAME", name).replace("TOP", top).replace("MORE", more);
        site.write(&format!("{name}.yaml"), &text);
    }
    let _serve = site.serve();
    // What the ledger's first release deploys does not answer.
    site.good(&["run", "ledger.yaml", "--detach"]);
    site.until("ledger-1", "its deployment failed", |it| it.state == "paused");
    site.good(&["run", "payments.yaml", "--detach"]);
    site.until("payments-1", "it waits for the ledger", |it| it.waits.iter().any(|it| it.cause == "service"));
    site.good(&["run", "later.yaml", "--detach"]);
    let queued = |it: &ReleaseView| it.state == "queued" && !it.waits.is_empty();
    let view = site.until("later-1", "it waits for its place", queued);
    assert_eq!(in_circle(&view), None, "the first one may still deliver");
    site.good(&["release", "cancel", "ledger-1", "--reason", "it is broken"]);
    let keeps = circle(&site, "payments-1");
    assert_eq!(
        keeps.circle,
        [
            "payments-1 waits for ledger >=2 (step `deploy`), which later-1 is to deliver",
            "later-1 waits for a place in group prod, which payments-1 must leave first"
        ]
    );
    assert_eq!(
        (keeps.cause.as_str(), keeps.command.as_str()),
        ("service", "windlass release cancel payments-1 --reason …")
    );
    assert!(
        keeps.text.contains("nobody goes on: payments-1 waits") && keeps.text.ends_with("it is a circle"),
        "{keeps:?}"
    );
    let waits = circle(&site, "later-1");
    assert_eq!((waits.cause.as_str(), &waits.command, waits.circle.len()), ("queue", &keeps.command, 2));
    let shown = site.good(&["release", "show", "later-1"]).stdout;
    assert!(shown.contains("it is a circle") && shown.contains("release cancel payments-1"), "{shown}");
    // Without the one that waits, the next one of its kind would close the circle.
    site.good(&["release", "cancel", "later-1", "--reason", "not like this"]);
    let ran = site.run(&["run", "later.yaml", "--detach"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    for text in [
        "this release waits for a place in group prod",
        "which this release is to deliver",
        "release cancel payments-1",
    ] {
        assert!(ran.stderr.contains(text), "{text}: {ran:?}");
    }
    assert!(site.show("later-2").is_none(), "nothing is left of it");
    site.good(&["release", "cancel", "payments-1", "--reason", "it has the place"]);
    service.answers("/deploy/later", 200, "there");
    site.good(&["run", "later.yaml", "--detach"]);
    assert!(site.ended("later-2").succeeded);
    site.check();
}

#[test]
fn two_that_take_two_groups_in_opposite_orders_say_so() {
    let site = Site::empty();
    site.good(&["plugin", "install", noop().to_str().expect("text")]);
    for (name, group, inner) in [("one", "a", "in-b"), ("two", "b", "in-a")] {
        let text = format!(
            "windlass: v1\nworkflow: {name}\nconcurrency: {{ group: {group} }}\nsteps:\n  go:\n    uses: noop/noop\n    gates: [{{ approval: {{ from: user:ana }} }}]\n  inside: {{ needs: [go], uses: ./{inner}.yaml }}\n"
        );
        site.write(&format!("{name}.yaml"), &text);
        let group = &inner[3..];
        let text = format!(
            "windlass: v1\nworkflow: {inner}\nconcurrency: {{ group: {group} }}\nsteps:\n  work: {{ uses: noop/noop }}\n"
        );
        site.write(&format!("{inner}.yaml"), &text);
    }
    let _serve = site.serve();
    for name in ["one", "two"] {
        site.good(&["run", &format!("{name}.yaml"), "--detach"]);
        site.until(&format!("{name}-1"), "it asks", |it| it.waits.iter().any(|it| it.cause == "approval"));
    }
    for release in ["one-1", "two-1"] {
        site.good(&["release", "approve", release, "--as", "ana"]);
    }
    for release in ["one-1", "in-b-1", "two-1", "in-a-1"] {
        let told = circle(&site, release);
        assert_eq!(told.circle.len(), 4, "{told:?}");
        assert!(told.circle[0].starts_with(&format!("{release} waits for ")), "{told:?}");
    }
    site.good(&["release", "cancel", "one-1", "--reason", "the other one goes first"]);
    assert!(site.ended("two-1").succeeded);
}
