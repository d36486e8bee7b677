//! Releases that only show what they would do.

use expect_test::expect;
use serde_json::{Value, json};
use windlass_engine::{DryOrder, DryStep, Rejected, StepState};
use windlass_model::alert::OnAlert;
use windlass_model::dry_run::{DryRun, Origin};
use windlass_model::event::{Event, Intervention, Outcome, Record, SkipReason};
use windlass_model::failure::FailureClass;
use windlass_model::fan_out::{ForEach, Items};
use windlass_model::manifest::Effect;
use windlass_model::service::Delivers;
use windlass_model::template::Template;
use windlass_model::time::Span;
use windlass_model::workflow::{ApprovalGate, Approver, Deadline, Gate, OnDeadline, OnFailure, OutputType, Workflow};

use crate::alert::{fire, with_alerts};
use crate::world::{Does, Pins, World, actor, fails, workflow};

fn template(value: Value) -> Template {
    Template::parse(&value).expect("a template")
}

const READS: Pins = Pins { effect: Effect::Read, cancel: true, rollback: true, find: true };

fn dry(world: &World, step: &str) -> DryStep {
    let index = world.release.index_of(&step.parse().expect("a name")).expect("a step");
    world.release.step(index).dry.as_deref().cloned().unwrap_or_default()
}

/// Lets things happen until a call hangs.
fn run_on(world: &mut World) {
    while world.turn() {}
}

/// `deploy` uses what `build` gives.
fn uses_build(path: &str) -> Workflow {
    let mut workflow = workflow("build -> deploy -> tell");
    workflow.steps[1].with = template(json!({"n": format!("${{{{ steps.build.output.{path} }}}}")}));
    workflow
}

#[test]
fn nobody_is_asked_and_nothing_is_waited_for() {
    let mut workflow = workflow("build -> deploy; clean");
    let gate = |message: Option<&str>| {
        let from = vec![Approver::Group("managers".to_owned())];
        let message = message.map(|it| template(json!(it)));
        Gate::Approval(ApprovalGate { from, min: 1, requester_may_approve: false, message })
    };
    workflow.steps[1].gates = vec![gate(Some("Deploy ${{ parameters.version }}?")), gate(None)];
    workflow.steps[1].delay = Some(Span::seconds(3600));
    workflow.steps[2].finally = true;
    let version = template(json!("1.0.0"));
    workflow.steps[1].delivers = Some(Delivers { service: "web".parse().expect("a name"), environment: None, version });
    let script = [("build", vec![Does::WouldDo(json!({"n": 1}))])];
    let mut world = World::dry_run(workflow, Pins::default(), &script);
    let began = world.now;
    world.run();
    expect![[r#"
        run build: would
        run deploy
        run clean
        succeeded
    "#]]
    .assert_eq(&world.story());
    assert_eq!(world.now, began, "no time passed");
    let deploy = dry(&world, "deploy");
    assert_eq!(deploy.questions, ["Deploy 1.0.0?", ""]);
    assert_eq!(deploy.delay, Some(Span::seconds(3600)));
    assert!(deploy.made_up, "it has an effect, and did not have it");
    let told = dry(&world, "build").told.expect("what it would have done");
    assert_eq!((told.would[0].what.as_str(), told.origin), ("POST https://ci/", Origin::Schema));
    assert!(!world.release.is_untold(), "there is nobody to tell");
}

#[test]
fn only_a_dry_run_has_what_dry_runs_have() {
    let mut world = World::new(workflow("build"), Pins::default(), &[("build", vec![Does::WouldDo(json!(1))])]);
    world.run();
    let StepState::Failed { error, .. } = world.state("build") else { panic!("{:?}", world.state("build")) };
    assert_eq!(error.code, "contract-broken");
    let call = World::new(workflow("build"), Pins::default(), &[]).release.calls().next().expect("a call");
    assert_eq!(world.release.order(call).map(|it| it.dry_run), None, "it is over");
    let mut usual = World::new(workflow("build"), Pins::default(), &[]);
    assert_eq!(usual.release.order(call).expect("an order").dry_run, None);
    let dry = World::dry_run(workflow("build"), Pins::default(), &[]);
    assert_eq!(dry.release.order(call).expect("an order").dry_run, Some(DryOrder::default()));
    // Nor does a journal of another release have it.
    for event in [
        Event::GatesLeftOut { step: "build".parse().expect("a name"), questions: Vec::new(), delay: None },
        Event::InputUnknown { step: "build".parse().expect("a name"), problem: String::new() },
        Event::DryRunTold {
            step: "build".parse().expect("a name"),
            dry_run: Box::new(DryRun { would: Vec::new(), omitted: 0, origin: Origin::Schema, note: None }),
        },
    ] {
        let record = Record { at: usual.now, events: vec![event] };
        let error = usual.release.clone().follow(&record).expect_err("it cannot have happened").to_string();
        assert!(error.contains("what only a dry run has"), "{error}");
    }
    usual.run();
}

#[test]
fn what_is_made_up_is_known_wherever_it_gets() {
    let script = [("build", vec![Does::WouldDo(json!({"n": 1}))])];
    let mut world = World::dry_run(uses_build("n"), READS, &script);
    world.turn();
    world.turn();
    let call = world.release.calls().next().expect("the call of deploy");
    let order = world.release.order(call).expect("an order");
    assert_eq!(*order.input, json!({"n": 1}));
    assert_eq!(order.dry_run, Some(DryOrder { unknown: None, reads_made_up: true }));
    world.run();
    assert_eq!(["build", "deploy", "tell"].map(|it| dry(&world, it).made_up), [true, true, false]);
    // What reads, reads what is there: only what follows from others is made up.
    let mut world = World::dry_run(uses_build("step"), READS, &[]);
    world.run();
    assert_eq!(["build", "deploy", "tell"].map(|it| dry(&world, it).made_up), [false, false, false]);
    // What a person says an output is, it is.
    let script = [("build", vec![Does::WouldDo(json!({"n": 1}))]), ("deploy", vec![Does::Hangs])];
    let mut world = World::dry_run(uses_build("n"), READS, &script);
    run_on(&mut world);
    let set = Intervention::ReplaceOutput { step: "build".parse().expect("a name"), output: json!({"n": 2}) };
    world.intervene(set).expect("it runs");
    assert!(!dry(&world, "build").made_up);
}

#[test]
fn an_expression_without_a_value_because_of_what_is_made_up_is_told_and_not_failed_of() {
    let script = [("build", vec![Does::WouldDo(json!({"n": 1}))]), ("deploy", vec![Does::WouldDo(json!({}))])];
    let mut world = World::dry_run(uses_build("commits[0].id"), READS, &script);
    world.turn();
    world.turn();
    let call = world.release.calls().next().expect("the call of deploy");
    let order = world.release.order(call).expect("an order").dry_run.expect("of a dry run");
    assert!(order.unknown.as_deref().is_some_and(|it| it.contains("commits")), "{order:?}");
    // Whoever takes it over knows it, too.
    world.crash();
    let call = world.release.calls().next().expect("the call of deploy");
    assert_eq!(world.release.order(call).expect("an order").dry_run, Some(order));
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded));
    assert!(dry(&world, "deploy").made_up);
    // The same expression over what is real has no value in a real run either.
    let mut world = World::dry_run(uses_build("commits[0].id"), READS, &[]);
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Failed));
    // A condition that cannot be told holds; one that is false of what is made up leaves the step out, as it says.
    let mut conditional = workflow("build -> deploy");
    conditional.steps[1].when =
        Some(windlass_model::expression::Expression::parse("steps.build.output.go.on").expect("an expression"));
    let script = [("build", vec![Does::WouldDo(json!({}))])];
    let mut world = World::dry_run(conditional.clone(), READS, &script);
    world.run();
    assert_eq!(world.story(), "run build: would\nrun deploy\nsucceeded\n");
    let script = [("build", vec![Does::WouldDo(json!({"go": {"on": false}}))])];
    let mut world = World::dry_run(conditional, READS, &script);
    world.run();
    assert!(matches!(world.state("deploy"), StepState::Skipped { reason: SkipReason::Condition { .. } }));
}

/// `test` runs for these.
fn workflow_of_items(list: Value) -> Workflow {
    let mut workflow = workflow("build -> test -> deploy");
    workflow.steps[1].for_each = Some(ForEach::of(Items::List(template(list))));
    workflow
}

#[test]
fn items_that_are_unknown_are_none() {
    let workflow = workflow_of_items(json!("${{ steps.build.output.regions }}"));
    let script = [("build", vec![Does::WouldDo(json!({"n": 1}))])];
    let mut world = World::dry_run(workflow.clone(), Pins::default(), &script);
    world.run();
    expect![[r#"
        run build: would
        run deploy
        succeeded
    "#]]
    .assert_eq(&world.story());
    assert!(dry(&world, "test").unknown.is_some() && dry(&world, "test").made_up);
    // Items that are known run, and what is made of them is made up; what has no value of that is told.
    let mut workflow = workflow;
    if let Some(for_each) = &mut workflow.steps[1].for_each {
        for_each.reduce = Some(template(json!("${{ outputs[0].none.such }}")));
    }
    let script = [("build", vec![Does::WouldDo(json!({"regions": ["eu", "us"]}))])];
    let mut world = World::dry_run(workflow, Pins::default(), &script);
    world.run();
    expect![[r#"
        run build: would
        run test.1
        run test.2
        run deploy
        succeeded
    "#]]
    .assert_eq(&world.story());
    assert!(dry(&world, "test").unknown.is_some() && dry(&world, "test").made_up);
    // One item is enough.
    let mut workflow = workflow_of_items(json!(["eu", "us"]));
    workflow.steps[2].with = template(json!({"all": "${{ steps.test.output }}"}));
    let mut world = World::dry_run(workflow, READS, &[("test.1", vec![Does::WouldDo(json!({"n": 1}))])]);
    world.run();
    assert_eq!(["test.1", "test.2", "test", "deploy"].map(|it| dry(&world, it).made_up), [true, false, true, true]);
}

#[test]
fn what_is_real_fails_it_and_nobody_is_asked_and_nothing_is_rolled_back() {
    for on_failure in [OnFailure::Pause, OnFailure::Fail, OnFailure::Rollback] {
        let mut workflow = workflow("build -> deploy");
        workflow.steps[0].pivot = true;
        workflow.steps.iter_mut().for_each(|it| it.on_failure = on_failure);
        let mut world = World::dry_run(workflow, Pins::default(), &[("deploy", fails(FailureClass::Invalid))]);
        world.run();
        assert_eq!(world.story(), "run build\nrun deploy: fails (invalid)\nfailed\n", "{on_failure:?}");
        let reason = "a dry run has done nothing that could be rolled back; it can be canceled without";
        assert_eq!(
            world.intervene(Intervention::Rollback),
            Err(Rejected::WrongState { state: "failed", reason }),
            "{on_failure:?}"
        );
    }
    // What may come right is tried again, and nothing is looked for that did not happen.
    let script = [("build", vec![Does::Fails(FailureClass::Transient)])];
    let mut world = World::dry_run(workflow("build"), Pins::default(), &script);
    world.run();
    assert_eq!(world.story(), "run build: fails (transient)\nrun build\nsucceeded\n");
}

#[test]
fn it_is_stopped_without_its_plugins_and_taken_over_without_a_look() {
    let script = [("build", vec![Does::Hangs, Does::Hangs])];
    let mut world = World::dry_run(workflow("build -> deploy"), Pins::default(), &script);
    run_on(&mut world);
    world.crash();
    run_on(&mut world);
    let refused = world.intervene(Intervention::Cancel { rollback: true }).expect_err("nothing to roll back");
    assert!(matches!(refused, Rejected::WrongState { .. }));
    world.intervene(Intervention::Cancel { rollback: false }).expect("it runs");
    world.run();
    expect![[r#"
        run build: hangs
        run build: hangs
        canceled
    "#]]
    .assert_eq(&world.story());
    // An attempt that is over its time is no matter for its plugin either.
    let mut slow = workflow("build");
    slow.steps[0].timeout = Some(Span::seconds(10));
    slow.steps[0].retry.attempts = 1;
    let mut world = World::dry_run(slow, Pins::default(), &[("build", vec![Does::Hangs])]);
    world.run();
    assert_eq!(world.story(), "run build: hangs\nfailed\n");
    // Nor does a deadline pause it for a person.
    let mut late = workflow("build");
    late.deadline = Some(Deadline { within: Span::seconds(10), then: OnDeadline::Pause });
    let mut world = World::dry_run(late, Pins::default(), &[("build", vec![Does::Hangs])]);
    world.run();
    assert_eq!(world.story(), "run build: hangs\nfailed\n");
}

#[test]
fn outputs_that_are_made_up_are_not_held_against_it() {
    let with_output = |path: &str| {
        let mut workflow = workflow("build");
        workflow.outputs.insert("n".to_owned(), template(json!(format!("${{{{ {path} }}}}"))));
        let declared = OutputType { schema: json!({"type": "integer"}), description: None };
        workflow.output_types.insert("n".to_owned(), declared);
        workflow
    };
    let script = [("build", vec![Does::WouldDo(json!({"n": "text"}))])];
    let mut world = World::dry_run(with_output("steps.build.output.n"), READS, &script);
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded));
    let mut world = World::dry_run(with_output("parameters.version"), READS, &script);
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Failed), "this one would fail in a real run, too");
}

#[test]
fn every_crash_comes_to_the_same_end() {
    let make = || {
        let script = [("build", vec![Does::WouldDo(json!({"n": 1}))]), ("deploy", vec![Does::WouldDo(json!({}))])];
        World::dry_run(uses_build("commits[0].id"), Pins::default(), &script)
    };
    let mut calm = make();
    calm.run();
    for crashes in 0..8 {
        let mut world = make();
        for _ in 0..crashes {
            world.turn();
        }
        world.crash();
        world.run();
        assert_eq!(world.release.outcome(), Some(Outcome::Succeeded));
        assert_eq!(world.release.outputs(), calm.release.outputs(), "after {crashes} turns");
        assert!(!world.story().contains("find"), "{}", world.story());
    }
}

#[test]
fn alerts_do_not_concern_it() {
    let waiting = with_alerts("build", OnAlert::Rollback);
    let mut world = World::dry_run(waiting, Pins::default(), &[("build", vec![Does::Hangs])]);
    run_on(&mut world);
    let refused = fire(&mut world).expect_err("not concerned").to_string();
    assert!(refused.contains("it is a dry run"), "{refused}");
    world.vote("build", actor("ana", &[]), true).expect_err("nothing is asked");
}

/// A release would not repeat it by itself.
#[test]
fn a_write_that_nobody_can_look_for_is_tried_again_as_it_writes_nothing() {
    let no_find = Pins { find: false, ..Pins::default() };
    let script = [("a", vec![Does::Fails(FailureClass::Transient)])];
    let mut world = World::dry_run(workflow("a"), no_find, &script);
    world.run();
    assert_eq!(world.release.outcome(), Some(Outcome::Succeeded), "{}", world.story());
    let mut world = World::new(workflow("a"), no_find, &script);
    world.run();
    assert_ne!(world.release.outcome(), Some(Outcome::Succeeded), "{}", world.story());
}
