//! Rehearsals on copies, what a release shows of them, and rollbacks that an open breaker starts.

use crate::support::release::{Deployment, PAYMENTS, payments};
use crate::support::{Counterparts, Service, Site, job};

const RULES: &str = "rollback: { objective: 10m, rehearsed_within: 30d }\nsteps:\n";

/// Production, and copies of all of it.
fn site() -> (Site, Counterparts, Counterparts) {
    let (site, production) = payments(Deployment::Succeeds, 0, 0);
    let copies = Counterparts::start();
    for name in ["build", "deploy"] {
        assert!(copies.jenkins.configure_job(job(name, 0, "SUCCESS")), "this is Jenkins");
    }
    copies.declare_as(&site, "-copy");
    site.write("payments.yaml", &PAYMENTS.replacen("steps:\n", RULES, 1));
    (site, production, copies)
}

fn refused(site: &Site, arguments: &[&str], says: &[&str]) {
    let ran = site.run(arguments);
    assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
    for text in says {
        assert!(ran.stderr.contains(text), "{text}: {ran:?}");
    }
}

fn rehearse<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["rehearse", "payments.yaml", "--param", "version=1.2.3", "--on", "ci=ci-copy", "--detach"], more].concat()
}

#[test]
fn a_rehearsal_changes_copies_only_and_is_what_a_release_needs() {
    let (site, production, copies) = site();
    let mut serve = site.serve();
    let run = ["run", "payments.yaml", "--param", "version=1.2.3", "--detach"];
    refused(&site, &run, &["within 30d, and it never was", "windlass rehearse"]);

    site.good(&rehearse(&["--on", "itsm=itsm-copy"]));
    site.until("payments-1", "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    // Whoever takes it over knows that it is one.
    serve.kill_9();
    let mut serve = site.serve();
    site.good(&["release", "approve", "payments-1", "--as", "ana"]);
    let view = site.ended("payments-1");
    assert_eq!((view.state.as_str(), view.rehearsal), ("rolled back", true));
    let rollback = view.rollback.expect("it was rolled back");
    assert_eq!(rollback.trigger, "rehearsal");
    assert!(rollback.ended_at.is_some() && !rollback.is_overdue, "{rollback:?}");
    assert!(production.effects(production.mark()).is_empty() && production.jenkins.effects().is_empty());
    assert!(production.servicenow.effects().is_empty(), "production is as it was");
    let changes: Vec<String> = copies.servicenow.effects().into_iter().map(|it| it.kind).collect();
    assert_eq!(changes, ["change.created", "task.created", "task.updated", "change.updated"]);

    serve.kill_9();
    let _serve = site.serve();
    site.good(&run);
    let view = site.show("payments-2").expect("a release");
    let rehearsed = view.rehearsed.expect("there was one");
    assert!(rehearsed.is_same && rehearsed.last.is_good, "{rehearsed:?}");
    assert_eq!(rehearsed.last.release.to_string(), "payments-1");
    assert!(rehearsed.last.took.is_some(), "{rehearsed:?}");
    let shown = site.good(&["release", "show", "payments-2"]).stdout;
    assert!(shown.contains("ago in payments-1: ") && shown.contains("s of 10m"), "{shown}");
    site.until("payments-2", "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    assert!(!production.jenkins.effects().is_empty(), "this one is real");

    // What was rehearsed is this definition, and no other.
    site.write("payments.yaml", &PAYMENTS.replacen("steps:\n", &RULES.replace("10m", "9m"), 1));
    refused(&site, &run, &["payments-1, was of another definition"]);
    site.check();
}

#[test]
fn a_drill_is_made_on_copies_at_its_time_and_an_overdue_one_is_told() {
    let (site, production, copies) = site();
    let _serve = site.serve();
    let set = ["drill", "set", "quarterly", "--cron", "0 9 1 1,4,7,10 *", "--workflow", "payments.yaml"];
    let more = ["-p", "version=1.2.3", "--on", "ci=ci-copy"];
    refused(&site, &[&set[..], &more].concat(), &["step `change` changes something at `itsm`", "`itsm=COPY`"]);
    site.good(&[&set[..], &more, &["--on", "itsm=itsm-copy"]].concat());
    let shown = site.good(&["schedule", "show", "quarterly"]).stdout;
    assert!(shown.contains("ci on ci-copy, itsm on itsm-copy"), "{shown}");
    let overdue = site.run(&["drill", "list"]);
    assert_eq!(overdue.code, Some(1), "{overdue:?}");
    assert!(overdue.stdout.contains("overdue: it never was"), "{overdue:?}");
    // It does not fail for what it is to show.
    site.good(&["schedule", "run", "quarterly"]);
    site.until("payments-1", "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    assert!(site.show("payments-1").expect("a release").rehearsal);
    site.good(&["release", "approve", "payments-1", "--as", "ana"]);
    assert_eq!(site.ended("payments-1").state, "rolled back");
    assert!(production.servicenow.effects().is_empty() && production.jenkins.effects().is_empty());
    assert!(!copies.servicenow.effects().is_empty(), "it was made on copies");
    let drills = site.json(&["drill", "list"]);
    assert_eq!(
        (&drills[0]["last"]["release"], &drills[0]["overdue"]),
        (&"payments-1".into(), &serde_json::Value::Null)
    );
    // Of another definition nothing was shown.
    site.write("payments.yaml", &PAYMENTS.replacen("steps:\n", &RULES.replace("10m", "9m"), 1));
    site.good(&[&set[..], &more, &["--on", "itsm=itsm-copy"]].concat());
    let overdue = site.run(&["drill", "list"]);
    assert_eq!(overdue.code, Some(1), "{overdue:?}");
    assert!(overdue.stdout.contains("payments-1, was of another definition"), "{overdue:?}");
}

#[test]
fn a_failed_rehearsal_is_none() {
    let (site, _production, copies) = site();
    assert!(copies.jenkins.configure_job(job("build", 0, "FAILURE")), "this is Jenkins");
    site.write(
        "payments.yaml",
        &PAYMENTS.replacen("steps:\n", RULES, 1).replacen("    timeout: 1m\n", "    on_failure: fail\n", 1),
    );
    let _serve = site.serve();
    let ran = site.run(&[
        "rehearse",
        "payments.yaml",
        "--param",
        "version=1.2.3",
        "--on",
        "ci=ci-copy",
        "--on",
        "itsm=itsm-copy",
    ]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("not rehearsed: payments-1 is failed"), "{ran:?}");
    let list = site.json(&["release", "list"]);
    let failure = list[0]["failure"].as_str().expect("a reason");
    assert!(list[0]["rehearsal"] == true && failure.starts_with("build: "), "{list}");
    let drawn = site.good(&["release", "list"]).stdout;
    assert!(drawn.contains(&format!("rehearsal · {failure}")), "{drawn}");
    let shown = site.good(&["release", "show", "payments-1"]).stdout;
    assert!(shown.lines().next().is_some_and(|it| it.ends_with("· rehearsal")), "{shown}");
    let run = ["run", "payments.yaml", "--param", "version=1.2.3", "--detach"];
    refused(&site, &run, &["payments-1, ended as failed, before it came to the rollback"]);
}

#[test]
fn a_copy_is_given_of_all_that_would_be_changed() {
    let (site, production, copies) = site();
    let _serve = site.serve();
    refused(
        &site,
        &rehearse(&[]),
        &["step `change` changes something at `itsm`", "`itsm=COPY`", "that it may be changed itself (`itsm=itsm`)"],
    );
    refused(
        &site,
        &rehearse(&["--on", "itsm=itsm-copy", "--on", "itms=itsm-copy"]),
        &["no step names the connection `itms`; did you mean `itsm`?"],
    );
    refused(&site, &rehearse(&["--on", "itsm"]), &["`--on itsm` names no copy", "production=staging"]);
    refused(&site, &rehearse(&["--on", "ci=ci"]), &["a copy of this connection is given twice"]);
    let ran = site.run(&rehearse(&["--on", "itsm=itsm-kopy"]));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let said = format!("{}{}", ran.stdout, ran.stderr);
    for text in ["there is no connection `itsm-kopy`", "take the place of `itsm`", "did you mean `itsm-copy`?"] {
        assert!(said.contains(text), "{text}: {said}");
    }
    assert_eq!(site.json(&["release", "list"]).to_string().matches("payments-").count(), 0, "nothing was started");
    for counterparts in [production, copies] {
        assert!(counterparts.jenkins.effects().is_empty() && counterparts.servicenow.effects().is_empty());
    }
}

const WAVE: &str = r"windlass: v1
workflow: wave
rollback: { triggers: [breaker] }
steps:
  change:
    uses: servicenow/create-change@^0.1
    connection: itsm
    with: { short_description: wave }
  look:
    needs: [change]
    gates:
      - approval: { from: group:release-managers, min: 1 }
    uses: http/get@^0.1
    connection: api
    with: { path: /app }
";

#[test]
fn an_open_breaker_rolls_back_a_release_that_says_so() {
    let (site, counterparts) = payments(Deployment::Succeeds, 0, 0);
    let service = Service::start();
    service.answers("/app", 200, "fine");
    site.good(&["connection", "add", "api", "--url", &service.url, "--private-network"]);
    site.write("wave.yaml", WAVE);
    site.write("held.yaml", &WAVE.replace("workflow: wave\nrollback: { triggers: [breaker] }", "workflow: held"));
    let _serve = site.serve();
    for (file, release) in [("wave.yaml", "wave-1"), ("held.yaml", "held-1")] {
        site.good(&["run", file, "--detach"]);
        site.until(release, "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    }
    let reach = site.json(&["breaker", "trip", "connection:http/api", "--dry-run"])["reach"].clone();
    let held = serde_json::json!({ "held-1": ["look"], "wave-1": ["look"] });
    assert_eq!((&reach["holds"], &reach["rolls_back"]), (&held, &serde_json::json!(["wave-1"])));
    assert_eq!(site.json(&["breaker", "list"]), serde_json::json!([]), "nothing was opened");
    // Both have begun, so their workflows' breakers hold nothing; where all is held and nothing is left to come
    // before, it is the same.
    let reach = |key: &str| site.json(&["breaker", "trip", key, "--dry-run"])["reach"].clone();
    assert_eq!(reach("workflow:wave"), serde_json::json!({ "holds": {}, "rolls_back": [] }));
    assert_eq!(reach("global")["rolls_back"], serde_json::json!(["wave-1"]));
    let tripped = ["breaker", "trip", "connection:http/api", "--as", "ana", "--reason", "it sheds load"];
    let said = site.good(&tripped).stdout;
    assert!(said.contains("will hold  held-1 before look\n"), "{said}");
    assert!(said.contains("wave-1 before look, and have it rolled back"), "{said}");
    for release in ["wave-1", "held-1"] {
        site.good(&["release", "approve", release, "--as", "ana"]);
    }
    let view = site.ended("wave-1");
    assert_eq!(view.state, "rolled back");
    let trigger = view.rollback.expect("it was rolled back").trigger;
    assert!(trigger.starts_with("connection:http/api: ") && trigger.contains("it sheds load"), "{trigger}");
    site.until("held-1", "the breaker holds it", |it| it.waits.iter().any(|it| it.cause == "breaker"));
    assert_eq!(service.asked("/app"), 0, "nobody asked");
    let changes: Vec<String> = counterparts.servicenow.effects().into_iter().map(|it| it.kind).collect();
    assert_eq!(changes.iter().filter(|it| *it == "change.updated").count(), 1, "one of two: {changes:?}");
    site.good(&["breaker", "reset", "connection:http/api", "--reason", "well again"]);
    assert_eq!(site.ended("held-1").state, "succeeded");
}

#[test]
fn a_rehearsal_that_was_too_slow_is_not_enough() {
    let (site, _production, _copies) = site();
    site.write("payments.yaml", &PAYMENTS.replacen("steps:\n", &RULES.replace("10m", "1ms"), 1));
    let _serve = site.serve();
    site.good(&rehearse(&["--on", "itsm=itsm-copy"]));
    site.until("payments-1", "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    site.good(&["release", "approve", "payments-1", "--as", "ana"]);
    assert!(site.ended("payments-1").rollback.expect("it was rolled back").is_overdue);
    let run = ["run", "payments.yaml", "--param", "version=1.2.3", "--detach"];
    refused(&site, &run, &["in payments-1 it took ", "more than its objective of 1ms"]);
}

#[test]
fn a_rehearsal_that_did_not_go_all_the_way_is_none() {
    let (site, _production, copies) = site();
    assert!(copies.jenkins.configure_job(job("deploy", 0, "FAILURE")), "this is Jenkins");
    let _serve = site.serve();
    let run = ["run", "payments.yaml", "--param", "version=1.2.3", "--detach"];
    // Its file has it rolled back when the deployment fails: all is gone, and nothing was shown.
    site.good(&rehearse(&["--on", "itsm=itsm-copy"]));
    site.until("payments-1", "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    site.good(&["release", "approve", "payments-1", "--as", "ana"]);
    assert_eq!(site.ended("payments-1").state, "rolled back");
    refused(
        &site,
        &run,
        &[
            "payments-1, ended as rolled back before all of it had gone forward (step deploy failed: build-failed (rejected)",
        ],
    );
    // A person stops one half way.
    site.good(&rehearse(&["--on", "itsm=itsm-copy"]));
    site.until("payments-2", "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    site.good(&["release", "rollback", "payments-2", "--reason", "enough"]);
    assert_eq!(site.ended("payments-2").state, "rolled back");
    refused(&site, &run, &["payments-2, ended as rolled back before all of it had gone forward"]);
    // A workflow around it gets nobody round it.
    let outer = "windlass: v1\nworkflow: outer\nsteps:\n  it: { uses: ./payments.yaml, with: { version: 1.2.3 } }\n";
    site.write("outer.yaml", outer);
    refused(&site, &["run", "outer.yaml", "--detach"], &["the rollback of `payments` is to have been rehearsed"]);
    // Nor did any of these count against the workflow.
    site.good(&["breaker", "set", "workflow:payments", "--consecutive", "1"]);
    site.good(&rehearse(&["--on", "itsm=itsm-copy"]));
    site.until("payments-3", "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    site.good(&["release", "rollback", "payments-3", "--reason", "enough"]);
    site.ended("payments-3");
    assert_eq!(site.json(&["breaker", "show", "workflow:payments"])["state"], "closed");
}
