//! The plugin against a scripted helm: each call has its answer, most of them recorded from helm 3.17.3.

use crate::script::Script;
use serde_json::{Value, json};
use windlass_plugin_helm::plugin;
use windlass_sdk::testing::TestStep;
use windlass_sdk::{Event, FailureClass, Operation, Outcome, RetryAdvice};

pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const NOT_FOUND: &str = "Error: release: not found\n";

pub(crate) fn input() -> Value {
    json!({ "release": "pay", "namespace": "recorded", "chart": "/charts/payments", "values": { "image": { "tag": "1.0.1" } } })
}

pub(crate) fn upgrade(input: Value) -> TestStep {
    TestStep::new(plugin(), "upgrade", input)
}

/// Revision 1 is deployed, by somebody else; the step makes revision 2.
pub(crate) fn deployed_before() -> Script {
    let script = Script::default();
    script
        .says("history pay", recorded!("history-1.json"))
        .says("history pay", recorded!("history-2.json"))
        .says("get manifest pay --revision 1", recorded!("manifest-1.yaml"))
        .says("get values pay", recorded!("values-1.json"))
        .says("--dry-run=server", recorded!("rendered-2.json"))
        .says("upgrade pay", "Release \"pay\" has been upgraded. Happy Helming!\n")
        .says("status pay", recorded!("status-2-progressing.json"))
        .says("status pay", recorded!("status-2-ready.json"));
    script
}

fn pending(status: &str, revision: u64) -> String {
    let mut history: Value = serde_json::from_str(recorded!("history-1.json")).expect("recorded");
    let entry = json!({ "revision": revision, "updated": "2026-11-20T18:32:28.570270764Z", "status": status,
        "chart": "payments-0.1.0", "app_version": "1.0.0", "description": "Preparing upgrade" });
    history.as_array_mut().expect("a list").push(entry);
    history.to_string()
}

pub(crate) fn revision(revision: u64, status: &str, description: &str) -> Value {
    json!({ "revision": revision, "updated": "2026-11-20T18:32:28Z", "status": status, "chart": "payments-0.1.0",
        "app_version": "1.0.0", "description": description })
}

#[test]
fn an_upgrade_shows_what_changes_then_applies_then_waits() {
    let script = deployed_before();
    let host = script.host();
    let output = upgrade(input()).run(&host).expect("the upgrade succeeds");
    assert_eq!(output["revision"], 2);
    assert_eq!(output["prior_revision"], 1);
    assert_eq!(output["chart"], "payments-0.1.0");
    assert_eq!(
        output["workloads"],
        json!([{ "kind": "Deployment", "name": "pay", "desired": 2, "ready": 2, "state": "ready" }])
    );
    assert_eq!(
        script.subcommands(),
        ["history", "get", "get", "dry-run", "upgrade", "status", "status", "history"],
        "the diff comes before the write, and no call waits"
    );
    let line = script.line("upgrade");
    for part in [
        "pay /charts/payments --install",
        "--reset-values",
        "--namespace recorded",
        &format!("--description windlass {KEY}"),
        &format!("--labels windlass-key={KEY}"),
    ] {
        assert!(line.contains(part), "{line}");
    }
    let values: Value =
        serde_json::from_str(&script.files.borrow()["windlass-values.yaml"]).expect("the values are JSON");
    assert_eq!(values, json!({ "image": { "tag": "1.0.1" } }));
    let log = host.log_text();
    let (diff, apply) = (log.find("-          image: \"registry").expect("a diff"), log.find("Happy Helming"));
    assert!(diff < apply.expect("helm's words"), "{log}");
    assert!(log.contains("value image.tag: \"1.0.0\" -> \"1.0.1\""), "{log}");
    assert_eq!(host.last_percent(), Some(100));
}

#[test]
fn the_deployed_values_are_kept_only_where_the_step_says_so() {
    let script = deployed_before();
    let mut input = input();
    input["reuse_values"] = json!(true);
    upgrade(input).start(&script.host()).expect("it suspends");
    let line = script.line("upgrade");
    assert!(line.contains("--reuse-values") && !line.contains("--reset-values"), "{line}");
}

#[test]
fn the_first_wait_says_what_it_waits_for() {
    let script = deployed_before();
    let host = script.host();
    let step = upgrade(input());
    let Ok(Outcome::Suspended(first)) = step.start(&host) else { panic!("it suspends") };
    let Ok(Outcome::Suspended(second)) = step.resume(&host, &first, Event::Timer) else { panic!("it suspends again") };
    assert!(second.status.starts_with("revision 2: Deployment/pay 0/2"), "{}", second.status);
    assert_eq!(host.last_percent(), Some(0));
}

#[test]
fn a_first_installation_has_nothing_to_compare_with() {
    let script = Script::default();
    let one = json!([revision(1, "deployed", &format!("windlass {KEY}"))]).to_string();
    let mut ready: Value = serde_json::from_str(recorded!("status-1-ready.json")).expect("recorded");
    ready["info"]["description"] = json!(format!("windlass {KEY}"));
    script
        .fails("history pay", NOT_FOUND)
        .says("history pay", one)
        .says("--dry-run=server", recorded!("rendered-2.json"))
        .says("upgrade pay", "")
        .says("status pay", ready.to_string());
    let mut with_namespace = input();
    with_namespace["create_namespace"] = json!(true);
    let host = script.host();
    let output = upgrade(with_namespace).run(&host).expect("it installs");
    assert_eq!((&output["revision"], &output["prior_revision"]), (&json!(1), &Value::Null));
    assert!(script.line("upgrade").contains("--create-namespace"));
    assert!(host.log_text().contains("a first installation: "), "{}", host.log_text());
}

#[test]
fn a_locked_release_is_diagnosed_and_left_alone() {
    for (status, advice) in [
        ("pending-upgrade", "helm rollback pay 1 -n recorded"),
        ("pending-rollback", "helm rollback pay 1 -n recorded"),
        ("pending-install", "helm uninstall pay -n recorded"),
        ("uninstalling", "helm uninstall pay -n recorded"),
    ] {
        for action in ["upgrade", "rollback", "uninstall", "diff", "test"] {
            let script = Script::default();
            script.says("history pay", pending(status, 2)).says("list", "[]").says("uninstall", "");
            let mut input = input();
            if !matches!(action, "upgrade" | "diff") {
                input = json!({ "release": "pay", "namespace": "recorded" });
            }
            let answer = TestStep::new(plugin(), action, input).run(&script.host());
            if (action, status) == ("uninstall", "uninstalling") {
                answer.expect("an uninstall that was cut off goes on");
                continue;
            }
            let failure = answer.expect_err("it is locked");
            assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Conflict, "release-locked"), "{action}");
            for part in ["revision 2", status, "since 2026-11-20T18:32:28.570270764Z", advice] {
                assert!(failure.message.contains(part), "{action}: {}", failure.message);
            }
            assert_eq!(script.subcommands(), ["history"], "{action} changes nothing");
        }
    }
}

#[test]
fn a_second_attempt_recognises_its_revision_and_does_not_upgrade_again() {
    let script = Script::default();
    script.says("history pay", recorded!("history-2.json")).says("status pay", recorded!("status-2-ready.json"));
    let output = upgrade(input()).attempt(2).run(&script.host()).expect("it waits for what is there");
    assert_eq!(output["revision"], 2);
    assert_eq!(script.count("upgrade") + script.count("dry-run"), 0);
}

#[test]
fn find_tells_what_became_of_the_key() {
    // Nothing was recorded, so nothing was written.
    let script = Script::default();
    assert_eq!(upgrade(input()).find(&script.host()), Ok(None));

    // The host died after helm's write: its revision is there, and is waited for.
    let script = deployed_before();
    let host = script.host();
    let step = upgrade(input());
    step.start(&host).expect("it suspends");
    let Ok(Some(Outcome::Suspended(found))) = step.find(&host) else { panic!("it is found") };
    let output = step.finish(&host, found).expect("it goes on");
    assert_eq!(output["revision"], 2);
    assert_eq!(script.count("upgrade"), 1);

    // Before it: nothing is there.
    let script = Script::default();
    script
        .says("history pay", recorded!("history-1.json"))
        .says("get manifest", recorded!("manifest-1.yaml"))
        .says("get values", recorded!("values-1.json"))
        .says("--dry-run=server", recorded!("rendered-2.json"))
        .fails("upgrade pay", "Error: Kubernetes cluster unreachable: Get \"https://x\": connection refused\n");
    let host = script.host();
    let failure = step.start(&host).expect_err("the write fails");
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Transient, "cluster-unreachable"));
    assert_eq!(step.find(&host), Ok(None));

    // Somebody has changed the release since.
    let script = deployed_before();
    let host = script.host();
    step.start(&host).expect("it suspends");
    let mut history: Value = serde_json::from_str(recorded!("history-2.json")).expect("recorded");
    history.as_array_mut().expect("a list").push(revision(3, "deployed", "Upgrade complete"));
    script.answers.borrow_mut().remove("history pay");
    script.says("history pay", history.to_string());
    let failure = step.find(&host).expect_err("it cannot be told");
    assert_eq!((failure.code.as_str(), failure.retry), ("superseded", RetryAdvice::Pause));
}

#[test]
fn an_attempt_that_was_cut_off_is_ended_by_the_next_one() {
    let script = deployed_before();
    let host = script.host();
    let step = upgrade(input());
    step.start(&host).expect("the first attempt records what was there");

    // What a killed helm leaves, as recorded: pending, without the description, with the label.
    let freed = json!([
        revision(1, "superseded", "Install complete"),
        revision(2, "pending-upgrade", "Preparing upgrade"),
        revision(3, "deployed", "Rollback to 2"),
    ]);
    script.answers.borrow_mut().remove("history pay");
    script
        .says("history pay", pending("pending-upgrade", 2))
        .says("history pay", pending("pending-upgrade", 2))
        .says("history pay", freed.to_string())
        .says("list --all", recorded!("list-1.json"))
        .says("rollback pay 2 --no-hooks", "Rollback was a success! Happy Helming!\n")
        .says("get manifest pay --revision 3", recorded!("manifest-1.yaml"));
    assert_eq!(step.find(&host), Ok(None), "the effect has not come to its end");
    script.calls.borrow_mut().clear();
    let again = upgrade(input()).attempt(2);
    again.start(&host).expect("the second attempt goes on");
    assert_eq!(script.subcommands(), ["history", "list", "rollback", "history", "get", "get", "dry-run", "upgrade"]);
    assert!(script.line("list").contains(&format!("--selector windlass-key in ({KEY}) --filter ^pay$")));
}

#[test]
fn another_ones_cut_off_attempt_is_not_touched() {
    let script = deployed_before();
    let host = script.host();
    let step = upgrade(input());
    step.start(&host).expect("the first attempt records what was there");
    script.answers.borrow_mut().remove("history pay");
    script.says("history pay", pending("pending-upgrade", 2)).says("list --all", "[]");
    let failure = upgrade(input()).attempt(2).start(&host).expect_err("it is somebody else's");
    assert_eq!(failure.code, "release-locked");
    assert_eq!(script.count("rollback"), 0);
}

#[test]
fn pods_that_never_get_ready_fail_the_step_and_say_why() {
    let script = deployed_before();
    script.answers.borrow_mut().remove("status pay");
    let mut bad: Value = serde_json::from_str(recorded!("status-4-bad-image.json")).expect("recorded");
    bad["info"]["description"] = json!(format!("windlass {KEY}"));
    script.says("status pay", bad.to_string());
    let mut input = input();
    input["timeout"] = json!("1m");
    let host = script.host();
    let failure = upgrade(input).run(&host).expect_err("it never gets ready");
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Rejected, "not-ready"));
    for part in ["after 1m", "Deployment/pay 0/2", "ImagePullBackOff", "1.0.2bad"] {
        assert!(failure.message.contains(part), "{}", failure.message);
    }
    assert!(failure.details.contains(&("workloads".to_owned(), "Deployment/pay".to_owned())));
    let looks = script.count("status");
    assert!((5..20).contains(&looks), "{looks} looks in a minute: they become fewer");
    assert_eq!(host.log_text().matches("waiting for Deployment/pay").count(), 1, "what is known is not said again");
}

#[test]
fn a_cluster_that_is_away_for_a_while_does_not_end_the_wait() {
    let script = deployed_before();
    script.answers.borrow_mut().remove("status pay");
    script
        .fails("status pay", "Error: Kubernetes cluster unreachable: Get \"https://x\": connection refused\n")
        .fails("status pay", "Error: Kubernetes cluster unreachable: Get \"https://x\": connection refused\n")
        .says("status pay", recorded!("status-2-ready.json"));
    upgrade(input()).run(&script.host()).expect("it is seen to be ready at last");
    assert_eq!(script.count("status"), 3);
}

#[test]
fn a_revision_that_helm_gave_up_or_somebody_else_made_ends_the_wait() {
    for (status, description, code) in [
        ("failed", "Upgrade \"pay\" failed: pre-upgrade hooks failed", "upgrade-failed"),
        ("deployed", "Upgrade complete", "superseded"),
    ] {
        let script = deployed_before();
        script.answers.borrow_mut().remove("status pay");
        let mut other: Value = serde_json::from_str(recorded!("status-2-ready.json")).expect("recorded");
        other["info"]["status"] = json!(status);
        other["info"]["description"] = json!(description);
        script.says("status pay", other.to_string());
        let failure = upgrade(input()).run(&script.host()).expect_err("it is not this step's");
        assert_eq!(failure.code, code);
        assert!(failure.message.contains(description), "{}", failure.message);
    }
}

#[test]
fn a_chart_that_does_not_render_changes_nothing() {
    let script = deployed_before();
    script.answers.borrow_mut().remove("--dry-run=server");
    script.fails("--dry-run=server", "Error: execution error at (payments/templates/z.yaml:1:3): no way\n");
    let failure = upgrade(input()).start(&script.host()).expect_err("it does not render");
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Invalid, "chart-invalid"));
    assert!(failure.message.contains("templates/z.yaml:1:3): no way"), "{}", failure.message);
    assert_eq!(script.count("upgrade"), 0);
}

#[test]
fn diff_says_what_would_change_and_writes_nothing() {
    let script = deployed_before();
    let output = TestStep::new(plugin(), "diff", input()).run(&script.host()).expect("it compares");
    assert_eq!((&output["changed"], &output["deployed_revision"]), (&json!(true), &json!(1)));
    assert_eq!(output["summary"], "1 value changes, ConfigMap/pay-settings changed, Deployment/pay changed");
    let diff = output["changes"]["diff"].as_str().expect("a diff");
    assert!(diff.contains("+          image: \"registry.example.test/payments:1.0.1\""), "{diff}");
    assert_eq!(script.subcommands(), ["history", "get", "get", "dry-run"]);
}

#[test]
fn rollback_as_a_step_of_its_own() {
    let script = Script::default();
    script
        .says("history pay", recorded!("history-2.json"))
        .says("rollback pay 1", "Rollback was a success! Happy Helming!\n")
        .says("status pay", recorded!("status-3-rolled-back.json"));
    let step = TestStep::new(plugin(), "rollback", json!({ "release": "pay", "namespace": "recorded" }));
    let host = script.host();
    assert_eq!(step.find(&host), Ok(None));
    let output = step.run(&host).expect("it rolls back");
    assert_eq!(
        (&output["from_revision"], &output["to_revision"], &output["revision"]),
        (&json!(2), &json!(1), &json!(3))
    );

    script.answers.borrow_mut().remove("history pay");
    script.says("history pay", recorded!("history-3-rolled-back.json"));
    assert!(matches!(step.find(&host), Ok(Some(Outcome::Suspended(_)))), "its effect is found");
    let second = TestStep::new(plugin(), "rollback", json!({ "release": "pay", "namespace": "recorded" })).attempt(2);
    second.run(&host).expect("it is there already");
    assert_eq!(script.count("rollback"), 1);
}

#[test]
fn a_rollback_that_is_tried_again_goes_where_the_first_try_wanted_to() {
    let script = Script::default();
    script
        .says("history pay", recorded!("history-2.json"))
        .fails("rollback pay 1", "Error: pre-rollback hooks failed: job failed\n")
        .says("rollback pay 1", "Rollback was a success! Happy Helming!\n")
        .says("status pay", recorded!("status-3-rolled-back.json"));
    let step = TestStep::new(plugin(), "rollback", json!({ "release": "pay", "namespace": "recorded" }));
    let host = script.host();
    step.start(&host).expect_err("a hook fails");
    // The revision that it made counts for nothing; the one that was to go is "the last that was deployed before" it.
    let mut history: Vec<Value> = serde_json::from_str(recorded!("history-2.json")).expect("recorded");
    history.push(revision(3, "failed", "Rollback \"pay\" failed: pre-rollback hooks failed: job failed"));
    script.answers.borrow_mut().remove("history pay");
    script.says("history pay", json!(history).to_string());
    let again = step.start_anew();
    assert_eq!(again.find(&host), Ok(None), "nothing of this piece of work is there");
    let Ok(Outcome::Suspended(_)) = again.start(&host) else { panic!("it waits for the workloads") };
    assert_eq!(script.count("rollback"), 2);
}

#[test]
fn uninstall_is_content_with_what_is_gone() {
    let script = Script::default();
    script.fails("history pay", NOT_FOUND);
    let step = |keep: bool| {
        TestStep::new(plugin(), "uninstall", json!({ "release": "pay", "namespace": "recorded", "keep_history": keep }))
    };
    assert_eq!(step(false).run(&script.host()).expect("it is gone")["uninstalled"], false);

    let script = Script::default();
    script.says("history pay", recorded!("history-4-uninstalled.json")).says("uninstall pay", "");
    assert_eq!(step(true).run(&script.host()).expect("it is gone")["uninstalled"], false);
    assert_eq!(script.count("uninstall"), 0);
    step(false).run(&script.host()).expect("its history goes too");
    assert_eq!(script.count("uninstall"), 1);

    let script = Script::default();
    script.says("history pay", recorded!("history-2.json")).says("uninstall pay", "");
    let output = step(true).run(&script.host()).expect("it goes");
    assert_eq!((&output["uninstalled"], &output["last_revision"]), (&json!(true), &json!(2)));
    assert!(script.line("uninstall").contains("--keep-history"));
}

#[test]
fn an_uninstall_whose_answer_was_lost_says_what_the_first_attempt_saw() {
    let script = Script::default();
    script.says("history pay", recorded!("history-2.json")).fails("history pay", NOT_FOUND);
    script.fails("uninstall pay", "Error: context deadline exceeded");
    let host = script.host();
    let step = TestStep::new(plugin(), "uninstall", json!({ "release": "pay", "namespace": "recorded" }));
    step.run(&host).expect_err("nobody knows what became of it");
    let output = step.run(&host).expect("it is gone");
    assert_eq!((&output["uninstalled"], &output["last_revision"]), (&json!(true), &json!(2)));
    assert_eq!(script.count("uninstall"), 1);
}

#[test]
fn status_history_and_values_are_read() {
    let script = Script::default();
    script
        .says("status pay", recorded!("status-4-bad-image.json"))
        .says("history pay", recorded!("history-2.json"))
        .says("get values pay", r#"{"image":{"tag":"1"},"database":{"password":"hunter2"}}"#);
    let host = script.host();
    let read = |action: &str| {
        TestStep::new(plugin(), action, json!({ "release": "pay", "namespace": "recorded" })).run(&host).expect(action)
    };
    let status = read("status");
    assert_eq!((&status["ready"], &status["status"]), (&json!(false), &json!("deployed")));
    assert_eq!(status["workloads"][0]["state"], "progressing");
    assert_eq!(read("history")["deployed_revision"], 2);
    let values = read("values");
    assert_eq!(values["values"], json!({ "image": { "tag": "1" }, "database": { "password": "<hidden>" } }));

    let script = Script::default();
    script.fails("status pay", NOT_FOUND).fails("history pay", NOT_FOUND).fails("get values pay", NOT_FOUND);
    for action in ["status", "history", "values"] {
        let step = TestStep::new(plugin(), action, json!({ "release": "pay" }));
        let failure = step.run(&script.host()).expect_err("there is none");
        assert_eq!((failure.class, failure.code.as_str()), (FailureClass::NotFound, "release-not-found"), "{action}");
    }
}

#[test]
fn lint_names_what_is_wrong() {
    let files = json!({ "Chart.yaml": "name: x\n", "templates/z.yaml": "x: {{ .Values.a \n" });
    let lint = |strict: bool| TestStep::new(plugin(), "lint", json!({ "chart_files": files, "strict": strict }));
    let bad = "==> Linting ./chart\n[INFO] Chart.yaml: icon is recommended\n[ERROR] templates/: parse error at (x/templates/z.yaml:2)\n\tunclosed action\n\n";
    let script = Script::default();
    script.ends("lint", 1, bad.to_owned(), "Error: 1 chart(s) linted, 1 chart(s) failed\n".to_owned());
    let failure = lint(false).run(&script.host()).expect_err("it is wrong");
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Rejected, "lint-failed"));
    assert!(
        failure.message.contains("z.yaml:2) unclosed action") && !failure.message.contains("icon"),
        "{}",
        failure.message
    );
    assert!(script.files.borrow().contains_key("chart/templates/z.yaml"));

    let script = Script::default();
    script.says("lint", "==> Linting ./chart\n[WARNING] templates/: old API\n\n1 chart(s) linted, 0 chart(s) failed\n");
    let output = lint(true).run(&script.host()).expect("it is good");
    assert_eq!(
        output,
        json!({ "warnings": 1, "findings": [{ "severity": "warning", "text": "templates/: old API" }] })
    );
    assert!(script.line("lint").ends_with("--strict"));
}

#[test]
fn tests_of_a_chart_fail_by_name() {
    let hooks = |phase: &str| {
        json!({ "name": "pay", "version": 2, "info": { "status": "deployed" }, "hooks": [
            { "name": "pay-test", "kind": "Pod", "events": ["test"],
              "last_run": { "started_at": "2026-11-20T18:32:33Z", "completed_at": "2026-11-20T18:32:34Z", "phase": phase } },
            { "name": "pay-pre", "kind": "Job", "events": ["pre-upgrade"],
              "last_run": { "started_at": "", "completed_at": "", "phase": "Failed" } } ] })
        .to_string()
    };
    let step =
        || TestStep::new(plugin(), "test", json!({ "release": "pay", "namespace": "recorded", "timeout": "20s" }));
    let script = Script::default();
    script.says("history pay", recorded!("history-2.json")).says("test pay", "").says("status pay", hooks("Succeeded"));
    let output = step().run(&script.host()).expect("they pass");
    assert_eq!(output["tests"][0]["name"], "pay-test");
    assert_eq!(output["tests"].as_array().map(Vec::len), Some(1));
    assert!(script.line("test").contains("--timeout 20s"));

    let script = Script::default();
    script
        .says("history pay", recorded!("history-2.json"))
        .fails("test pay", "Error: 1 error occurred:\n\t* pod pay-test failed\n\n\n")
        .says("status pay", hooks("Failed"));
    let failure = step().run(&script.host()).expect_err("one fails");
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Rejected, "tests-failed"));
    assert!(failure.details.contains(&("tests".to_owned(), "pay-test".to_owned())), "{:?}", failure.details);
}

#[test]
fn the_manifest_says_what_is_true() {
    let manifest = plugin().manifest();
    assert_eq!(plugin().problems(), Vec::<String>::new());
    for (action, effect, cancel, rollback, find) in [
        ("lint", "read", false, false, false),
        ("diff", "read", false, false, false),
        ("upgrade", "write", true, true, true),
        ("rollback", "write", true, false, true),
        ("uninstall", "idempotent_write", false, false, false),
        ("test", "idempotent_write", false, false, false),
        ("status", "read", false, false, false),
        ("history", "read", false, false, false),
        ("values", "read", false, false, false),
    ] {
        let described = &manifest["actions"][action];
        assert_eq!(described["effect"], effect, "{action}");
        assert_eq!(
            [&described["cancel"], &described["rollback"], &described["find"]],
            [&json!(cancel), &json!(rollback), &json!(find)],
            "{action}"
        );
    }
    assert_eq!(TestStep::key(Operation::Start), KEY);
}
