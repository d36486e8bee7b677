//! A deployment that fails rolls back what was done before it, the last step first; the release tells so.

use expect_test::expect;
use windlass_server::view::ReleaseView;

use crate::support::release::{Deployment, PAYMENTS, RELEASE, payments};
use crate::support::scrubbed;

#[test]
fn a_failing_deployment_is_rolled_back_in_the_right_order() {
    let (site, counterparts) = payments(Deployment::Fails, 0, 0);
    let _serve = site.serve();
    site.good(&["run", "payments.yaml", "--param", "version=1.2.3", "--detach"]);
    site.until(RELEASE, "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    site.good(&["release", "approve", RELEASE, "--as", "ana", "--comment", "go"]);
    let view = site.ended(RELEASE);
    assert_eq!((view.state.as_str(), view.succeeded), ("rolled back", false));

    // In the order of the counterpart: the task goes before the change that it belongs to.
    let changes: Vec<String> = counterparts.servicenow.effects().into_iter().map(|it| it.kind).collect();
    assert_eq!(changes, ["change.created", "task.created", "task.updated", "change.updated"]);

    let shown = site.good(&["release", "show", RELEASE]).stdout;
    expect![[r#"
        payments-1  rolled back (step deploy failed: build-failed (rejected): build #1 of `deploy` failed: see URL) · SPAN
        ├─ build
        │  └─ ✔ build   jenkins/trigger-build           SPAN [build #1: URL]
        ├─ change
        │  ├─ ↩ change  servicenow/create-change        SPAN  rolled back [CHG0000001: URL?uri=%2Fchange_request.do%3Fsys_id%DIGEST]
        │  └─ ↩ task    servicenow/create-task          SPAN  rolled back
        └─ production
           └─ ✘ deploy  jenkins/trigger-build           SPAN  failed: build-failed (rejected): build #1 of `deploy` failed: see URL [build #1: URL]
        ▸ the review of its rollback is open: why did it have to be?
          windlass release cause payments-1 --category code|configuration|infrastructure|dependency|data|process|false_alarm|other --cause …

        TIME          USER asked for payments-1 with {"version":"1.2.3"}; plan DIGEST, pinned jenkins@0.1.0 (DIGEST), servicenow@0.1.0 (DIGEST)
        TIME  build   starts, attempt 1
        TIME  build   checkpoint intent is done
        TIME  build   succeeded
        TIME  change  starts, attempt 1
        TIME  change  succeeded
        TIME  task    starts, attempt 1
        TIME  task    succeeded
        TIME  deploy  waits for approval: Deploy 1.2.3?
        TIME  deploy  approved by ana (asserted by local user USER): go
        TIME  deploy  starts, attempt 1
        TIME  deploy  checkpoint intent is done
        TIME  deploy  failed: build-failed (rejected): build #1 of `deploy` failed: see URL; no further attempt
        TIME  deploy  nothing new starts; the release is rolled back when its running steps have ended
        TIME          rollback begins (step deploy failed: build-failed (rejected): build #1 of `deploy` failed: see URL)
        TIME  task    is being rolled back, attempt 1
        TIME  task    is rolled back: {"canceled":true,"number":"CTASK0000001"}
        TIME  change  is being rolled back, attempt 1
        TIME  change  is rolled back: {"canceled":true,"number":"CHG0000001"}
        TIME          the release ended: rolled back
    "#]].assert_eq(&scrubbed(&shown, |line| line.contains("looks again") || line.contains("  waits: ")));
}

#[test]
fn the_way_back_to_an_earlier_release_is_told_and_gone() {
    let (site, counterparts) = payments(Deployment::Succeeds, 0, 0);
    let mut serve = site.serve();
    let run = |name: &str| {
        site.good(&["run", "payments.yaml", "--param", "version=1.2.3", "--detach"]);
        site.until(name, "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
        site.good(&["release", "approve", name, "--as", "ana", "--comment", "go"]);
        assert!(site.ended(name).succeeded);
    };
    for name in ["payments-1", "payments-2", "payments-3"] {
        run(name);
    }
    let preview = site.good(&["release", "rollback", "payments-3", "--preview"]).stdout;
    expect![[r#"
        payments-3  succeeded
          1. task    servicenow/create-task 0.1.0 DIGEST
          2. change  servicenow/create-change 0.1.0 DIGEST
          ▸ deploy stays: jenkins/trigger-build has no rollback
          ▸ build stays: jenkins/trigger-build has no rollback
    "#]]
    .assert_eq(&plain(&preview));
    let told = site.json(&["release", "rollback", "payments-3", "--preview"]);
    let ran = site.show("payments-3").expect("a release");
    for step in told["steps"].as_array().expect("steps") {
        let of = ran.steps.iter().find(|it| step["step"] == it.name.as_str()).expect("a step");
        assert_eq!(step["digest"], of.component.as_str(), "what ran rolls it back");
    }

    // What came on top of it is told, and of a release that nothing came after nothing is.
    assert_eq!(told.get("newer"), None);
    let first = ["release", "rollback", "payments-1", "--preview"];
    assert_eq!(site.json(&first)["newer"], serde_json::json!(["payments-3", "payments-2"]));
    let says = "payments-3 and 1 more came after payments-1, not rolled back with it";
    assert!(site.good(&first).stderr.contains(says));

    let before = counterparts.servicenow.effects().len();
    let back = ["release", "rollback", "--to", "payments-1"];
    let because = ["--reason", "orders fail"];
    let refused = site.run(&[&back[..], &because].concat());
    assert_eq!(refused.code, Some(2), "{refused:?}");
    for says in [
        "nothing was rolled back: the effect of step deploy of payments-3 would stay: jenkins/trigger-build has no rollback",
        "the nearest that one can go back to is payments-3",
    ] {
        assert!(refused.stderr.contains(says), "{says}: {refused:?}");
    }
    assert_eq!(site.run(&[&back[..], &["--preview"]].concat()).code, Some(1), "there is no way");
    let accepted = [&back[..], &["--accept-what-stays"]].concat();
    let way = site.json(&[&accepted[..], &["--preview"]].concat());
    let names: Vec<&str> =
        way["releases"].as_array().expect("a list").iter().filter_map(|it| it["release"].as_str()).collect();
    assert_eq!(names, ["payments-3", "payments-2"], "the newest first");
    assert_eq!(counterparts.servicenow.effects().len(), before, "looking changes nothing");

    // Where nothing runs, one release could not wait for the other.
    serve.kill_9();
    let alone = site.run(&[&accepted[..], &because].concat());
    assert!(alone.code == Some(2) && alone.stderr.contains("start `windlass serve` first"), "{alone:?}");
    serve = site.serve();
    let done = site.good(&[&accepted[..], &because].concat());
    assert!(done.stdout.contains("back to payments-1: rolled back payments-3, payments-2"), "{done:?}");
    for name in ["payments-2", "payments-3"] {
        let view = site.show(name).expect("a release");
        assert_eq!(view.state, "rolled back");
        assert!(view.rollback.expect("it was").trigger.ends_with("back to payments-1: orders fail"));
    }
    let third = site.show("payments-3").and_then(|it| it.rollback).expect("it was");
    let second = site.show("payments-2").and_then(|it| it.rollback).expect("it was");
    assert!(third.ended_at.expect("over") <= second.began_at, "one after the other");
    assert_eq!(site.show("payments-1").expect("a release").state, "succeeded");
    let again = site.good(&[&accepted[..], &because].concat());
    assert!(again.stdout.contains("nothing that could be rolled back came after payments-1"), "{again:?}");

    // Past a point of no return there is no way back, whatever may stay.
    let pivot = crate::support::release::PAYMENTS.replacen("  deploy:\n", "  deploy:\n    pivot: true\n", 1);
    site.write("payments.yaml", &pivot);
    run("payments-4");
    site.write("payments.yaml", crate::support::release::PAYMENTS);
    run("payments-5");
    let refused = site.run(&[&accepted[..], &because].concat());
    assert_eq!(refused.code, Some(2), "{refused:?}");
    for says in ["payments-4 cannot be rolled back", "the nearest that one can go back to is payments-4"] {
        assert!(refused.stderr.contains(says), "{says}: {refused:?}");
    }
    assert_eq!(site.show("payments-5").expect("a release").state, "succeeded", "nothing was done");
    let refused = site.run(&["release", "rollback", "--to", "payments-3", "--reason", "x"]);
    assert!(refused.stderr.contains("payments-3 left no state: it is rolled back"), "{refused:?}");
    let nobody = site.run(&["release", "rollback", "--to", "payments-99", "--reason", "x"]);
    assert!(nobody.code == Some(2) && nobody.stderr.contains("payments-99"), "{nobody:?}");

    // Watched to its end, by whoever runs, or here.
    let watched = |name: &str| site.run(&["release", "rollback", name, "--reason", "x", "--wait"]);
    for (name, goes_on_here) in [("payments-5", false), ("payments-1", true)] {
        if goes_on_here {
            serve.kill_9();
        }
        let done = watched(name);
        assert!(done.code == Some(0) && done.stdout.contains(&format!("\n{name}  rolled back (root: x)")), "{done:?}");
        assert_eq!(site.show(name).expect("a release").state, "rolled back");
    }
    let again = watched("payments-1");
    assert!(
        again.code == Some(2) && again.stderr.contains("the release is rolled back: a release can be"),
        "{again:?}"
    );
    let nobody = watched("payments-99");
    assert!(nobody.code == Some(2) && nobody.stderr.contains("payments-99"), "{nobody:?}");
}

/// Without what differs from run to run.
fn plain(text: &str) -> String {
    let line = |line: &str| match (line.find("sha256:"), line.split_once("correlation-id: ")) {
        (Some(at), _) => format!("{}DIGEST", &line[..at]),
        (None, Some((head, _))) => format!("{head}correlation-id: ID"),
        (None, None) => line.to_owned(),
    };
    text.lines().map(|it| line(it) + "\n").collect()
}

/// Its rollback would be refused for the same reason, and somebody would have to say what became of nothing.
#[test]
fn a_step_that_was_not_let_in_is_not_rolled_back() {
    let (site, counterparts) = payments(Deployment::Succeeds, 0, 0);
    site.write("wrong", "n0t-the-password");
    let secret = format!("file:{}", site.path("wrong").display());
    let add = ["connection", "add", "old", "--private-network", "--auth", "basic", "--username", "windlass"];
    site.good(&[&add[..], &["--password", &secret, "--url", &counterparts.servicenow.url]].concat());
    let workflow = PAYMENTS.replace(
        "uses: servicenow/create-task@^0.1\n    connection: itsm",
        "uses: servicenow/create-task@^0.1\n    on_failure: rollback\n    connection: old",
    );
    site.write("payments.yaml", &workflow);
    let ran = site.run(&["run", "payments.yaml", "--param", "version=1.2.3"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let view = site.show(RELEASE).expect("a release");
    assert_eq!(view.state, "rolled back");
    let changes: Vec<String> = counterparts.servicenow.effects().into_iter().map(|it| it.kind).collect();
    assert_eq!(changes, ["change.created", "change.updated"]);
    let task = view.steps.iter().find(|it| it.name == "task").expect("a step");
    assert_eq!(task.state, "failed");
    assert!(task.status.ends_with("; it had done nothing"), "{}", task.status);
}

/// That it is rolled back, or cannot be, says nothing of why it had to be.
#[test]
fn a_step_that_is_rolled_back_says_why_it_had_failed() {
    let (site, counterparts) = payments(Deployment::Succeeds, 0, 0);
    // It writes and fails; so does its rollback.
    site.write(
        "spoiled.yaml",
        &format!(
            "windlass: v1\nworkflow: spoiled\nsteps:\n  act:\n    uses: hostile/send\n    connection: app\n    with: {{ url: '{}', requests: [{{ method: POST, path: /open/x }}], then: fail }}\n    retry: {{ attempts: 1 }}\n    on_failure: rollback\n",
            counterparts.echo.url
        ),
    );
    let _serve = site.serve();
    site.good(&["run", "spoiled.yaml", "--detach"]);
    let act = |view: &ReleaseView| view.steps[0].clone();
    let blocked = act(&site.until("spoiled-1", "it is blocked", |it| act(it).state == "rollback blocked"));
    let (error, failure) = (blocked.error.expect("why it is blocked"), blocked.failure.expect("why it had failed"));
    assert!(!failure.without_effect && failure.message.contains("/open/x"), "{failure:?}");
    assert!(blocked.status.contains(&error.message), "{}", blocked.status);
    assert!(blocked.status.ends_with(&format!("; it had failed: {failure}")), "{}", blocked.status);
    site.good(&["release", "settle", "spoiled-1", "--step", "act", "--done", "--reason", "there is none"]);
    let settled = act(&site.ended("spoiled-1"));
    assert_eq!((settled.state.as_str(), settled.status), ("rolled back", format!("it had failed: {failure}")));
}

/// It ends as was asked, though not as a release that goes forward.
#[test]
fn a_rollback_that_is_tried_again_and_watched_ends_well() {
    let (site, counterparts) = payments(Deployment::Succeeds, 0, 0);
    let _serve = site.serve();
    site.good(&["run", "payments.yaml", "--param", "version=1.2.3", "--detach"]);
    site.until(RELEASE, "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    site.good(&["release", "approve", RELEASE, "--as", "ana"]);
    assert!(site.ended(RELEASE).succeeded);
    let secret = std::fs::read(counterparts.secret()).expect("it is there");
    std::fs::remove_file(counterparts.secret()).expect("it is there");
    let back = site.run(&["release", "rollback", RELEASE, "--reason", "orders fail", "--wait"]);
    assert_eq!(back.code, Some(1), "{back:?}");
    let retry = ["release", "retry", RELEASE, "--step", "task", "--reason", "the secret is back", "--wait"];
    let blocked = site.run(&retry);
    assert!(blocked.code == Some(1) && blocked.stdout.contains("rollback blocked"), "{blocked:?}");
    std::fs::write(counterparts.secret(), secret).expect("it can be written");
    let retried = site.run(&retry);
    assert!(retried.stdout.contains(&format!("\n{RELEASE}  rolled back")), "{retried:?}");
    assert_eq!(retried.code, Some(0), "{retried:?}");
}
