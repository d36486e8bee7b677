//! Whether a live release says of itself what its journal says.

use std::collections::BTreeSet;

use windlass_engine::{Call, CallId, Release, ReleaseState, Stage as Live, StepState, WaitCause};
use windlass_model::event::Operation;
use windlass_model::time::{Span, Timestamp};

use super::{Doing, Phase, Stage, State, Witness};
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
            (ReleaseState::Running, Phase::Running) | (ReleaseState::RollingBack { .. }, Phase::RollingBack) => true,
            (ReleaseState::Failing { rollback, .. }, Phase::Failing { rollback: seen }) => *rollback == seen,
            (ReleaseState::Canceling { rollback }, Phase::Canceling { rollback: seen }) => *rollback == seen,
            (ReleaseState::Ended { outcome, .. }, Phase::Ended(seen)) => *outcome == seen,
            _ => false,
        };
        ensure(phase, RULE, || format!("it is {:?}, not {:?}", release.state(), self.phase))?;
        let mut calling = BTreeSet::new();
        let mut timers: Vec<Timestamp> = Vec::new();
        let mut topics = Vec::new();
        let mut waiting = BTreeSet::new();
        for step in self.all() {
            let seen = self.seen(step);
            let run = release.step(step);
            let same = match (&run.state, &seen.state) {
                (StepState::Waiting, State::Waiting)
                | (StepState::Held { .. }, State::Held)
                | (StepState::Succeeded, State::Succeeded)
                | (StepState::Skipped { .. }, State::Skipped)
                | (StepState::Canceled, State::Canceled)
                | (StepState::RolledBack, State::RolledBack) => true,
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
            ensure(run.checkpoints == seen.checkpoints, RULE, || {
                format!("{} keeps {:?}, not {:?}", self.name(step), run.checkpoints, seen.checkpoints)
            })?;
            match &seen.state {
                State::Active(doing) => {
                    if doing.stage.is_calling() {
                        calling.insert((step, doing.operation, doing.attempt));
                    } else {
                        waiting.insert(self.name(step).clone());
                    }
                    timers.extend(self.timers(step, doing));
                    if let Stage::Suspended { topics: of_step, .. } = &doing.stage {
                        let coming = of_step.iter().filter(|it| !seen.callbacks.has(it));
                        topics.extend(coming.map(String::as_str));
                    }
                }
                // Nobody can answer them once the release does something else.
                State::Held | State::Paused(_) if self.phase == Phase::Running => {
                    waiting.insert(self.name(step).clone());
                }
                State::Blocked(_) if self.phase == Phase::RollingBack => {
                    waiting.insert(self.name(step).clone());
                }
                _ => {}
            }
        }
        if matches!(self.phase, Phase::Ended(_)) {
            timers.clear();
        }
        let calls: Vec<CallId> = release.calls().collect();
        let called: BTreeSet<_> = calls.iter().map(|it| (it.step, it.operation, it.attempt)).collect();
        ensure(called == calling, RULE, || format!("it calls {called:?}, not {calling:?}"))?;
        for id in &calls {
            ensure(release.order(*id).is_some(), RULE, || format!("{id:?} should be going on and has no order"))?;
        }
        let wake_at = timers.iter().min().copied();
        ensure(release.wake_at() == wake_at, "no timer is forgotten", || {
            format!("it wakes at {:?}, not {wake_at:?}", release.wake_at())
        })?;
        let given: BTreeSet<&str> = release.topics().collect();
        ensure(given == topics.iter().copied().collect(), RULE, || format!("topics {given:?}, not {topics:?}"))?;
        self.compare_waits(release, &waiting)?;
        let moves = !calls.is_empty() || wake_at.is_some() || !waiting.is_empty();
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
        ensure(named == *waiting && waits.len() == waiting.len(), "every wait is told", || {
            format!("told are {named:?}, there are {waiting:?}")
        })?;
        for wait in &waits {
            let ends = match wait.cause {
                WaitCause::Approval | WaitCause::Decision | WaitCause::Pause | WaitCause::Breaker => {
                    !wait.action.is_empty()
                }
                WaitCause::Backoff | WaitCause::Delay => wait.until.is_some(),
                WaitCause::Outside => true,
            };
            if !ends || wait.owner.is_empty() || wait.text.is_empty() {
                return violated("a wait names its cause and who can end it", format!("{wait:?}"));
            }
        }
        Ok(())
    }

    /// When a step has to be looked at.
    fn timers(&self, step: windlass_model::graph::StepIndex, doing: &Doing) -> Vec<Timestamp> {
        let deadline = match doing.operation {
            Operation::Cancel => Some(doing.attempt_at + Span::seconds(300)),
            Operation::Start | Operation::Rollback => self.plan.step(step).timeout.map(|it| doing.attempt_at + it),
        };
        match &doing.stage {
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
