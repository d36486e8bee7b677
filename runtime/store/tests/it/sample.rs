//! Records to write: one of every event, and random ones.

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use windlass_model::actor::Actor;
use windlass_model::alert::{Alert, OnAlert};
use windlass_model::cause::{CauseCategory, RollbackCause};
use windlass_model::concurrency::{Claim, Group, Priority, QueueOrder};
use windlass_model::digest::Digest;
use windlass_model::dry_run::{DryRun, Origin, Would};
use windlass_model::event::{
    AfterFailure, AfterInterruption, Created, Event, HeldBy, Hold, Intervention, Operation, Outcome, Record,
    SkipReason, Wake,
};
use windlass_model::failure::{FailureClass, FailureOrigin, RetryAdvice, StepError};
use windlass_model::name::{ReleaseId, StepName};
use windlass_model::time::{Span, Timestamp};
use windlass_store::{Append, Outline};

/// An id from its text.
pub(crate) fn release(text: &str) -> ReleaseId {
    text.parse().expect("an id")
}

pub(crate) fn step(name: &str) -> StepName {
    name.parse().expect("a name")
}

/// A small record that is unlike others.
pub(crate) fn record(at: u64) -> Record {
    let output = json!({ "at": at, "text": format!("record {at}") });
    Record { at: Timestamp(at), events: vec![Event::AttemptSucceeded { step: step("build"), output }] }
}

/// A record of about so many bytes.
pub(crate) fn large_record(at: u64, bytes: usize) -> Record {
    Record {
        at: Timestamp(at),
        events: vec![Event::CheckpointRecorded {
            step: step("build"),
            name: "part".to_owned(),
            value: (0..bytes).map(|it| (it as u64 * 31 + at) as u8).collect(),
        }],
    }
}

pub(crate) fn append(release: &ReleaseId, expected: u64, record: Record) -> Append {
    Append { release: release.clone(), expected, record, outline: None }
}

pub(crate) fn outline(release: &ReleaseId, created_at: u64, open: bool) -> Outline {
    Outline {
        release: release.clone(),
        state: "running".to_owned(),
        since: Timestamp(created_at + 1),
        created_at: Timestamp(created_at),
        updated_at: Timestamp(created_at + 2),
        requested_by: "ana".to_owned(),
        headline: "deploys to production – step 3 of 9".to_owned(),
        open,
        rest: None,
        promises: false,
        review: false,
        standing: None,
        rehearsal: false,
        dry_run: false,
    }
}

pub(crate) fn claim() -> Claim {
    let group = Group { name: "payments-prod".to_owned(), order: QueueOrder::LatestOnly, limit: 2 };
    Claim { group: Some(group), tenant: "payments".parse().expect("a name"), priority: Priority::Urgent }
}

pub(crate) fn alert() -> Alert {
    let texts = |pairs: &[(&str, &str)]| pairs.iter().map(|(name, it)| (name.to_string(), it.to_string())).collect();
    Alert {
        fingerprint: "9f0c2b7a1e5d4c38".to_owned(),
        starts_at: Timestamp(1_700_000_000_000),
        labels: texts(&[("alertname", "HighErrorRate"), ("service", "payments")]),
        annotations: texts(&[("summary", "5 % of requests fail"), ("value", "0.05")]),
        source: "webhook prom".to_owned(),
    }
}

/// The number of variants of [`Event`].
const EVENTS: usize = 42;

/// Which variant it is. A new one does not compile until it is here, and then fails until it is in [`one_of_each`].
fn variant(event: &Event) -> usize {
    match event {
        Event::ReleaseCreated(_) => 0,
        Event::StepHeld { .. } => 1,
        Event::Voted { .. } => 2,
        Event::StepSkipped { .. } => 3,
        Event::AttemptStarted { .. } => 4,
        Event::Suspended { .. } => 5,
        Event::Resumed { .. } => 6,
        Event::CheckpointRecorded { .. } => 7,
        Event::CallInterrupted { .. } => 8,
        Event::EffectNotFound { .. } => 9,
        Event::AttemptSucceeded { .. } => 10,
        Event::AttemptFailed { .. } => 11,
        Event::AttemptTimedOut { .. } => 12,
        Event::Intervened { .. } => 13,
        Event::FailingStarted { .. } => 14,
        Event::CancelingStarted { .. } => 15,
        Event::RollbackStarted { .. } => 16,
        Event::StepCanceled { .. } => 17,
        Event::LeftAlone => 19,
        Event::OutputGiven { .. } => 20,
        Event::StepsReset { .. } => 21,
        Event::RollbackSettled { .. } => 22,
        Event::FannedOut { .. } => 23,
        Event::Joined { .. } => 24,
        Event::DelayOver { .. } => 25,
        Event::DeadlinePassed { .. } => 26,
        Event::FinallyStarted { .. } => 27,
        Event::CallbackKept { .. } => 28,
        Event::CallHeld { .. } => 29,
        Event::CallLetThrough { .. } => 30,
        Event::ParentTold => 31,
        Event::RollbackOverdue => 32,
        Event::OutputsRefused { .. } => 33,
        Event::Admitted => 34,
        Event::Superseded { .. } => 35,
        Event::AlertTaken { .. } => 36,
        Event::Escalated { .. } => 37,
        Event::CauseGiven { .. } => 38,
        Event::GatesLeftOut { .. } => 39,
        Event::InputUnknown { .. } => 40,
        Event::DryRunTold { .. } => 41,
        Event::ReleaseEnded { .. } => 18,
    }
}

/// One of every event, and of every variant inside of one, with a name for each.
pub(crate) fn one_of_each() -> Vec<(String, Event)> {
    let build = || step("build");
    let ana = Actor {
        name: "ana".to_owned(),
        groups: vec!["release-managers".to_owned(), "everybody".to_owned()],
        authenticated: "local user ana".to_owned(),
    };
    let failed = |origin, class, advice, next| Event::AttemptFailed {
        step: build(),
        error: StepError {
            origin,
            class,
            code: "no_runner".to_owned(),
            message: "no runner is free\nfor 5 minutes".to_owned(),
            advice,
            details: vec![("queue".to_owned(), "17".to_owned())],
            without_effect: false,
        },
        next,
    };
    let mut all = vec![
        (
            "release-created".to_owned(),
            Event::ReleaseCreated(Box::new(Created {
                release: release("payments-17"),
                plan: Digest::of(b"plan"),
                components: vec![
                    ("jenkins 0.1.3".to_owned(), Digest::of(b"jenkins")),
                    ("helm 0.2.0".to_owned(), Digest::of(b"helm")),
                ],
                parameters: json!({ "count": 3, "ratio": 0.1, "tags": ["a", null, true], "version": "1.2.3" }),
                requested_by: ana.clone(),
                salt: [7; 16],
                parent: None,
                rehearsal: false,
                dry_run: false,
                recorded: false,
                claim: None,
            })),
        ),
        (
            "release-created-rehearsal".to_owned(),
            Event::ReleaseCreated(Box::new(Created {
                release: release("payments-18"),
                plan: Digest::of(b"plan"),
                components: Vec::new(),
                parameters: json!({}),
                requested_by: ana.clone(),
                salt: [7; 16],
                parent: None,
                rehearsal: true,
                dry_run: false,
                recorded: false,
                claim: None,
            })),
        ),
        (
            "release-created-dry-run".to_owned(),
            Event::ReleaseCreated(Box::new(Created {
                release: release("payments-20"),
                plan: Digest::of(b"plan"),
                components: Vec::new(),
                parameters: json!({}),
                requested_by: ana.clone(),
                salt: [7; 16],
                parent: None,
                rehearsal: false,
                dry_run: true,
                recorded: false,
                claim: None,
            })),
        ),
        (
            "release-created-recorded".to_owned(),
            Event::ReleaseCreated(Box::new(Created {
                release: release("payments-21"),
                plan: Digest::of(b"plan"),
                components: Vec::new(),
                parameters: json!({}),
                requested_by: ana.clone(),
                salt: [7; 16],
                parent: None,
                rehearsal: false,
                dry_run: false,
                recorded: true,
                claim: None,
            })),
        ),
        (
            "gates-left-out".to_owned(),
            Event::GatesLeftOut {
                step: build(),
                questions: vec![String::new(), "Ready?".to_owned()],
                delay: Some(Span::seconds(60)),
            },
        ),
        ("input-unknown".to_owned(), Event::InputUnknown { step: build(), problem: "no such key".to_owned() }),
        (
            "dry-run-told".to_owned(),
            Event::DryRunTold {
                step: build(),
                dry_run: Box::new(DryRun {
                    would: vec![
                        Would { what: "POST https://ci/job".to_owned(), body: "{\"a\":1}".to_owned(), body_bytes: 7 },
                        Would { what: "tool helm upgrade".to_owned(), body: String::new(), body_bytes: 0 },
                    ],
                    omitted: 3,
                    origin: Origin::Release(release("payments-7")),
                    note: Some("it would wait: in the queue".to_owned()),
                }),
            },
        ),
        (
            "dry-run-told-of-plugin".to_owned(),
            Event::DryRunTold {
                step: build(),
                dry_run: Box::new(DryRun { would: Vec::new(), omitted: 0, origin: Origin::Plugin, note: None }),
            },
        ),
        (
            "dry-run-told-of-schema".to_owned(),
            Event::DryRunTold {
                step: build(),
                dry_run: Box::new(DryRun { would: Vec::new(), omitted: 0, origin: Origin::Schema, note: None }),
            },
        ),
        ("skipped-in-rehearsal".to_owned(), Event::StepSkipped { step: build(), reason: SkipReason::Rehearsal }),
        (
            "release-created-inside".to_owned(),
            Event::ReleaseCreated(Box::new(Created {
                release: release("deploy-4"),
                plan: Digest::of(b"plan"),
                components: Vec::new(),
                parameters: json!({}),
                requested_by: ana.clone(),
                salt: [7; 16],
                parent: Some(windlass_model::event::Parent {
                    release: release("payments-17"),
                    step: "deploy.2".parse().expect("a name"),
                }),
                rehearsal: false,
                dry_run: false,
                recorded: false,
                claim: None,
            })),
        ),
        (
            "release-created-in-group".to_owned(),
            Event::ReleaseCreated(Box::new(Created {
                release: release("payments-18"),
                plan: Digest::of(b"plan"),
                components: Vec::new(),
                parameters: json!({}),
                requested_by: ana.clone(),
                salt: [7; 16],
                parent: None,
                rehearsal: false,
                dry_run: false,
                recorded: false,
                claim: Some(claim()),
            })),
        ),
        ("admitted".to_owned(), Event::Admitted),
        ("superseded".to_owned(), Event::Superseded { by: release("payments-19") }),
        (
            "step-held".to_owned(),
            Event::StepHeld {
                step: build(),
                questions: vec![String::new(), "Ready, Österreich?".to_owned()],
                until: None,
            },
        ),
        (
            "voted".to_owned(),
            Event::Voted { step: build(), actor: ana.clone(), approved: true, comment: "fine".to_owned() },
        ),
        (
            "skipped-by-condition".to_owned(),
            Event::StepSkipped {
                step: build(),
                reason: SkipReason::Condition {
                    expression: "parameters.region == 'eu'".to_owned(),
                    values: vec![("parameters.region".to_owned(), json!("us"))],
                },
            },
        ),
        ("skipped-with-needs".to_owned(), Event::StepSkipped { step: build(), reason: SkipReason::NeedsSkipped }),
        (
            "suspended".to_owned(),
            Event::Suspended {
                step: build(),
                state: vec![0, 1, 255],
                wake_at: Some(Timestamp(1_700_000_000_123)),
                topics: vec!["build-17".to_owned()],
                status: "waits for a runner".to_owned(),
            },
        ),
        (
            "suspended-without-timer".to_owned(),
            Event::Suspended { step: build(), state: vec![], wake_at: None, topics: vec![], status: String::new() },
        ),
        ("resumed-by-timer".to_owned(), Event::Resumed { step: build(), wake: Wake::Timer }),
        (
            "resumed-by-callback".to_owned(),
            Event::Resumed {
                step: build(),
                wake: Wake::Callback {
                    topic: "build-17".to_owned(),
                    headers: vec![("content-type".to_owned(), "application/json".to_owned())],
                    body: b"{}".to_vec(),
                },
            },
        ),
        (
            "checkpoint".to_owned(),
            Event::CheckpointRecorded { step: build(), name: "ticket".to_owned(), value: vec![9; 40] },
        ),
        ("effect-not-found".to_owned(), Event::EffectNotFound { step: build() }),
        (
            "succeeded".to_owned(),
            Event::AttemptSucceeded { step: build(), output: json!({ "number": 18_446_744_073_709_551_615_u64 }) },
        ),
        ("timed-out".to_owned(), Event::AttemptTimedOut { step: build() }),
        ("failing-started".to_owned(), Event::FailingStarted { step: build(), rollback: true }),
        ("canceling-started".to_owned(), Event::CancelingStarted { rollback: false }),
        ("rollback-started".to_owned(), Event::RollbackStarted { trigger: "ana: wrong version".to_owned() }),
        ("step-canceled".to_owned(), Event::StepCanceled { step: build() }),
        ("left-alone".to_owned(), Event::LeftAlone),
        ("parent-told".to_owned(), Event::ParentTold),
        ("output-given".to_owned(), Event::OutputGiven { step: build(), output: json!({ "number": 12 }) }),
        ("steps-reset".to_owned(), Event::StepsReset { steps: vec![build(), "deploy".parse().expect("a name")] }),
        (
            "fanned-out".to_owned(),
            Event::FannedOut { step: build(), items: vec![json!("eu"), json!({ "os": "linux" })] },
        ),
        ("joined".to_owned(), Event::Joined { step: build(), output: None }),
        ("joined-reduced".to_owned(), Event::Joined { step: build(), output: Some(json!({ "passed": 12 })) }),
        (
            "item-started".to_owned(),
            Event::AttemptStarted {
                step: "build.2".parse().expect("a name"),
                operation: Operation::Start,
                attempt: 1,
                round: 1,
                input: Some(json!({})),
            },
        ),
        (
            "delayed".to_owned(),
            Event::StepHeld { step: build(), questions: Vec::new(), until: Some(Timestamp(1_700_000_000_000)) },
        ),
        ("delay-over".to_owned(), Event::DelayOver { step: build() }),
        ("deadline-passed".to_owned(), Event::DeadlinePassed { phase: None }),
        ("phase-deadline-passed".to_owned(), Event::DeadlinePassed { phase: Some("build".parse().expect("a name")) }),
        ("finally-started".to_owned(), Event::FinallyStarted { outcome: windlass_model::event::Outcome::RolledBack }),
        ("rollback-settled".to_owned(), Event::RollbackSettled { step: build(), done: true }),
        (
            "callback-kept".to_owned(),
            Event::CallbackKept {
                step: build(),
                topic: "build-18".to_owned(),
                headers: vec![("content-type".to_owned(), "application/json".to_owned())],
                body: vec![0, 255],
            },
        ),
        (
            "call-held".to_owned(),
            Event::CallHeld {
                step: build(),
                hold: Hold {
                    by: HeldBy::Breaker("connection:http/api".to_owned()),
                    text: "5 failed in a row".to_owned(),
                    owner: "whoever looks after api".to_owned(),
                    until: Some(Timestamp(1_700_000_000_000)),
                },
            },
        ),
        (
            "outputs-refused".to_owned(),
            Event::OutputsRefused { problem: "output `image` has no value: there is no step `build`".to_owned() },
        ),
        (
            "call-held-by-service".to_owned(),
            Event::CallHeld {
                step: build(),
                hold: Hold {
                    by: HeldBy::Service("ledger >=2.4 in production".to_owned()),
                    text: "ledger-14 is to deliver 2.4.0".to_owned(),
                    owner: "ana".to_owned(),
                    until: None,
                },
            },
        ),
        ("rollback-overdue".to_owned(), Event::RollbackOverdue),
        ("escalated".to_owned(), Event::Escalated { to: "group:release-managers".to_owned() }),
        ("call-let-through".to_owned(), Event::CallLetThrough { step: build() }),
        (
            "skipped-by-person".to_owned(),
            Event::StepSkipped {
                step: build(),
                reason: SkipReason::Person { by: "ana".to_owned(), reason: "done by hand".to_owned() },
            },
        ),
    ];
    for operation in [Operation::Start, Operation::Cancel, Operation::Rollback] {
        let input = matches!(operation, Operation::Start).then(|| json!({ "job": "payments" }));
        all.push((
            format!("attempt-started-{}", operation.name()),
            Event::AttemptStarted { step: build(), operation, attempt: 2, round: 1, input },
        ));
    }
    for (name, next) in
        [("repeat", AfterInterruption::Repeat), ("find", AfterInterruption::Find), ("pause", AfterInterruption::Pause)]
    {
        all.push((format!("interrupted-{name}"), Event::CallInterrupted { step: build(), next, unbegun: false }));
    }
    let unbegun = Event::CallInterrupted { step: build(), next: AfterInterruption::Repeat, unbegun: true };
    all.push(("interrupted-unbegun".to_owned(), unbegun));
    for (name, next) in [
        ("retry", AfterFailure::RetryAt(Timestamp(1_700_000_000_123))),
        ("pause", AfterFailure::Pause),
        ("fail", AfterFailure::Fail),
        ("continue", AfterFailure::Continue),
    ] {
        let event = failed(FailureOrigin::Plugin, FailureClass::Transient, RetryAdvice::ByPolicy, next);
        all.push((format!("failed-then-{name}"), event));
    }
    for (class, name) in FailureClass::ALL {
        let event = failed(FailureOrigin::Engine, class, RetryAdvice::Pause, AfterFailure::Fail);
        all.push((format!("failed-as-{}", name.replace('_', "-")), event));
    }
    for (name, origin, advice) in [
        ("host-after", FailureOrigin::Host, RetryAdvice::After(Span(90_000))),
        ("host-never", FailureOrigin::Host, RetryAdvice::Never),
    ] {
        all.push((format!("failed-{name}"), failed(origin, FailureClass::Internal, advice, AfterFailure::Fail)));
    }
    let mut event =
        failed(FailureOrigin::Plugin, FailureClass::Unauthenticated, RetryAdvice::ByPolicy, AfterFailure::Fail);
    if let Event::AttemptFailed { error, .. } = &mut event {
        error.without_effect = true;
    }
    all.push(("failed-without-effect".to_owned(), event));
    for (name, intervention) in [
        ("retry", Intervention::Retry { step: build() }),
        (
            "retry-with",
            Intervention::RetryWith {
                step: build(),
                pin: Box::new(windlass_model::plan::Pin {
                    runs: windlass_model::plan::Runs::Component(Digest::of(b"jenkins 0.2.0")),
                    version: "0.2.0".parse().expect("a version"),
                    effect: windlass_model::manifest::Effect::Write,
                    cancel: true,
                    rollback: false,
                    find: true,
                    connections: [("jenkins", "ci")]
                        .map(|(role, name)| (role.parse().expect("a role"), name.parse().expect("a name")))
                        .into(),
                }),
            },
        ),
        ("cancel", Intervention::Cancel { rollback: true }),
        ("rollback", Intervention::Rollback),
        ("keep", Intervention::Keep),
        ("run-again", Intervention::RunAgain { step: build() }),
        ("skip", Intervention::Skip { step: build(), output: None }),
        ("skip-with-output", Intervention::Skip { step: build(), output: Some(json!({ "number": 12 })) }),
        ("replace-output", Intervention::ReplaceOutput { step: build(), output: json!([1, 2]) }),
        ("pause", Intervention::Pause),
        ("resume", Intervention::Resume),
        ("settle-rollback", Intervention::SettleRollback { step: build(), done: false }),
    ] {
        let event = Event::Intervened { actor: ana.clone(), reason: "wrong version".to_owned(), intervention };
        all.push((format!("intervened-{name}"), event));
    }
    for (category, name) in CauseCategory::ALL.map(|(name, it)| (it, name)) {
        let risk = (category == CauseCategory::Code).then(|| "medium now".to_owned());
        let runbook = risk.as_ref().map(|_| "https://wiki/runbooks/payments".to_owned());
        let cause = Box::new(RollbackCause { category, cause: "a pool that was too small".to_owned(), risk, runbook });
        all.push((format!("cause-{}", name.replace('_', "-")), Event::CauseGiven { actor: ana.clone(), cause }));
    }
    for (then, name) in [(OnAlert::Rollback, "rolls-back"), (OnAlert::AfterConfirmation, "asks")] {
        all.push((format!("alert-{name}"), Event::AlertTaken { alert: Box::new(alert()), then }));
    }
    for (outcome, name) in Outcome::ALL {
        let event = Event::ReleaseEnded { outcome, outputs: json!({ "url": "https://example.com" }) };
        all.push((format!("ended-{}", name.replace(' ', "-")), event));
    }
    all
}

/// A record of one to four events.
pub(crate) fn random_record(random: &mut StdRng) -> Record {
    let all = one_of_each();
    let mut events: Vec<Event> =
        (0..random.random_range(1..=4)).map(|_| all[random.random_range(0..all.len())].1.clone()).collect();
    events.push(Event::AttemptSucceeded { step: step("random"), output: random_value(random, 3) });
    if random.random_ratio(1, 8) {
        events.push(Event::CheckpointRecorded {
            step: step("random"),
            name: "large".to_owned(),
            value: (0..random.random_range(3_500..60_000)).map(|_| random.random()).collect(),
        });
    }
    Record { at: Timestamp(random.random()), events }
}

fn random_value(random: &mut StdRng, depth: usize) -> Value {
    match random.random_range(0..if depth == 0 { 5 } else { 7 }) {
        0 => Value::Null,
        1 => json!(random.random::<bool>()),
        2 => json!(random.random::<i64>()),
        3 => json!(f64::from_bits(random.random())),
        4 => json!((0..random.random_range(0..30)).map(|_| random.random::<char>()).collect::<String>()),
        5 => (0..random.random_range(0..4)).map(|_| random_value(random, depth - 1)).collect(),
        _ => (0..random.random_range(0..4)).map(|it| (format!("key{it}"), random_value(random, depth - 1))).collect(),
    }
}

#[test]
fn one_of_each_has_every_variant() {
    let mut missing: Vec<usize> = (0..EVENTS).collect();
    let mut names = std::collections::BTreeSet::new();
    for (name, event) in one_of_each() {
        missing.retain(|it| *it != variant(&event));
        assert!(names.insert(name.clone()), "{name} is there twice");
    }
    assert_eq!(missing, Vec::<usize>::new());
}
