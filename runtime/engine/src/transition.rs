//! How a step gets from one state to the next: one match on (state, event), one arm for the impossible.
//!
//! **Invariant:** only [`Release::apply`](crate::Release) calls this, for replay and for decisions alike.

use std::sync::Arc;

use windlass_model::dry_run::DryRun;
use windlass_model::event::{AfterFailure, AfterInterruption, Event, Operation, SkipReason};
use windlass_model::failure::{FailureClass, StepError};
use windlass_model::text::part_name;
use windlass_model::time::Timestamp;

use crate::hold::{hold_back, let_through};
use crate::step::{Activity, Call, Stage, StepRun, StepState, Stopped, Vote};

/// The state of a step after an event about it, or the name of an event that cannot follow.
pub(crate) fn after(
    run: &mut StepRun,
    state: StepState,
    event: &Event,
    at: Timestamp,
) -> Result<StepState, &'static str> {
    use StepState::{
        Active, Canceled, Failed, FannedOut, Held, LeftInPlace, Paused, RollbackBlocked, RolledBack, Skipped,
        Succeeded, Waiting,
    };
    match (state, event) {
        (Held { questions, .. }, Event::DelayOver { .. }) => Ok(Held { questions, until: None }),
        (Waiting, Event::StepHeld { questions, until, .. }) => {
            run.began_at = Some(at);
            Ok(Held { questions: questions.clone(), until: *until })
        }
        (state @ Held { .. }, Event::Voted { actor, approved, comment, .. }) => {
            run.votes.push(Vote { actor: actor.clone(), approved: *approved, comment: comment.clone(), at });
            Ok(state)
        }
        (Waiting | Held { .. }, Event::FannedOut { .. }) => {
            run.began_at = run.began_at.or(Some(at));
            Ok(FannedOut)
        }
        (FannedOut, Event::Joined { output, .. }) => {
            run.output = output.clone().map(Arc::new).or(run.output.take());
            Ok(Succeeded)
        }
        (Waiting, Event::StepSkipped { reason, .. }) => Ok(Skipped { reason: reason.clone() }),
        (Held { .. } | Paused { .. }, Event::StepSkipped { reason: reason @ SkipReason::Person { .. }, .. }) => {
            Ok(Skipped { reason: reason.clone() })
        }
        (Active(activity), Event::StepSkipped { reason: reason @ SkipReason::Person { .. }, .. })
            if activity.operation == Operation::Start
                && matches!(activity.stage, Stage::Backoff { .. } | Stage::Held { .. }) =>
        {
            Ok(Skipped { reason: reason.clone() })
        }
        (state @ (Succeeded | Skipped { .. } | Failed { tolerated: true, .. }), Event::OutputGiven { output, .. }) => {
            run.output = Some(Arc::new(output.clone()));
            Ok(state)
        }
        (RollbackBlocked { .. }, Event::RollbackSettled { done, .. }) => {
            run.ended_at = Some(at);
            Ok(if *done { RolledBack } else { LeftInPlace })
        }

        (Waiting, Event::GatesLeftOut { questions, delay, .. }) => {
            let dry = run.dry_mut();
            (dry.questions, dry.delay) = (questions.clone(), *delay);
            Ok(Waiting)
        }
        (state @ (Waiting | FannedOut), Event::InputUnknown { problem, .. }) => {
            run.dry_mut().unknown = Some(problem.clone());
            Ok(state)
        }
        (Active(activity), Event::DryRunTold { dry_run, .. }) if activity.is_calling() => {
            run.dry_mut().told = Some(DryRun::clone(dry_run));
            Ok(Active(activity))
        }

        (state, Event::AttemptStarted { operation, attempt, round, input, .. }) => {
            let has_input = input.as_ref().is_some_and(|it| !it.is_null());
            if matches!(state, Waiting | Held { .. }) && *operation == Operation::Start && has_input {
                // What was so before is asked anew, perhaps of something else; what each piece of work came to stays.
                run.checkpoints_before.append(&mut run.checkpoints);
                run.checkpoints_before.retain(|name, _| part_name(name) != name);
            }
            let began = |activity: Option<&Activity>| match activity {
                Some(before) if *attempt > 1 => (before.began_at, before.spent),
                // What was spent before the step was run again does not count.
                _ => (at, attempt.saturating_sub(1)),
            };
            let ((began_at, spent), stops) = match (state, operation) {
                (Waiting | Held { .. }, Operation::Start) => (began(None), None),
                (Active(before), Operation::Start | Operation::Rollback)
                    if matches!(before.stage, Stage::Backoff { .. }) =>
                {
                    (began(Some(&before)), None)
                }
                (Active(before), Operation::Cancel) if before.operation == Operation::Cancel => {
                    (began(Some(&before)), before.stops)
                }
                (Active(before), Operation::Cancel) => {
                    let stops = Stopped { activity: Box::new(before), timed_out: run.timing_out };
                    (began(None), Some(stops))
                }
                (Paused { activity, .. }, Operation::Start) => ((at, activity.attempt), None),
                (RollbackBlocked { activity, .. }, Operation::Rollback) => ((at, activity.attempt), None),
                (
                    Succeeded | Failed { .. } | Canceled | Paused { .. } | Waiting | Held { .. } | Skipped { .. },
                    Operation::Rollback,
                    // What was written before a call could be known to have done nothing went by the rounds.
                ) if run.called || run.rounds > 0 => (began(None), None),
                _ => return Err("the start of an attempt"),
            };
            let begin = stops.as_ref().and_then(|it| match &it.activity.stage {
                Stage::Suspended { state, .. } => Some(state.clone()),
                Stage::Calling(_) | Stage::Backoff { .. } | Stage::Held { .. } | Stage::Stopped => None,
            });
            run.timing_out = stops.as_ref().is_some_and(|it| it.timed_out);
            run.called_before = run.called;
            run.called = true;
            if *operation == Operation::Start {
                run.attempts = run.attempts.max(*attempt);
                run.rounds = run.rounds.max(*round);
                run.stood_before = run.stands;
                run.stands = true;
            }
            if *operation == Operation::Cancel {
                run.cancels = *attempt;
            }
            if *operation != Operation::Rollback {
                run.unstopped = None;
            }
            run.began_at = run.began_at.or(Some(at));
            // An attempt that ends before any call, for want of an input, begins without one.
            if let Some(input) = input.as_ref().filter(|it| !it.is_null()) {
                run.input = Some(Arc::new(input.clone()));
            }
            Ok(Active(Activity {
                operation: *operation,
                attempt: *attempt,
                spent,
                round: *round,
                call: 1,
                began_at,
                attempt_began_at: at,
                stage: Stage::Calling(Call::Begin { state: begin }),
                stops,
            }))
        }

        (Active(activity), Event::Suspended { state, wake_at, topics, status, .. }) if activity.is_calling() => {
            let stage = Stage::Suspended {
                state: state.as_slice().into(),
                wake_at: *wake_at,
                topics: topics.clone(),
                status: status.clone(),
            };
            Ok(Active(Activity { stage, ..activity }))
        }
        (
            Active(Activity {
                stage: Stage::Suspended { state, .. },
                call,
                operation,
                attempt,
                spent,
                round,
                began_at,
                attempt_began_at,
                stops,
            }),
            Event::Resumed { wake, .. },
        ) => {
            let stage = Stage::Calling(Call::Resume { state, wake: wake.clone() });
            Ok(Active(Activity {
                stage,
                call: call + 1,
                operation,
                attempt,
                spent,
                round,
                began_at,
                attempt_began_at,
                stops,
            }))
        }
        (Active(activity), Event::CallHeld { hold, .. }) => hold_back(run, activity, hold, at),
        (Active(activity), Event::CallLetThrough { .. }) => let_through(run, activity, at),
        (state @ (Active(_) | Paused { .. } | RollbackBlocked { .. }), Event::CallbackKept { .. }) => Ok(state),
        (state @ Active(_), Event::CheckpointRecorded { name, value, .. }) => {
            run.checkpoints.insert(name.clone(), value.clone());
            Ok(state)
        }
        // It keeps its number: nobody has begun it.
        (Active(activity), Event::CallInterrupted { unbegun: true, .. }) if activity.is_calling() => {
            Ok(Active(activity))
        }
        (Active(activity), Event::CallInterrupted { next, .. }) if activity.is_calling() => Ok(match next {
            AfterInterruption::Repeat => Active(Activity { call: activity.call + 1, ..activity }),
            AfterInterruption::Find => {
                Active(Activity { call: activity.call + 1, stage: Stage::Calling(Call::Find), ..activity })
            }
            AfterInterruption::Pause => {
                let error = StepError::engine(
                    FailureClass::Internal,
                    "end-unknown",
                    "the process ended while this step was being called: whether it had its effect is unknown, and the plugin cannot look for it",
                );
                match activity.operation {
                    Operation::Rollback => RollbackBlocked { activity, error },
                    Operation::Start | Operation::Cancel => Paused { activity, error },
                }
            }
        }),
        (Active(activity), Event::EffectNotFound { .. }) if activity.stage == Stage::Calling(Call::Find) => {
            Ok(Active(Activity {
                call: activity.call + 1,
                stage: Stage::Calling(Call::Begin { state: None }),
                ..activity
            }))
        }
        (Active(activity), Event::AttemptSucceeded { output, .. }) if activity.is_calling() => {
            Ok(match activity.operation {
                Operation::Start => {
                    run.output = Some(Arc::new(output.clone()));
                    run.made = run.output.clone();
                    run.failure = None;
                    Succeeded
                }
                Operation::Cancel => stopped(activity),
                Operation::Rollback => {
                    run.ended_at = Some(at);
                    RolledBack
                }
            })
        }
        (Active(activity), Event::AttemptTimedOut { .. }) => {
            run.timing_out = true;
            Ok(Active(activity))
        }
        (Active(activity), Event::AttemptFailed { error, next, .. }) => {
            run.timing_out = false;
            if activity.operation == Operation::Start {
                run.stands = run.may_stand_after(&activity, error);
                run.failure = Some(Box::new(error.clone()));
            }
            if activity.operation == Operation::Cancel {
                run.unstopped = Some(Box::new(error.clone()));
            }
            if activity.came_to_nothing(error) {
                run.called = run.called_before;
            }
            if error.is_of_expression() {
                // It began, and nothing was called: the only effects there can be are those of earlier runs.
                run.rounds = run.rounds.saturating_sub(1);
                run.called = run.called_before;
            }
            Ok(match (next, activity.operation) {
                (AfterFailure::RetryAt(until), _) => {
                    Active(Activity { stage: Stage::Backoff { until: *until, error: error.clone() }, ..activity })
                }
                (AfterFailure::Pause, Operation::Rollback) => RollbackBlocked { activity, error: error.clone() },
                (AfterFailure::Pause, Operation::Start | Operation::Cancel) => {
                    Paused { activity, error: error.clone() }
                }
                (_, Operation::Cancel) => {
                    // What it stopped was too slow, or it was not, whether or not stopping it worked.
                    run.timing_out = activity.stops.as_ref().is_some_and(|it| it.timed_out);
                    stopped(activity)
                }
                (AfterFailure::Fail, _) => {
                    run.ended_at = Some(at);
                    Failed { error: error.clone(), tolerated: false }
                }
                (AfterFailure::Continue, _) => Failed { error: error.clone(), tolerated: true },
            })
        }
        (
            Held { .. } | FannedOut,
            Event::AttemptFailed { error, next: next @ (AfterFailure::Fail | AfterFailure::Continue), .. },
        ) => {
            run.ended_at = Some(at);
            Ok(Failed { error: error.clone(), tolerated: *next == AfterFailure::Continue })
        }
        (Waiting | Held { .. } | FannedOut | Active(_) | Paused { .. }, Event::StepCanceled { .. }) => {
            run.ended_at = Some(at);
            Ok(Canceled)
        }
        (_, event) => Err(name_of(event)),
    }
}

/// What a cancel stopped, as it was, with nothing going on any more.
fn stopped(cancel: Activity) -> StepState {
    match cancel.stops {
        Some(stopped) => StepState::Active(Activity { stage: Stage::Stopped, ..*stopped.activity }),
        None => StepState::Canceled,
    }
}

impl Activity {
    fn is_calling(&self) -> bool {
        matches!(self.stage, Stage::Calling(_))
    }
}

pub(crate) fn name_of(event: &Event) -> &'static str {
    match event {
        Event::StepHeld { .. } => "a closed gate",
        Event::Voted { .. } => "a vote",
        Event::StepSkipped { .. } => "skipping",
        Event::Suspended { .. } => "a suspension",
        Event::Resumed { .. } => "a resumption",
        Event::CheckpointRecorded { .. } => "a checkpoint",
        Event::CallInterrupted { .. } => "an interruption",
        Event::EffectNotFound { .. } => "a search without result",
        Event::AttemptSucceeded { .. } => "a success",
        Event::AttemptFailed { .. } => "a failure",
        Event::AttemptTimedOut { .. } => "a timeout",
        Event::StepCanceled { .. } => "canceling",
        Event::DelayOver { .. } => "the end of a delay",
        Event::FannedOut { .. } => "running for items",
        Event::Joined { .. } => "joining items",
        Event::OutputGiven { .. } => "another output",
        Event::RollbackSettled { .. } => "the end of a blocked rollback",
        Event::AttemptStarted { .. } => "the start of an attempt",
        Event::CallbackKept { .. } => "a callback",
        Event::GatesLeftOut { .. } => "leaving gates out",
        Event::InputUnknown { .. } => "an unknown input",
        Event::DryRunTold { .. } => "what a dry run came to",
        Event::CallHeld { .. } => "a hold",
        Event::CallLetThrough { .. } => "the end of a hold",
        Event::ReleaseCreated(_)
        | Event::Intervened { .. }
        | Event::FailingStarted { .. }
        | Event::CancelingStarted { .. }
        | Event::DeadlinePassed { .. }
        | Event::FinallyStarted { .. }
        | Event::RollbackStarted { .. }
        | Event::StepsReset { .. }
        | Event::LeftAlone
        | Event::ParentTold
        | Event::RollbackOverdue
        | Event::AlertTaken { .. }
        | Event::Escalated { .. }
        | Event::CauseGiven { .. }
        | Event::OutputsRefused { .. }
        | Event::Admitted
        | Event::Superseded { .. }
        | Event::ReleaseEnded { .. } => "an event of the release",
    }
}
