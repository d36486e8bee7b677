//! Whether a live release says of itself what its journal says.

use std::collections::BTreeSet;

use windlass_engine::{Call, CallId, Release, ReleaseState, Stage as Live, StepState, WaitCause};
use windlass_model::event::{Operation, SkipReason};
use windlass_model::time::{Span, Timestamp};

use super::{Doing, Phase, Stage, State, Witness, gate};
use crate::violation::{Violation, ensure, violated};

const RULE: &str = "a release says of itself what its journal says";

impl Witness {
    /// Compares a release with what was read.
    ///
    /// # Errors
    ///
    /// What differs.
    pub fn compare(&self, release: &Release) -> Result<(), Violation> {
        ensure(release.records() == self.records, RULE, || {
            format!("{} records, and it counts {}", self.records, release.records())
        })?;
        let phase = match (release.state(), self.phase) {
            (ReleaseState::Queued, Phase::Queued)
            | (ReleaseState::Running, Phase::Running)
            | (ReleaseState::RollingBack { .. }, Phase::RollingBack) => true,
            (ReleaseState::Failing { rollback, .. }, Phase::Failing { rollback: seen }) => *rollback == seen,
            (ReleaseState::Canceling { rollback }, Phase::Canceling { rollback: seen, .. }) => *rollback == seen,
            (ReleaseState::Finishing { outcome, canceled }, Phase::Finishing { outcome: seen, canceled: stopped }) => {
                *outcome == seen && *canceled == stopped
            }
            (ReleaseState::Ended { outcome, .. }, Phase::Ended(seen)) => *outcome == seen,
            _ => false,
        };
        ensure(phase, RULE, || format!("it is {:?}, not {:?}", release.state(), self.phase))?;
        ensure(release.pause().is_some() == self.paused, RULE, || {
            format!("paused: {:?}, not {}", release.pause(), self.paused)
        })?;
        for step in self.planned() {
            let items = release.items(step).map(|it| it.map(|(run, value)| (run, value.clone())).collect::<Vec<_>>());
            let seen: Vec<_> = self.current_items(step).zip(self.seen(step).list.iter().cloned()).collect();
            ensure(items.unwrap_or_default() == seen, RULE, || format!("{} runs for {seen:?}", self.name(step)))?;
        }
        let mut calling = BTreeSet::new();
        // What a delay would wake when its release does something else: it may as well not.
        let mut needless: Vec<Timestamp> = Vec::new();
        let mut timers: Vec<Timestamp> = Vec::new();
        let mut topics = Vec::new();
        let mut waiting = BTreeSet::new();
        for step in self.all() {
            let seen = self.seen(step);
            let run = release.step(step);
            let same = match (&run.state, &seen.state) {
                (StepState::Waiting, State::Waiting)
                | (StepState::FannedOut, State::FannedOut)
                | (StepState::Succeeded, State::Succeeded)
                | (StepState::Canceled, State::Canceled)
                | (StepState::LeftInPlace, State::LeftInPlace)
                | (StepState::RolledBack, State::RolledBack) => true,
                (StepState::Held { until, .. }, State::Held { until: seen }) => until == seen,
                (StepState::Skipped { reason }, State::Skipped { by_hand }) => {
                    matches!(reason, SkipReason::Person { .. }) == *by_hand
                }
                (StepState::Failed { tolerated, .. }, State::Failed { tolerated: seen }) => tolerated == seen,
                (StepState::Paused { activity, .. }, State::Paused(doing))
                | (StepState::RollbackBlocked { activity, .. }, State::Blocked(doing)) => {
                    activity.attempt == doing.attempt
                }
                (StepState::Active(activity), State::Active(doing)) => {
                    activity.operation == doing.operation
                        && activity.attempt == doing.attempt
                        && activity.round == doing.round
                        && same_stage(&activity.stage, &doing.stage)
                }
                _ => false,
            };
            ensure(same, RULE, || format!("{} is {:?}, not {:?}", self.name(step), run.state, seen.state))?;
            ensure(run.output.as_deref() == seen.output.as_ref(), RULE, || {
                format!("{} gave {:?}, not {:?}", self.name(step), run.output, seen.output)
            })?;
            let kept = seen.checkpoints.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
            ensure(run.all_recorded().into_iter().eq(kept), RULE, || {
                format!("{} keeps {:?}, not {:?}", self.name(step), run.all_recorded(), seen.checkpoints)
            })?;
            match &seen.state {
                State::Active(doing) => {
                    if doing.stage.is_calling() {
                        calling.insert((step, doing.operation, doing.attempt));
                    } else {
                        waiting.insert(self.name(step));
                    }
                    timers.extend(self.timers(step, doing));
                    if let Stage::Suspended { topics: of_step, .. } = &doing.stage {
                        let coming = of_step.iter().filter(|it| !seen.callbacks.has(it));
                        topics.extend(coming.map(String::as_str));
                    }
                }
                // Nobody can answer them once the release does something else.
                State::Held { until } => {
                    let forward = self.goes_forward(step);
                    if forward { &mut timers } else { &mut needless }.extend(*until);
                    if forward && (until.is_some() || self.has_closed_gate(step)) {
                        waiting.insert(self.name(step));
                    }
                }
                State::Paused(_) if self.goes_forward(step) => {
                    waiting.insert(self.name(step));
                }
                State::Blocked(_) if self.phase == Phase::RollingBack => {
                    waiting.insert(self.name(step));
                }
                _ => {}
            }
        }
        timers.extend(self.deadlines().into_iter().map(|(_, at, _)| at));
        if matches!(self.phase, Phase::Ended(_)) {
            timers.clear();
            needless.clear();
        }
        let calls: Vec<CallId> = release.calls().collect();
        let called: BTreeSet<_> = calls.iter().map(|it| (it.step, it.operation, it.attempt)).collect();
        ensure(called == calling, RULE, || format!("it calls {called:?}, not {calling:?}"))?;
        for id in &calls {
            ensure(release.order(*id).is_some(), RULE, || format!("{id:?} should be going on and has no order"))?;
        }
        let wake_at = timers.iter().min().copied();
        let early = timers.iter().chain(&needless).min().copied();
        ensure(release.wake_at() == wake_at || release.wake_at() == early, "no timer is forgotten", || {
            format!("it wakes at {:?}, not {wake_at:?}", release.wake_at())
        })?;
        let given: BTreeSet<&str> = release.topics().collect();
        ensure(given == topics.iter().copied().collect(), RULE, || format!("topics {given:?}, not {topics:?}"))?;
        self.compare_waits(release, &waiting)?;
        let moves =
            !calls.is_empty() || wake_at.is_some() || !waiting.is_empty() || self.paused || self.phase == Phase::Queued;
        ensure(moves || release.outcome().is_some(), "nothing waits without a cause", || {
            "no call, no timer, no wait, and no end".to_owned()
        })
    }

    fn compare_waits(
        &self,
        release: &Release,
        waiting: &BTreeSet<windlass_model::name::StepName>,
    ) -> Result<(), Violation> {
        let waits = release.waits();
        let named: BTreeSet<_> = waits.iter().filter_map(|it| it.step.clone()).collect();
        let all = waiting.len() + usize::from(self.paused) + usize::from(self.phase == Phase::Queued);
        ensure(named == *waiting && waits.len() == all, "every wait is told", || {
            format!("told are {named:?}, there are {waiting:?}")
        })?;
        for wait in &waits {
            let ends = match wait.cause {
                WaitCause::Approval
                | WaitCause::Decision
                | WaitCause::Pause
                | WaitCause::Breaker
                | WaitCause::Service
                | WaitCause::Rollback
                | WaitCause::Queue => !wait.action.is_empty(),
                WaitCause::Backoff | WaitCause::Delay => wait.until.is_some(),
                WaitCause::Outside => true,
            };
            let step = wait.step.as_ref().and_then(|it| self.plan.index_of(it));
            let pivot = step.is_some_and(|it| self.definition(it).pivot) && wait.cause == WaitCause::Approval;
            ensure(!pivot || wait.text.contains("no way back"), "who approves a point of no return reads so", || {
                wait.text.clone()
            })?;
            if !ends || wait.owner.is_empty() || wait.text.is_empty() {
                return violated("a wait names its cause and who can end it", format!("{wait:?}"));
            }
        }
        Ok(())
    }

    fn has_closed_gate(&self, step: windlass_model::graph::StepIndex) -> bool {
        let voters: Vec<_> = self.seen(step).votes.iter().map(|(it, _)| it).collect();
        !gate::are_enough(self.definition(step), &voters, &self.created.requested_by)
    }

    /// When a step has to be looked at.
    fn timers(&self, step: windlass_model::graph::StepIndex, doing: &Doing) -> Vec<Timestamp> {
        let deadline = match doing.operation {
            Operation::Cancel => Some(doing.attempt_at + Span::seconds(300)),
            Operation::Start | Operation::Rollback => self.definition(step).timeout.map(|it| doing.attempt_at + it),
        };
        match &doing.stage {
            // A pause holds the next attempt, but never what stops or rolls back.
            Stage::Backoff { .. } if self.paused && doing.operation == Operation::Start => Vec::new(),
            Stage::Backoff { until } => vec![*until],
            Stage::Suspended { wake_at, .. } => wake_at.iter().copied().chain(deadline).collect(),
            Stage::Begin | Stage::Resume { .. } | Stage::Find => deadline.into_iter().collect(),
            Stage::Stopped => Vec::new(),
        }
    }
}

fn same_stage(live: &Live, seen: &Stage) -> bool {
    match (live, seen) {
        (Live::Calling(Call::Begin { .. }), Stage::Begin)
        | (Live::Calling(Call::Resume { .. }), Stage::Resume { .. })
        | (Live::Calling(Call::Find), Stage::Find)
        | (Live::Stopped, Stage::Stopped) => true,
        (
            Live::Suspended { wake_at, topics, state, .. },
            Stage::Suspended { wake_at: at, topics: seen, state: kept },
        ) => wake_at == at && topics == seen && **state == **kept,
        (Live::Backoff { until, .. }, Stage::Backoff { until: seen }) => until == seen,
        _ => false,
    }
}
