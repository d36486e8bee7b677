//! Steps that run once for each item of a list.

use expect_test::expect;
use serde_json::{Value, json};
use windlass_engine::{Rejected, StepState};
use windlass_model::event::{Intervention, Outcome};
use windlass_model::failure::FailureClass;
use windlass_model::fan_out::{Allowance, ForEach, Items};
use windlass_model::name::StepName;
use windlass_model::template::Template;
use windlass_model::workflow::{OnFailure, Workflow};

use crate::world::{Does, Pins, World, fails, workflow};

fn template(value: Value) -> Template {
    Template::parse(&value).expect("a template")
}

fn name(text: &str) -> StepName {
    text.parse().expect("a name")
}

/// `plan -> test -> deploy`, where `test` runs for four items.
fn shards(change: impl FnOnce(&mut ForEach)) -> Workflow {
    let mut workflow = workflow("plan -> test -> deploy");
    let mut for_each = ForEach::of(Items::List(template(json!(["a", "b", "c", "d"]))));
    change(&mut for_each);
    workflow.steps[1].for_each = Some(for_each);
    workflow.steps[1].with = template(json!({"shard": "${{ each.value }} ${{ each.number }}/${{ each.count }}"}));
    workflow
}

fn story(workflow: Workflow, script: &[(&str, Vec<Does>)]) -> String {
    let mut world = World::new(workflow, Pins::default(), script);
    world.run();
    world.story()
}

#[test]
fn every_item_runs_and_the_steps_after_them_wait_for_all() {
    let mut world = World::new(shards(|_| {}), Pins::default(), &[("test.2", vec![Does::Suspends(60)])]);
    world.run();
    expect![[r#"
        run plan
        run test.1
        run test.2: suspends
        run test.3
        run test.4
        resume test.2
        run deploy
        succeeded
    "#]]
    .assert_eq(&world.story());
    let run = world.release.step(world.release.index_of(&name("test.3")).expect("an item"));
    assert_eq!(run.input.as_deref(), Some(&json!({"shard": "c 3/4"})));
    let joined = world.release.step(world.release.index_of(&name("test")).expect("a step"));
    let outputs = json!([{"step": "test.1"}, {"step": "test.2"}, {"step": "test.3"}, {"step": "test.4"}]);
    assert_eq!(joined.output.as_deref(), Some(&outputs));
}

#[test]
fn so_many_run_side_by_side_and_no_more() {
    let mut world = World::new(shards(|it| it.max_parallel = Some(2)), Pins::default(), &[]);
    let mut most = 0;
    while world.turn() {
        most = most.max(world.release.calls().count());
    }
    assert_eq!(most, 2);
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded));
}

#[test]
fn items_come_from_what_an_earlier_step_gave_and_none_is_as_good_as_some() {
    let mut from_output = shards(|_| {});
    from_output.steps[1].for_each = Some(ForEach::of(Items::List(template(json!("${{ steps.plan.output.shards }}")))));
    let plan = |value| [("plan", vec![Does::Done(value)])];
    assert_eq!(
        story(from_output.clone(), &plan(json!({"shards": [7]}))),
        "run plan\nrun test.1\nrun deploy\nsucceeded\n"
    );
    assert_eq!(story(from_output.clone(), &plan(json!({"shards": []}))), "run plan\nrun deploy\nsucceeded\n");
    assert_eq!(story(from_output.clone(), &plan(json!({"shards": 7}))), "run plan\nfailed\n");
    let many: Vec<u32> = (0..1001).collect();
    assert_eq!(story(from_output, &plan(json!({"shards": many}))), "run plan\nfailed\n");
}

#[test]
fn the_outputs_are_reduced_and_a_missing_one_fails_the_join() {
    let mut summed =
        shards(|it| it.reduce = Some(template(json!({"passed": "${{ sum(outputs.map(it, it.passed)) }}"}))));
    summed.steps[2].with = template(json!({"n": "${{ steps.test.output.passed }}"}));
    let passed = |n: i64| vec![Does::Done(json!({"passed": n}))];
    let script = [("test.1", passed(1)), ("test.2", passed(20)), ("test.3", passed(300)), ("test.4", passed(4000))];
    let mut world = World::new(summed.clone(), Pins::default(), &script);
    world.run();
    let deploy = world.release.step(world.release.index_of(&name("deploy")).expect("a step"));
    assert_eq!(deploy.input.as_deref(), Some(&json!({"n": 4321})));

    let mut world = World::new(summed, Pins::default(), &script[..3]);
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Failed));
    let StepState::Failed { error, .. } = world.state("test") else { panic!("{:?}", world.state("test")) };
    assert!(error.message.contains("passed"), "{error}");
}

#[test]
fn when_an_item_fails_nothing_more_starts_and_what_runs_ends() {
    let script = [("test.1", fails(FailureClass::Invalid)), ("test.2", vec![Does::Suspends(5)])];
    let mut world = World::new(shards(|it| it.max_parallel = Some(2)), Pins::default(), &script);
    world.run();
    expect![[r#"
        run plan
        run test.1: fails (invalid)
        run test.2: suspends
        resume test.2
        failed
    "#]]
    .assert_eq(&world.story());
    let StepState::Failed { error, .. } = world.state("test") else { panic!("{:?}", world.state("test")) };
    assert_eq!(error.message, "1 of 4 items failed, 0 may: test.1: scripted (invalid): as scripted");
}

#[test]
fn without_fail_fast_the_others_run_to_their_end_first() {
    let script = [("test.1", fails(FailureClass::Invalid))];
    let patient = |it: &mut ForEach| {
        it.fail_fast = false;
        it.max_parallel = Some(1);
    };
    assert_eq!(
        story(shards(patient), &script),
        "run plan\nrun test.1: fails (invalid)\nrun test.2\nrun test.3\nrun test.4\nfailed\n"
    );
}

#[test]
fn as_many_as_are_allowed_may_fail() {
    let script = [("test.1", fails(FailureClass::Invalid)), ("test.3", fails(FailureClass::Invalid))];
    let mut world = World::new(shards(|it| it.failures_allowed = Allowance::Percent(50)), Pins::default(), &script);
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded));
    let joined = world.release.step(world.release.index_of(&name("test")).expect("a step"));
    assert_eq!(joined.output.as_deref(), Some(&json!([null, {"step": "test.2"}, null, {"step": "test.4"}])));

    let mut world = World::new(shards(|it| it.failures_allowed = Allowance::Count(1)), Pins::default(), &script);
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Failed));
}

#[test]
fn one_item_is_tried_again_or_skipped_without_the_others() {
    let mut pausing = shards(|it| it.fail_fast = false);
    pausing.steps[1].on_failure = OnFailure::Pause;
    let script =
        [("test.2", vec![Does::Fails(FailureClass::Invalid)]), ("test.3", vec![Does::Fails(FailureClass::Invalid)])];
    let mut world = World::new(pausing, Pins::default(), &script);
    world.run();
    assert_eq!(
        world.intervene(Intervention::Skip { step: name("test.2"), output: None }),
        Ok(()),
        "nobody uses what `test` gives"
    );
    world.intervene(Intervention::Retry { step: name("test.3") }).expect("it is paused");
    world.run();
    expect![[r#"
        run plan
        run test.1
        run test.2: fails (invalid)
        run test.3: fails (invalid)
        run test.4
        waits for test.2: scripted (invalid): as scripted; test.3: scripted (invalid): as scripted
        run test.3
        run deploy
        succeeded
    "#]]
    .assert_eq(&world.story());
    let late = world.intervene(Intervention::ReplaceOutput { step: name("test.2"), output: json!(1) });
    assert!(matches!(late, Err(Rejected::NoOutput { .. })), "{late:?}");
    let refused = |world: &mut World, step| {
        world.intervene(Intervention::Retry { step: name(step) }).expect_err("there is none").to_string()
    };
    let so_many = "there is no `test.5`: step `test` has 4 items, `test.1` to `test.4`";
    assert_eq!(refused(&mut world, "test.5"), so_many);
    assert_eq!(refused(&mut world, "deploy.1"), "the release has no step `deploy.1`; its steps are plan, test, deploy");
    let mut early = World::new(shards(|_| {}), Pins::default(), &[]);
    let unknown = "there is no `test.1`: step `test` runs for items that are not known before its turn has come";
    assert_eq!(refused(&mut early, "test.1"), unknown);
}

#[test]
fn after_a_failure_only_the_items_that_failed_run_again() {
    let script = [("test.2", vec![Does::Fails(FailureClass::Invalid)])];
    let mut world = World::new(shards(|it| it.fail_fast = false), Pins::default(), &script);
    world.run();
    world.intervene(Intervention::RunAgain { step: name("test.2") }).expect("it failed");
    world.run();
    expect![[r#"
        run plan
        run test.1
        run test.2: fails (invalid)
        run test.3
        run test.4
        failed
        run test.2
        run deploy
        succeeded
    "#]]
    .assert_eq(&world.story());

    world.crash();
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded));
}

#[test]
fn a_step_that_runs_again_counts_its_items_anew_and_old_ones_are_still_rolled_back() {
    let mut dynamic = shards(|_| {});
    dynamic.steps[1].for_each = Some(ForEach::of(Items::List(template(json!("${{ steps.plan.output.shards }}")))));
    let script = [("plan", vec![Does::Done(json!({"shards": [1, 2, 3]})), Does::Done(json!({"shards": [1]}))])];
    let mut last = World::new(dynamic, Pins::default(), &script);
    last.script.insert("deploy".to_owned(), fails(FailureClass::Invalid).into());
    last.run();
    let is_earlier = |world: &World| -> Vec<String> {
        let step = world.release.index_of(&name("test")).expect("a step");
        world.release.earlier_items(step).map(|it| world.release.name_of(it).to_string()).collect()
    };
    assert!(is_earlier(&last).is_empty());
    last.intervene(Intervention::RunAgain { step: name("plan") }).expect("it failed");
    assert_eq!(is_earlier(&last), ["test.1", "test.2", "test.3"]);
    last.run();
    assert_eq!(is_earlier(&last), ["test.2", "test.3"]);
    let preview = last.release.rollback_preview(last.now).steps;
    let told: Vec<String> = preview.into_iter().map(|it| last.release.name_of(it).to_string()).collect();
    assert_eq!(told, ["deploy", "test.1", "test.2", "test.3", "plan"], "what is told is what happens");
    last.intervene(Intervention::Rollback).expect("it failed");
    last.run();
    assert_eq!(is_earlier(&last), ["test.2", "test.3"], "they are shown with what became of them");
    expect![[r#"
        run plan
        run test.1
        run test.2
        run test.3
        run deploy: fails (invalid)
        failed
        run plan
        run test.1
        run deploy: fails (invalid)
        failed
        rollback deploy
        rollback test.1
        rollback test.2
        rollback test.3
        rollback plan
        rolled back
    "#]]
    .assert_eq(&last.story());
}

#[test]
fn items_are_rolled_back_one_by_one_before_what_the_step_needed() {
    let mut rolling = shards(|it| it.max_parallel = Some(2));
    rolling.steps[1].on_failure = OnFailure::Rollback;
    let script = [
        ("test.2", fails(FailureClass::Invalid)),
        ("test.1:rollback", vec![Does::Fails(FailureClass::Invalid), Does::Done(json!(null))]),
    ];
    let mut world = World::new(rolling, Pins::default(), &script);
    world.run();
    assert!(!world.story().contains("rollback plan"), "it waits for all items: {}", world.story());
    world.intervene(Intervention::Retry { step: name("test.1") }).expect("it is blocked");
    world.run();
    expect![[r#"
        run plan
        run test.1
        run test.2: fails (invalid)
        run test.3
        rollback test.1: fails (invalid)
        rollback test.2
        rollback test.3
        waits for test.1: its rollback failed: scripted (invalid): as scripted
        rollback test.1
        rollback plan
        rolled back
    "#]]
    .assert_eq(&world.story());
}

#[test]
fn a_step_goes_back_with_its_items_and_stays_where_one_of_them_does() {
    for (done, state) in [(true, StepState::RolledBack), (false, StepState::LeftInPlace)] {
        let mut workflow = shards(|_| {});
        workflow.steps.last_mut().expect("a step").on_failure = OnFailure::Rollback;
        let last = workflow.steps.last().expect("a step").name.to_string();
        let blocked = ("test.1:rollback", vec![Does::Fails(FailureClass::Invalid)]);
        let mut world =
            World::new(workflow, Pins::default(), &[(last.as_str(), fails(FailureClass::Invalid)), blocked]);
        world.run();
        assert_eq!(world.state("test"), &StepState::Succeeded, "not all of them are back: {}", world.story());
        world.intervene(Intervention::SettleRollback { step: name("test.1"), done }).expect("it is blocked");
        world.run();
        assert_eq!(world.state("test"), &state, "{}", world.story());
    }
}

#[test]
fn canceling_stops_the_items_that_run_and_starts_no_others() {
    let mut world = World::new(
        shards(|it| it.max_parallel = Some(2)),
        Pins::default(),
        &[("test.1", vec![Does::Hangs]), ("test.2", vec![Does::Suspends(600)])],
    );
    while !world.is_suspended("test.2") {
        assert!(world.turn());
    }
    world.intervene(Intervention::Cancel { rollback: false }).expect("it runs");
    world.run();
    expect![[r#"
        run plan
        run test.1: hangs
        run test.2: suspends
        cancel test.1
        cancel test.2
        canceled
    "#]]
    .assert_eq(&world.story());
    assert_eq!(world.state("test"), &StepState::Canceled);
}

#[test]
fn every_prefix_of_a_release_with_items_recovers() {
    let script = [("test.2", vec![Does::Fails(FailureClass::Transient)]), ("test.3", vec![Does::Suspends(9)])];
    let made = || World::new(shards(|it| it.max_parallel = Some(3)), Pins::default(), &script);
    let mut whole = made();
    whole.run();
    for turns in 0..60 {
        let mut world = made();
        for _ in 0..turns {
            world.turn();
        }
        world.crash();
        world.run();
        assert_eq!(world.release.outcome(), Some(Outcome::Succeeded), "{turns}: {}", world.story());
        for item in ["test.1", "test.2", "test.3", "test.4", "deploy"] {
            assert_eq!(world.effects[item].len(), 1, "{turns}: {item}: {}", world.story());
        }
    }
}
