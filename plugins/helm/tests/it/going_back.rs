//! Taking back what `upgrade` did, and stopping it, against a scripted helm.

use crate::script::Script;
use crate::scripted::{KEY, NOT_FOUND, deployed_before, input, revision, upgrade};
use serde_json::{Value, json};
use windlass_sdk::testing::TestStep;
use windlass_sdk::{FailureClass, Outcome};

#[test]
fn rollback_goes_to_what_was_deployed_before_and_waits() {
    let script = deployed_before();
    let host = script.host();
    let step = upgrade(input());
    let output = step.run(&host).expect("it upgrades");
    script.answers.borrow_mut().remove("status pay");
    script.says("rollback pay 1", "Rollback was a success! Happy Helming!\n");
    script.says("status pay", recorded!("status-3-rolled-back.json"));
    let rolled_back = step.rollback(&host, Some(&output)).expect("it rolls back");
    assert_eq!((&rolled_back["rolled_back_to"], &rolled_back["revision"]), (&json!(1), &json!(3)));

    // Again, as after a crash: what the first one did is recognised.
    script.answers.borrow_mut().remove("history pay");
    script.says("history pay", recorded!("history-3-rolled-back.json"));
    let again = step.rollback(&host, Some(&output)).expect("it is rolled back already");
    assert_eq!(again["rolled_back_to"], 1);
    assert_eq!(script.count("rollback"), 1);
}

#[test]
fn what_another_attempt_made_after_a_failed_one_goes_back_to_what_was_there_before_both() {
    let script = deployed_before();
    let host = script.host();
    let step = upgrade(input());
    step.start(&host).expect("it suspends, and then its pods never get ready");
    // That was an answer, so that this is another piece of work under another key; nobody heard how it ended.
    let again = step.start_anew();
    let mut history: Value = serde_json::from_str(recorded!("history-2.json")).expect("recorded");
    script.says("get manifest pay --revision 2", recorded!("manifest-1.yaml"));
    assert_eq!(again.find(&host), Ok(None), "what the first one made is not the second one's");
    again.start(&host).expect("it upgrades again");
    let own = format!("windlass {}", TestStep::start_key(2));
    history.as_array_mut().expect("a list").push(revision(3, "deployed", &own));
    script.answers.borrow_mut().remove("history pay");
    script.answers.borrow_mut().remove("status pay");
    script.says("history pay", history.to_string());
    script.says("rollback pay 1", "Rollback was a success! Happy Helming!\n");
    let mut back: Value = serde_json::from_str(recorded!("status-3-rolled-back.json")).expect("recorded");
    back["version"] = json!(4);
    script.says("status pay", back.to_string());
    let rolled_back = again.rollback(&host, None).expect("it rolls back");
    assert_eq!((&rolled_back["rolled_back_to"], &rolled_back["revision"]), (&json!(1), &json!(4)));
    assert_eq!(script.count("rollback"), 1);
}

#[test]
fn a_step_that_somebody_has_run_again_goes_back_to_what_was_there_before_its_first_run() {
    // Of its first run nothing is recorded any more; the host still knows its key.
    let script = Script::default();
    let again = upgrade(input()).start_anew();
    let history = |more: &[Value]| {
        let first = revision(1, "superseded", "Install complete");
        let own = revision(2, "deployed", &format!("windlass {}", TestStep::start_key(1)));
        json!([&[first, own], more].concat()).to_string()
    };
    script
        .says("history pay", history(&[]))
        .says("get manifest pay --revision 2", recorded!("manifest-1.yaml"))
        .says("get values pay", recorded!("values-1.json"))
        .says("--dry-run=server", recorded!("rendered-2.json"))
        .says("upgrade pay", "");
    let host = script.host();
    again.start(&host).expect("it upgrades again");
    let own = format!("windlass {}", TestStep::start_key(2));
    script.answers.borrow_mut().remove("history pay");
    script.says("history pay", history(&[revision(3, "deployed", &own)]));
    script.says("rollback pay 1", "Rollback was a success! Happy Helming!\n");
    let mut back: Value = serde_json::from_str(recorded!("status-3-rolled-back.json")).expect("recorded");
    back["version"] = json!(4);
    script.says("status pay", back.to_string());
    let rolled_back = again.rollback(&host, None).expect("it rolls back");
    assert_eq!((&rolled_back["rolled_back_to"], &rolled_back["revision"]), (&json!(1), &json!(4)));
}

/// Two steps, or two releases, one after the other on the same release of helm: the later one has gone back already.
#[test]
fn rollback_goes_on_from_where_a_later_one_went_back_to() {
    for (last, goes_back) in [("Rollback to 2", 1), ("Rollback to 1", 0)] {
        let script = deployed_before();
        let host = script.host();
        let step = upgrade(input());
        let output = step.run(&host).expect("it upgrades");
        let mut history: Value = serde_json::from_str(recorded!("history-2.json")).expect("recorded");
        let more = [revision(3, "superseded", "windlass of another"), revision(4, "deployed", last)];
        history.as_array_mut().expect("a list").extend(more);
        script.answers.borrow_mut().remove("history pay");
        script.answers.borrow_mut().remove("status pay");
        let mut back: Value = serde_json::from_str(recorded!("status-3-rolled-back.json")).expect("recorded");
        back["version"] = json!(4 + goes_back);
        script
            .says("history pay", history.to_string())
            .says("rollback pay 1", "Rollback was a success! Happy Helming!\n")
            .says("status pay", back.to_string());
        let rolled_back = step.rollback(&host, Some(&output)).expect("it goes on");
        assert_eq!(rolled_back["rolled_back_to"], 1, "{last}");
        assert_eq!(script.count("rollback"), goes_back, "{last}");
    }
}

#[test]
fn rollback_leaves_what_somebody_else_made_alone() {
    let script = deployed_before();
    let host = script.host();
    let step = upgrade(input());
    let output = step.run(&host).expect("it upgrades");
    let mut history: Value = serde_json::from_str(recorded!("history-2.json")).expect("recorded");
    history.as_array_mut().expect("a list").push(revision(3, "deployed", "hotfix by hand"));
    script.answers.borrow_mut().remove("history pay");
    script.says("history pay", history.to_string());
    let failure = step.rollback(&host, Some(&output)).expect_err("it was changed");
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Conflict, "changed-since"));
    assert!(failure.message.contains("hotfix by hand"), "{}", failure.message);
    assert_eq!(script.count("rollback"), 0);
}

#[test]
fn rollback_of_a_first_installation_uninstalls_and_of_nothing_does_nothing() {
    let script = Script::default();
    script
        .fails("history pay", NOT_FOUND)
        .says("history pay", json!([revision(1, "deployed", &format!("windlass {KEY}"))]).to_string())
        .says("--dry-run=server", recorded!("rendered-2.json"))
        .says("upgrade pay", "")
        .says("uninstall pay", "release \"pay\" uninstalled\n");
    let host = script.host();
    let step = upgrade(input());
    assert_eq!(step.rollback(&host, None).expect("nothing was done")["rolled_back_to"], Value::Null);
    step.start(&host).expect("it installs");
    assert_eq!(step.rollback(&host, None).expect("it uninstalls")["uninstalled"], true);
    assert!(!script.line("uninstall").contains("--keep-history"));
    assert_eq!(script.count("rollback"), 0);
}

#[test]
fn cancel_says_what_is_left() {
    let script = deployed_before();
    let host = script.host();
    let step = upgrade(input());
    assert_eq!(step.cancel(&host, None).expect("nothing yet")["left"], "nothing was written");
    let Ok(Outcome::Suspended(waiting)) = step.start(&host) else { panic!("it suspends") };
    let left = step.cancel(&host, Some(&waiting)).expect("it stops waiting");
    assert_eq!(
        (&left["revision"], &left["status"], &left["prior_revision"]),
        (&json!(2), &json!("deployed"), &json!(1))
    );
    assert_eq!(script.count("rollback") + script.count("uninstall"), 0, "a cancel takes nothing back");
}
