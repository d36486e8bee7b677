//! Plays a scenario, and says what is not as it should be.

use std::sync::Arc;

use serde_json::Value;
use windlass_model::event::{Operation, Wake};
use windlass_model::failure::{FailureClass, FailureOrigin, RetryAdvice, StepError};
use windlass_model::manifest::{Action, Effect};
use windlass_model::time::Span;
use windlass_sandbox::cassette::{Differences, replay};
use windlass_sandbox::{CallKind, CallOutcome};

use crate::file::{Ends, ProbeFile};
use crate::scenario::{Play, Reference};
use crate::scene::{Finish, Interruption, Scene, Seen};
use crate::suite::Suite;
use crate::transcript::Event;
use crate::{Broken, Check};

/// What was expected, and what was seen.
pub(crate) struct Wrong {
    pub(crate) expected: String,
    pub(crate) seen: String,
}

pub(crate) type Verdict = Result<(), Wrong>;

fn wrong(expected: impl Into<String>, seen: impl Into<String>) -> Verdict {
    Err(Wrong { expected: expected.into(), seen: seen.into() })
}

/// Plays it.
pub(crate) async fn judge(
    suite: &Suite<'_>,
    scene: &mut Scene<'_>,
    action: &Action,
    reference: &Reference,
    play: Play,
) -> Result<Verdict, Broken> {
    Ok(match play {
        Play::Same(interruption) => {
            let finish = scene.persevere(interruption).await?;
            same(suite, scene, action, reference, &finish).await?
        }
        Play::Declared => {
            let finish = scene.walk(CallKind::Start, Operation::Start, None, Interruption::default()).await?;
            declared(&finish)
        }
        Play::Understood => {
            let finish = scene.walk(CallKind::Start, Operation::Start, None, Interruption::default()).await?;
            in_time(&finish)
        }
        Play::Noticed => {
            let finish = scene.walk(CallKind::Start, Operation::Start, None, Interruption::default()).await?;
            match &finish {
                Finish::Done(_) => same(suite, scene, action, reference, &finish).await?,
                _ => in_time(&finish),
            }
        }
        Play::WorthAnother => {
            let finish = scene.persevere(Interruption::default()).await?;
            // What the case itself comes to is not the fault's doing.
            let is_meant = |it: &&StepError| matches!(&scene.case.ends, Ends::Failed(meant) if meant.code == it.code);
            match scene.first_failure.as_ref().filter(|it| !is_meant(it)).and_then(discouraging) {
                Some(seen) => {
                    wrong("a failure that is worth another attempt, after the second that was asked for", seen)
                }
                None => same(suite, scene, action, reference, &finish).await?,
            }
        }
        Play::NotWorthAnother => {
            let finish = scene.walk(CallKind::Start, Operation::Start, None, Interruption::default()).await?;
            not_worth_another(&finish)
        }
        Play::CancelCutOff => match scene.walk(CallKind::Start, Operation::Start, None, Interruption::default()).await?
        {
            Finish::CutOff => cancel(suite, scene, None).await?,
            // It made fewer requests than before, and ended.
            _ => Ok(()),
        },
        Play::CancelWaiting(at) => {
            let leave = Interruption { leave_at: Some(at), ..Interruption::default() };
            match scene.walk(CallKind::Start, Operation::Start, None, leave).await? {
                Finish::Waits { state } => cancel(suite, scene, Some(state)).await?,
                _ => Ok(()),
            }
        }
        Play::RollBack(times) => match scene.persevere(Interruption::default()).await? {
            Finish::Done(output) => roll_back(suite, scene, Some(&output), times).await?,
            other => wrong("the action is done", other.words()),
        },
        Play::RollBackOvertaken => match scene.persevere(Interruption::default()).await? {
            Finish::Done(output) => overtaken(suite, scene, &output).await?,
            other => wrong("the action is done", other.words()),
        },
        Play::RollBackCutOff => {
            match scene.walk(CallKind::Start, Operation::Start, None, Interruption::default()).await? {
                Finish::CutOff => roll_back(suite, scene, None, 1).await?,
                _ => Ok(()),
            }
        }
        Play::RollBackRefused => match scene.persevere(Interruption::default()).await? {
            Finish::Done(output) => {
                let finish =
                    scene.walk(CallKind::Rollback, Operation::Rollback, Some(&output), Interruption::default()).await?;
                match &finish {
                    // Whoever says that it could not be done is asked again, or a person is.
                    Finish::Failed(_) | Finish::Person(_) => declared(&finish),
                    _ => undone(suite, scene, &finish, "it is rolled back, or fails", Undo::Rollback).await?,
                }
            }
            other => wrong("the action is done", other.words()),
        },
        Play::RollBackBoth => {
            match scene.walk(CallKind::Start, Operation::Start, None, Interruption::default()).await? {
                Finish::Failed(error) if error.class.is_definite() => {}
                // Another attempt would be the same work.
                _ => return Ok(Ok(())),
            }
            scene.start_anew();
            let finish = scene.persevere(Interruption::default()).await?;
            let output = if let Finish::Done(output) = &finish { Some(output) } else { None };
            roll_back(suite, scene, output, 1).await?
        }
        Play::DryRun => dry_run(scene).await?,
        Play::Input(variant) => {
            scene.input = variant.input;
            scene.dry_run = true;
            let finish = match scene.call(CallKind::Start, Operation::Start, None).await {
                Some(Err(error)) => Finish::Failed(error),
                Some(Ok(CallOutcome::Done(output))) => Finish::Done(output),
                _ => Finish::Waits { state: Vec::new() },
            };
            input(scene, variant.accepted, &finish)
        }
        Play::Garbage(state) => {
            scene.input = Value::Array(Vec::new());
            let state = state.as_str().unwrap_or_default().as_bytes().to_vec();
            let kind = CallKind::Resume { state, wake: Wake::Timer };
            match scene.call(kind, Operation::Start, None).await {
                Some(Err(error)) => declared(&Finish::Failed(error)),
                _ => Ok(()),
            }
        }
        Play::Replay(at) => replayed(suite, scene, reference, at).await,
        Play::Echoed => {
            let _ = scene.persevere(Interruption::default()).await?;
            Ok(())
        }
    })
}

/// Whether the case itself came to what it says, and to which check what is wrong belongs.
pub(crate) fn judge_reference(
    suite: &Suite<'_>,
    scene: &Scene<'_>,
    action: &Action,
    reference: &Reference,
) -> Result<(), (Check, Wrong)> {
    let blame =
        |check, expected: &str| Err((check, Wrong { expected: expected.to_owned(), seen: reference.finish.words() }));
    let ends_so = match (&reference.finish, &scene.case.ends) {
        (Finish::Done(_), Ends::Done) => true,
        (Finish::Failed(error) | Finish::Person(error), Ends::Failed(meant)) => {
            error.code == meant.code && meant.class.is_none_or(|it| it == error.class)
        }
        _ => false,
    };
    if !ends_so {
        if let Finish::Failed(error) = &reference.finish {
            match error.code.as_str() {
                "output-breaks-schema" | "output-not-json" => {
                    return blame(Check::Schemas, "an output that is what its schema says");
                }
                "credential-in-state" => return blame(Check::Secrets, "a state without a credential"),
                _ if reference.last_function == "resume" && matches!(scene.case.ends, Ends::Done) => {
                    let expected = "it goes on in another instance from its saved state, and is done; if it is meant to fail, say so in `ends` of the case";
                    return blame(Check::Resume, expected);
                }
                _ => {}
            }
        }
        let expected = match &scene.case.ends {
            Ends::Done => "it is done; if it is meant to fail, say so in `ends` of the case".to_owned(),
            Ends::Failed(meant) => {
                let class = meant.class.map(|it| format!(" ({it})")).unwrap_or_default();
                format!("it fails with `{}`{class}, as `ends` of the case says", meant.code)
            }
        };
        return blame(Check::Run, &expected);
    }
    if let Finish::Done(output) = &reference.finish
        && let Some(nowhere) = scene.case.varies.iter().find(|it| output.pointer(it).is_none())
    {
        return blame(
            Check::Run,
            &format!("an output with something at `{nowhere}`, which `varies` of the case names"),
        );
    }
    let changed = changes(suite, scene, &reference.before, &reference.after, true);
    let sees = changed.iter().any(|(name, change)| {
        let (_, probe) = suite.file.probes_of(scene.case).find(|(it, _)| *it == name).expect("it was probed");
        if probe.value.is_some() { reference.before.get(name) != Some(change) } else { change != &Value::from(0) }
    });
    let is_done = matches!(scene.case.ends, Ends::Done);
    let (expected, seen) = match action.effect {
        Effect::Read if sees => ("no probe changes, for its effect is `read`", format!("changes: {}", words(&changed))),
        Effect::Write | Effect::IdempotentWrite if !sees && is_done => (
            "a probe of the case changes, for it writes; else nothing could be judged",
            format!("changes: {}", words(&changed)),
        ),
        _ => return Ok(()),
    };
    Err((Check::Run, Wrong { expected: expected.to_owned(), seen }))
}

fn words(changes: &Seen) -> String {
    if changes.is_empty() { "none, for there is no probe".to_owned() } else { serde_json::json!(changes).to_string() }
}

/// What became of what the probes look at: how much a count grew, what a value is now.
fn changes(suite: &Suite<'_>, scene: &Scene<'_>, before: &Seen, after: &Seen, history: bool) -> Seen {
    let probes = suite.file.probes_of(scene.case).filter(|(_, it)| history || !it.history);
    let change = |name: &String, probe: &ProbeFile| {
        let (before, after) = (before.get(name), after.get(name)?);
        Some(match (before.and_then(Value::as_i64), after.as_i64()) {
            (Some(before), Some(now)) if probe.value.is_none() => Value::from(now - before),
            _ => after.clone(),
        })
    };
    probes.filter_map(|(name, probe)| Some((name.clone(), change(name, probe)?))).collect()
}

/// Whether all came to what it comes to when nothing goes wrong.
async fn same(
    suite: &Suite<'_>,
    scene: &Scene<'_>,
    action: &Action,
    reference: &Reference,
    finish: &Finish,
) -> Result<Verdict, Broken> {
    let after = scene.probe("after").await?;
    let meant = changes(suite, scene, &reference.before, &reference.after, true);
    let are = changes(suite, scene, &scene.before, &after, true);
    if let Finish::Person(error) = finish
        && action.effect == Effect::Write
        && !matches!(&reference.finish, Finish::Person(_))
    {
        // The host does not try again by itself, so what is there is there once or not at all.
        let too_much = are.iter().any(|(name, it)| it.as_i64() > meant.get(name).and_then(Value::as_i64));
        let seen = format!("{} and a person is asked: {error}", words(&are));
        return Ok(if too_much { wrong(format!("effects: at most {}", words(&meant)), seen) } else { Ok(()) });
    }
    let ends_so = match (&reference.finish, finish) {
        (Finish::Done(output), Finish::Done(is)) => {
            let (output, is) = (without(output, &scene.case.varies), without(is, &scene.case.varies));
            // What was done is what matters, and explains the output.
            if output != is && meant == are {
                return Ok(wrong(format!("the output {output}"), format!("the output {is}")));
            }
            true
        }
        (Finish::Failed(meant) | Finish::Person(meant), Finish::Failed(is) | Finish::Person(is)) => {
            meant.code == is.code && meant.class == is.class
        }
        _ => false,
    };
    if !ends_so {
        return Ok(wrong(reference.finish.words(), finish.words()));
    }
    Ok(if meant == are { Ok(()) } else { wrong(format!("effects: {}", words(&meant)), words(&are)) })
}

fn without(output: &Value, varies: &[String]) -> Value {
    let mut output = output.clone();
    for pointer in varies {
        if let Some(there) = output.pointer_mut(pointer) {
            *there = Value::String("(varies)".to_owned());
        }
    }
    output
}

fn declared(finish: &Finish) -> Verdict {
    match (finish.crash(), finish) {
        (Some(error), _) => wrong("a failure that the plugin declares", format!("the host had to end it: {error}")),
        (None, Finish::Stuck(why)) => wrong("it ends", why.as_str()),
        _ => Ok(()),
    }
}

/// The same where nothing keeps it waiting.
fn in_time(finish: &Finish) -> Verdict {
    match finish {
        Finish::Failed(error) | Finish::Person(error) if error.code == "wall-limit" => {
            wrong("it ends by itself", format!("the host had to end it: {error}"))
        }
        _ => declared(finish),
    }
}

fn passes(class: FailureClass) -> bool {
    matches!(class, FailureClass::Transient | FailureClass::RateLimited | FailureClass::TimedOut)
}

/// What keeps a host from trying again though it should, or lets it do so too early.
fn discouraging(error: &StepError) -> Option<String> {
    let discourages = match error.advice {
        RetryAdvice::Never | RetryAdvice::Pause => true,
        RetryAdvice::After(span) => span < Span::seconds(1),
        RetryAdvice::ByPolicy => false,
    };
    let class = !passes(error.class);
    (discourages || class).then(|| format!("{error}; its class is `{}`, its advice {:?}", error.class, error.advice))
}

fn not_worth_another(finish: &Finish) -> Verdict {
    let Finish::Failed(error) = finish else { return declared(finish) };
    declared(finish)?;
    let again =
        matches!(error.advice, RetryAdvice::After(_)) || (error.advice == RetryAdvice::ByPolicy && passes(error.class));
    if again {
        return wrong(
            "a failure that is not tried again by itself: it is forbidden now and will be",
            format!("{error}; advice {:?}", error.advice),
        );
    }
    Ok(())
}

async fn cancel(suite: &Suite<'_>, scene: &mut Scene<'_>, state: Option<Vec<u8>>) -> Result<Verdict, Broken> {
    let finish = scene.walk(CallKind::Cancel { state }, Operation::Cancel, None, Interruption::default()).await?;
    undone(suite, scene, &finish, "it is stopped", Undo::Cancel).await
}

async fn roll_back(
    suite: &Suite<'_>,
    scene: &mut Scene<'_>,
    output: Option<&Value>,
    times: usize,
) -> Result<Verdict, Broken> {
    let mut finish = Finish::NotFound;
    for _ in 0..times {
        finish = scene.walk(CallKind::Rollback, Operation::Rollback, output, Interruption::default()).await?;
    }
    undone(suite, scene, &finish, "it is rolled back", Undo::Rollback).await
}

/// Whether a rollback leaves alone what somebody else has changed since: it takes back the rest, or fails.
async fn overtaken(suite: &Suite<'_>, scene: &mut Scene<'_>, output: &Value) -> Result<Verdict, Broken> {
    let done = scene.probe("after it was done").await?;
    scene.change_before_rollback().await?;
    let changed = scene.probe("after somebody else").await?;
    let lasting = |name: &String| suite.file.probes_of(scene.case).any(|(it, probe)| it == name && !probe.history);
    let theirs: Seen = changed.into_iter().filter(|(name, now)| lasting(name) && done.get(name) != Some(now)).collect();
    if theirs.is_empty() {
        let expected = "`before_rollback` of the case changes what a probe of it says; else nothing could be judged";
        return Ok(wrong(expected, words(&done)));
    }
    let finish = scene.walk(CallKind::Rollback, Operation::Rollback, Some(output), Interruption::default()).await?;
    if let unfit @ Err(_) = declared(&finish) {
        return Ok(unfit);
    }
    let mut after = scene.probe("after").await?;
    after.retain(|name, _| theirs.contains_key(name));
    if after == theirs {
        return Ok(Ok(()));
    }
    let expected = format!(
        "what somebody else changed since stays: the probes say {}; the rollback takes back the rest, or fails",
        words(&theirs)
    );
    Ok(wrong(expected, format!("{}, and {}", words(&after), finish.words())))
}

/// By what something is undone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Undo {
    Cancel,
    Rollback,
}

/// Whether it ended, and the probes are as they were before.
async fn undone(
    suite: &Suite<'_>,
    scene: &Scene<'_>,
    finish: &Finish,
    what: &str,
    by: Undo,
) -> Result<Verdict, Broken> {
    if !matches!(finish, Finish::Done(_)) {
        return Ok(wrong(what, finish.words()));
    }
    let after = scene.probe("after").await?;
    let at_work = |it: &Seen| -> Seen {
        let is_undone = |it: &ProbeFile| !it.history && (by == Undo::Rollback || !it.finished);
        let probes = suite.file.probes_of(scene.case).filter(|(_, probe)| is_undone(probe));
        probes.filter_map(|(name, _)| Some((name.clone(), it.get(name)?.clone()))).collect()
    };
    let (meant, is) = (at_work(&scene.before), at_work(&after));
    if meant == is {
        return Ok(Ok(()));
    }
    // A probe that counts what it should not looks like a plugin that left something behind.
    let differing = is.iter().filter(|(name, it)| meant.get(*name) != Some(*it));
    let counted = differing.filter_map(|(name, _)| Some(format!("; `{name}` counts {}", scene.counted(name)?)));
    let seen = format!("{}{}", words(&is), counted.collect::<String>());
    Ok(wrong(format!("{what}, and the probes say {}", words(&meant)), seen))
}

async fn dry_run(scene: &mut Scene<'_>) -> Result<Verdict, Broken> {
    scene.dry_run = true;
    let leave = Interruption { leave_at: Some(1), ..Interruption::default() };
    let finish = scene.walk(CallKind::Start, Operation::Start, None, leave).await?;
    let writing = scene.record.all().into_iter().find_map(|it| match it {
        Event::Requested { method, path, .. } if !matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS") => {
            Some(format!("{method} {path}"))
        }
        _ => None,
    });
    if let Some(writing) = writing {
        return Ok(wrong("no request that writes arrives", writing));
    }
    let after = scene.probe("after").await?;
    if after != scene.before {
        return Ok(wrong(format!("the probes say {}", words(&scene.before)), words(&after)));
    }
    Ok(declared_in_a_dry_run(&finish))
}

/// A plugin need not know of dry runs: the host ends the step where it does not let a tool run.
fn declared_in_a_dry_run(finish: &Finish) -> Verdict {
    match finish {
        Finish::Failed(error) if error.code == "tool-denied" => Ok(()),
        _ => declared(finish),
    }
}

fn input(scene: &Scene<'_>, accepted: bool, finish: &Finish) -> Verdict {
    match finish {
        Finish::Failed(error) if !accepted => {
            let refused = error.code == "input-breaks-schema" && scene.reached() == 0;
            if refused { Ok(()) } else { wrong("the host refuses it", error.to_string()) }
        }
        Finish::Failed(error) if error.origin == FailureOrigin::Plugin && error.class == FailureClass::Internal => {
            wrong("what the schema accepts is understood, or refused as `invalid`", error.to_string())
        }
        _ if !accepted => wrong("the host refuses it", finish.words()),
        // Inputs are tried in dry runs.
        _ => declared_in_a_dry_run(finish),
    }
}

async fn replayed(suite: &Suite<'_>, scene: &Scene<'_>, reference: &Reference, at: usize) -> Verdict {
    let recorded = Arc::new(reference.calls[at].recorded.clone());
    let action = scene.case.action.as_str();
    let played = replay(suite.sandbox, suite.plugin, action, recorded, Differences::End).await;
    match played.differences.first() {
        None => Ok(()),
        Some(first) => wrong(
            "the same requests and the same end as when it was recorded",
            format!("{}: {}", first.of, first.how.join("; ")),
        ),
    }
}
