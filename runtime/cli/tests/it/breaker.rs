//! Circuit breakers as people use them: a service that fails and heals, a process that is killed, a person who opens
//! and closes them, and what they never hold.

use serde_json::Value;
use windlass_server::view::{ReleaseView, WaitView};

use crate::support::release::{Deployment, RELEASE, payments};
use crate::support::{Service, Site, eventually, noop};

const KEY: &str = "connection:http/api";

const CALLS: &str = r"windlass: v1
workflow: calls
steps:
  look:
    uses: http/get@^0.1
    connection: api
    with: { path: /app }
    retry: { attempts: 100, backoff: 100ms, max_backoff: 100ms }
    on_failure: fail
";

const ONCE: &str = r"windlass: v1
workflow: once
steps:
  look:
    uses: http/get@^0.1
    connection: api
    with: { path: /app }
    on_failure: fail
";

const QUICK: &str = "windlass: v1\nworkflow: quick\nsteps:\n  look:\n    uses: noop/noop\n";

fn site(service: &Service) -> Site {
    let site = Site::new();
    site.good(&["connection", "add", "api", "--url", &service.url, "--private-network"]);
    site.write("calls.yaml", CALLS);
    site.write("once.yaml", ONCE);
    site
}

fn show(site: &Site, key: &str) -> Value {
    site.json(&["breaker", "show", key])
}

fn history(breaker: &Value) -> Vec<String> {
    let history = breaker["history"].as_array().map(Vec::as_slice).unwrap_or_default();
    history.iter().filter_map(|it| it["to"].as_str()).map(str::to_owned).collect()
}

fn held(view: &ReleaseView) -> Option<&WaitView> {
    view.waits.iter().find(|it| it.cause == "breaker")
}

fn refused(site: &Site, arguments: &[&str], says: &str) {
    let ran = site.run(arguments);
    assert!(ran.code == Some(2) && ran.stderr.contains(says), "{arguments:?}: {ran:?}");
}

#[test]
fn releases_wait_for_a_service_that_fails_one_tries_it_and_all_go_on() {
    let service = Service::start();
    service.answers("/app", 503, "not now");
    let site = site(&service);
    let mut serve = site.serve();
    let set = ["breaker", "set", KEY, "--of", "1000", "--consecutive", "3", "--cooldown", "2s", "--as", "ana"];
    let set = site.json(&set);
    assert_eq!((set["state"].as_str(), set["set_by"].as_str()), (Some("closed"), Some("ana")), "{set}");
    let releases: Vec<String> = (1..=4).map(|it| format!("calls-{it}")).collect();
    for _ in &releases {
        site.good(&["run", "calls.yaml", "--detach"]);
    }
    for release in &releases {
        let view = site.until(release, "it waits for the breaker", |it| held(it).is_some());
        let wait = held(&view).expect("just seen");
        assert!(wait.text.starts_with("connection:http/api is "), "{wait:?}");
        assert_eq!(wait.command, "windlass breaker reset connection:http/api --reason …");
        assert_eq!(wait.owner, "the service behind `api`");
        assert_eq!(view.steps[0].state, "held");
    }
    serve.kill_9();
    // While nothing runs it is told all the same.
    let open = show(&site, KEY);
    assert_ne!(open["state"], "closed", "{open}");
    assert!(open["samples"].as_array().is_some_and(|it| it.len() >= 3), "{open}");
    let _serve = site.serve();
    // Probes come and fail, one for each time that it is half open; nobody is spent by them.
    let before = history(&show(&site, KEY)).len();
    eventually("a probe fails again", || {
        let seen = history(&show(&site, KEY));
        (seen.len() >= before + 3 && seen.last().is_some_and(|it| it == "open")).then_some(())
    });
    for release in &releases {
        assert!(!site.show(release).expect("the release").ended, "{release}");
    }
    service.answers("/app", 200, "fine");
    let mut attempts = 0;
    for release in &releases {
        let view = site.ended(release);
        assert!(view.succeeded, "{view:#?}");
        let story = site.good(&["release", "show", release]).stdout;
        attempts += story.matches("starts, attempt ").count();
        assert!(story.contains("is held by the breaker connection:http/api: "), "{story}");
        assert!(story.contains("is not held any more"), "{story}");
    }
    let closed = show(&site, KEY);
    assert_eq!((closed["state"].as_str(), &closed["waiting"]), (Some("closed"), &serde_json::json!([])), "{closed}");
    let last = &closed["history"].as_array().expect("its history").last().expect("a change")["why"];
    assert!(last.as_str().is_some_and(|it| it.starts_with("the probe calls-") && it.ends_with("ended well")), "{last}");
    // No attempt was counted that was not made, and while it was not closed only probes were.
    let (asked, seen) = (service.asked("/app"), history(&closed));
    assert_eq!(asked, attempts);
    let probes = seen.iter().filter(|it| *it == "half-open").count();
    assert!(asked <= 4 + probes + 3, "{asked} requests, {probes} probes: {seen:?}");
    site.check();
}

#[test]
fn a_workflow_whose_releases_fail_is_tried_with_one_release() {
    let service = Service::start();
    let site = site(&service);
    let _serve = site.serve();
    let set = ["breaker", "set", "workflow:once", "--of", "1000", "--consecutive", "2", "--cooldown", "2s"];
    site.good(&set);
    for release in ["once-1", "once-2"] {
        site.good(&["run", "once.yaml", "--detach"]);
        assert_eq!(site.ended(release).state, "failed");
    }
    let open = eventually("it opens", || Some(show(&site, "workflow:once")).filter(|it| it["state"] == "open"));
    assert_eq!(open["why"], "2 failed in a row; the last: failed", "{open}");
    service.answers("/app", 200, "fine");
    for _ in 3..=5 {
        site.good(&["run", "once.yaml", "--detach"]);
    }
    for release in ["once-3", "once-4", "once-5"] {
        assert!(site.ended(release).succeeded);
    }
    let closed = show(&site, "workflow:once");
    assert_eq!(history(&closed), ["open", "half-open", "closed"], "{closed}");
    site.good(&["breaker", "unset", "workflow:once"]);
    refused(&site, &["breaker", "show", "workflow:once"], "there is no breaker `workflow:once`; there are none");
}

const SHIP: &str = r"windlass: v1
workflow: ship
tenant: retail
parameters: { version: { type: string } }
steps:
  staging:
    uses: http/get@^0.1
    connection: api
    with: { path: /staging }
    delivers: { service: shop, version: '${{ parameters.version }}', environment: staging }
  production:
    needs: [staging]
    uses: http/get@^0.1
    connection: api
    with: { path: /production }
    retry: { attempts: 1 }
    on_failure: fail
    delivers: { service: shop, version: '${{ parameters.version }}', environment: production }
";

/// The end of a run that waits for what it started, in this environment.
fn needs(environment: &str) -> String {
    format!(
        "windlass: v1\nworkflow: needs-{environment}\nsteps:\n  look:\n    uses: noop/noop\n    \
         requires: {{ service: shop, version: '>=0.1', environment: {environment} }}\n"
    )
}

/// What failed in production says nothing of staging, nor of who works there; who depends on production waits.
#[test]
fn a_service_that_cannot_be_delivered_somewhere_holds_who_brings_and_who_needs_it_there() {
    let service = Service::start();
    let site = site(&service);
    service.answers("/staging", 200, "fine");
    service.answers("/production", 503, "not now");
    site.good(&["plugin", "install", noop().to_str().expect("text")]);
    site.write("ship.yaml", SHIP);
    let environments = ["staging", "production"];
    for environment in environments {
        site.write(&format!("needs-{environment}.yaml"), &needs(environment));
    }
    let mut serve = site.serve();
    let set = |key: &str| {
        site.good(&["breaker", "set", key, "--of", "1000", "--consecutive", "2", "--cooldown", "2s"]);
    };
    let (staging, production) = ("service:shop/staging", "service:shop/production");
    for key in [staging, production, "environment:production", "tenant:retail", "tenant:default"] {
        set(key);
    }
    site.good(&["service", "set", "shop", "--environment", "production", "--version", "0.9", "--reason", "by hand"]);
    for release in ["ship-1", "ship-2"] {
        site.good(&["run", "ship.yaml", "--param", "version=1.0.0", "--detach"]);
        assert_eq!(site.ended(release).state, "failed");
    }
    for key in [production, "environment:production", "tenant:retail"] {
        let open = show(&site, key);
        assert_eq!(open["why"], "2 failed in a row; the last: failed", "{open}");
    }
    let good = show(&site, staging);
    assert_eq!((&good["state"], &good["counted"], &good["failures"]), (&"closed".into(), &2.into(), &0.into()));
    assert_eq!(show(&site, "tenant:default")["counted"], 0);
    // Across a kill, too.
    serve.kill_9();
    site.good(&["breaker", "trip", "environment:production", "--reason", "the network is down", "--as", "ana"]);
    let reach = site.json(&["breaker", "trip", "environment:staging", "--dry-run"]);
    assert_eq!(reach["reach"]["holds"], serde_json::json!({}), "{reach}");
    let _serve = site.serve();
    for file in ["ship.yaml", "needs-production.yaml"] {
        let version = if file == "ship.yaml" { &["--param", "version=1.0.0"][..] } else { &[] };
        site.good(&[&["run", file, "--detach"], version].concat());
    }
    assert_eq!(site.run(&["run", "needs-staging.yaml"]).code, Some(0), "nothing holds it");
    for release in ["ship-3", "needs-production-1"] {
        // By the others, too, until these are half-open.
        let down = "environment:production is open: ana opened it: the network is down";
        site.until(release, "a person holds it", |it| held(it).is_some_and(|it| it.text == down));
    }
    for (key, held) in [("service:shop", true), ("service:shop/production", true), ("tenant:retail", false)] {
        let reach = site.json(&["breaker", "trip", key, "--dry-run"]);
        assert_eq!(reach["reach"]["holds"]["needs-production-1"].is_array(), held, "{key}: {reach}");
        assert!(reach["reach"]["holds"]["ship-3"].is_array(), "{key}: {reach}");
    }
    service.answers("/production", 200, "fine");
    site.good(&["breaker", "reset", "environment:production", "--reason", "it is up again", "--as", "ana"]);
    assert!(site.ended("ship-3").succeeded && site.ended("needs-production-1").succeeded);
    for key in [production, "tenant:retail"] {
        assert_eq!(show(&site, key)["state"], "closed");
    }
    site.check();
}

/// A version that went back for the sake of the next place says nothing of the place where it had been well.
#[test]
fn what_is_rolled_back_for_the_sake_of_another_place_counts_there_only() {
    let (site, _counterparts) = payments(Deployment::Succeeds, 0, 0);
    let service = Service::start();
    service.answers("/production", 503, "not now");
    site.good(&["connection", "add", "api", "--url", &service.url, "--private-network"]);
    let change = "uses: servicenow/create-change@^0.1\n    connection: itsm\n    with: { short_description: x }";
    let staging = "uses: http/get@^0.1\n    connection: api\n    with: { path: /staging }";
    site.write("ship.yaml", &SHIP.replace(staging, change).replace("on_failure: fail", "on_failure: rollback"));
    let _serve = site.serve();
    for key in ["service:shop/staging", "service:shop/production", "service:shop"] {
        site.good(&["breaker", "set", key, "--consecutive", "5"]);
    }
    site.good(&["run", "ship.yaml", "--param", "version=1.0.0", "--detach"]);
    assert_eq!(site.ended("ship-1").state, "rolled back");
    let counted = |key: &str| show(&site, key)["failures"].clone();
    let keys = ["service:shop/staging", "service:shop/production", "service:shop"];
    assert_eq!(keys.map(counted), [0, 1, 1].map(Value::from));
    assert_eq!(show(&site, "service:shop/staging")["counted"], 0, "nor for it: it is not there any more");
    // What never had its turn failed nowhere.
    let early = SHIP.replace("workflow: ship", "workflow: early");
    site.write("early.yaml", &early.replace("path: /staging }", "path: /staging }\n    on_failure: fail"));
    site.good(&["run", "early.yaml", "--param", "version=1.0.0", "--detach"]);
    assert_eq!(site.ended("early-1").state, "failed");
    assert_eq!(keys.map(counted), [1, 1, 2].map(Value::from));
    assert_eq!(show(&site, "service:shop/production")["counted"], 1);
}

#[test]
fn what_a_person_opens_stays_open_across_kill_9_until_a_person_closes_it() {
    let site = Site::empty();
    site.good(&["plugin", "install", noop().to_str().expect("text")]);
    site.write("quick.yaml", QUICK);
    let mut serve = site.serve();
    let trip = ["breaker", "trip", "global", "--reason", "incident 4711", "--as", "ana"];
    site.good(&trip);
    refused(&site, &trip, "global is open already: ana opened it: incident 4711");
    for release in ["quick-1", "quick-2"] {
        site.good(&["run", "quick.yaml", "--detach"]);
        let view = site.until(release, "it waits", |it| held(it).is_some());
        let wait = held(&view).expect("just seen");
        assert_eq!((wait.owner.as_str(), wait.until), ("ana", None));
        assert_eq!(wait.text, "global is open: ana opened it: incident 4711");
    }
    serve.kill_9();
    let _serve = site.serve();
    let waiting = ["quick-1", "quick-2"];
    eventually("both wait again", || (show(&site, "global")["waiting"] == serde_json::json!(waiting)).then_some(()));
    // Cancelling is never held.
    site.good(&["release", "cancel", "quick-1", "--reason", "not needed"]);
    assert_eq!(site.ended("quick-1").state, "canceled");
    assert!(!site.show("quick-2").expect("the release").ended);
    let list = site.good(&["breaker", "list"]).stdout;
    assert!(list.contains("global  open  ana opened it: incident 4711"), "{list}");
    site.good(&["breaker", "reset", "global", "--reason", "over", "--as", "ben"]);
    assert!(site.ended("quick-2").succeeded);
    let shown = site.good(&["breaker", "show", "global"]).stdout;
    assert!(shown.contains("closed: ben closed it: over (asserted by local user "), "{shown}");
    refused(&site, &["breaker", "reset", "global", "--reason", "x"], "global is closed: nothing is held");
}

/// A release inside of another one goes back when that one fails afterwards; where it delivered, all had been well.
#[test]
fn what_goes_back_with_the_release_around_it_counts_against_nobody() {
    let (site, _counterparts) = payments(Deployment::Succeeds, 0, 0);
    let service = Service::start();
    service.answers("/after", 503, "not now");
    site.good(&["connection", "add", "api", "--url", &service.url, "--private-network"]);
    let inner = r"windlass: v1
workflow: inner
steps:
  change:
    uses: servicenow/create-change@^0.1
    connection: itsm
    with: { short_description: x }
    delivers: { service: shop, version: '1.0.0' }
";
    let outer = r"windlass: v1
workflow: outer
steps:
  inner: { uses: ./inner.yaml }
  after:
    needs: [inner]
    uses: http/get@^0.1
    connection: api
    with: { path: /after }
    retry: { attempts: 1 }
    on_failure: rollback
";
    site.write("inner.yaml", inner);
    site.write("outer.yaml", outer);
    let _serve = site.serve();
    site.good(&["breaker", "set", "service:shop", "--consecutive", "5"]);
    site.good(&["run", "outer.yaml", "--detach"]);
    assert_eq!(site.ended("outer-1").state, "rolled back");
    assert_eq!(site.ended("inner-1").state, "rolled back");
    let seen = show(&site, "service:shop");
    assert_eq!((&seen["counted"], &seen["failures"]), (&1.into(), &0.into()), "it was well there: {seen}");
}

/// An incident holds everything, until it is over; across a kill, and however often it is told.
#[test]
fn what_an_alert_opens_stays_open_until_that_is_resolved() {
    let site = Site::empty();
    site.good(&["plugin", "install", noop().to_str().expect("text")]);
    site.write("quick.yaml", QUICK);
    let mut serve = site.serve();
    let of_all = ["breaker", "set", "global", "--alert", "Incident", "--alert-label", "severity=1"];
    let cooled = ["--cooldown", "1s"];
    refused(&site, &[&of_all[..], &cooled].concat(), "nothing is counted for the breaker `global`");
    assert_eq!(site.json(&of_all)["rule"], "people and alerts open and close it");
    let of_one = ["breaker", "set", "workflow:quick", "--alert", "Incident", "--alert-label", "severity=1"];
    site.json(&[&of_one[..], &cooled].concat());
    let fire = |severity: &str, since: &str| {
        let label = format!("severity={severity}");
        site.json(&["alert", "fire", "Incident", "--label", &label, "--label", "where=db", "--since", since])
    };
    assert_eq!(fire("2", "now")["opened"], Value::Null);
    let since = "2026-01-01T00:00:00Z";
    let both = serde_json::json!(["workflow:quick", "global"]);
    assert_eq!(fire("1", since)["opened"], both);
    assert_eq!(fire("1", since)["opened"], Value::Null, "it is known");
    site.good(&["run", "quick.yaml", "--detach"]);
    let down = "global is open: alert Incident (severity=1, where=db)";
    site.until("quick-1", "it is held", |it| held(it).is_some_and(|it| it.text == down));
    serve.kill_9();
    let _serve = site.serve();
    let open = show(&site, "global");
    assert_eq!((&open["state"], &open["firing"][0]["since"]), (&"open".into(), &1_767_225_600_000_u64.into()));
    let shown = site.good(&["breaker", "show", "global"]).stdout;
    assert!(shown.contains("until      the alerts that fire are resolved"), "{shown}");
    assert!(shown.contains("alert      open while Incident (severity=1) fires"), "{shown}");
    assert!(!site.show("quick-1").expect("the release").ended);
    let resolve = ["alert", "resolve", "Incident", "--label", "severity=1", "--label", "where=db"];
    assert_eq!(site.json(&resolve)["calmed"], both);
    // The one closes, the other cools down and takes it for its probe.
    assert!(site.ended("quick-1").succeeded);
    assert_eq!(history(&show(&site, "workflow:quick")), ["open", "half-open", "closed"]);
    assert_eq!(show(&site, "global")["state"], "closed");
    // Somebody knows better; the same incident does not open it again, the next one does.
    fire("1", since);
    let reset = ["breaker", "reset", "global", "--reason", "it is elsewhere"];
    site.good(&reset);
    assert_eq!(fire("1", since)["opened"], Value::Null);
    assert_eq!(show(&site, "global")["state"], "closed");
    assert_eq!(fire("1", "2026-01-02T00:00:00Z")["opened"], both);
    site.check();
}

#[test]
fn a_rollback_is_not_held() {
    let (site, counterparts) = payments(Deployment::Fails, 0, 0);
    let _serve = site.serve();
    site.good(&["run", "payments.yaml", "--param", "version=1.2.3", "--detach"]);
    site.until(RELEASE, "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    site.good(&["breaker", "trip", "connection:servicenow/itsm", "--reason", "maintenance"]);
    site.good(&["release", "approve", RELEASE, "--as", "ana", "--comment", "go"]);
    assert_eq!(site.ended(RELEASE).state, "rolled back");
    let changes: Vec<String> = counterparts.servicenow.effects().into_iter().map(|it| it.kind).collect();
    assert_eq!(changes, ["change.created", "task.created", "task.updated", "change.updated"]);
    // What begins anew is.
    site.good(&["run", "payments.yaml", "--param", "version=1.2.4", "--detach"]);
    let view = site.until("payments-2", "it is held", |it| held(it).is_some());
    assert_eq!(held(&view).expect("just seen").step, "change");
    site.good(&["release", "rollback", "payments-2", "--reason", "not today"]);
    assert_eq!(site.ended("payments-2").state, "rolled back");
    assert_eq!(counterparts.servicenow.effects().len(), 4, "what was held did nothing");
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let service = Service::start();
    let site = site(&service);
    for (arguments, says) in [
        (&["show", "global"][..], "there is no breaker `global`; there are none"),
        (&["show", "x"], "`x` is no breaker: write `connection:PLUGIN/CONNECTION`, `workflow:NAME`, `service:NAME`"),
        (&["set", "connection:http"], "`connection:http` is no breaker"),
        (&["set", "connection:htp/api"], "no plugin `htp` is installed; there is "),
        (&["set", "connection:http/app"], "no connection `app` is declared; there is `api`"),
        (&["trip", "connection:http/app", "--reason", "x"], "no connection `app` is declared; there is `api`"),
        (&["set", "global"], "only people open and close it (`windlass breaker trip global --reason …`), and alerts"),
        (&["set", KEY, "--alert", ""], "a value is required for '--alert <NAME>'"),
        (&["set", KEY, "--alert-label", "a=b"], "--alert <NAME>"),
        (&["set", KEY, "--alert", "a", "--alert-label", "b"], "write NAME=VALUE"),
        (&["set", KEY, "--alert", "a", "--alert-label", "alertname=b"], "the label `alertname` is given twice"),
        (&["set", KEY, "--failures", "half"], "`half` is no share: write a whole number of percent"),
        (&["set", KEY, "--failures", "0%"], "the share of failures is 0%: it may be 1% to 100%"),
        (&["set", KEY, "--of", "0"], "the number of samples is 0: it may be 1 to 10000"),
        (&["set", KEY, "--within", "10"], "`10` is no length of time"),
        (&["set", KEY, "--cooldown", "8d"], "the cooldown is 8d: it may be 100ms to 7d"),
        (&["set", KEY, "--probes", "0"], "the number of probes is 0: it may be 1 to 1000"),
        (&["trip", "global"], "--reason"),
        (&["trip", "global", "--reason", " "], "a reason is missing"),
        (&["reset", "global", "--reason", "x"], "there is no breaker `global`"),
        (&["unset", "workflow:x"], "there is no breaker `workflow:x`"),
    ] {
        refused(&site, &[&["breaker"], arguments].concat(), says);
    }
    assert_eq!(site.json(&["breaker", "list"]), serde_json::json!([]));
    // As by default, and what is left out of it.
    let view = site.json(&["breaker", "set", KEY]);
    let rule = "50% of at least 10 within 10m, or 5 in a row; open for 5m, then 1 good probe";
    assert_eq!(view["rule"], rule, "{view}");
    let view = site.json(&["breaker", "set", KEY, "--consecutive", "0", "--probes", "3"]);
    assert_eq!(view["rule"], "50% of at least 10 within 10m; open for 5m, then 3 good probes in a row", "{view}");
}
