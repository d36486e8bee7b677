//! Waiting for workloads: one look per wake, less often while nothing changes.

use crate::helm::{Helm, Release};
use crate::readiness::{Workload, WorkloadState, percent, workloads};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use windlass_sdk::{Context, Failure, HumanDuration};

const INTERVAL_MIN: Duration = Duration::from_millis(200);
const INTERVAL_MAX: Duration = Duration::from_secs(10);
/// The first look comes soon: what is ready already should not wait.
const FIRST_LOOK: Duration = Duration::from_millis(500);
/// So many looks in a row may fail – the API server restarts – before the step does.
const FAILED_LOOKS_MAX: u32 = 20;

pub(crate) fn default_timeout() -> HumanDuration {
    HumanDuration::seconds(300)
}

/// Below the time that a tool has unless its operator says otherwise (30 s): helm then says which hook it was, and ends
/// its revision. A helm that is killed does neither.
pub(crate) fn default_hook_timeout() -> HumanDuration {
    HumanDuration::seconds(25)
}

pub(crate) fn default_poll_interval() -> HumanDuration {
    HumanDuration::seconds(2)
}

/// How long, and how often.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) timeout: HumanDuration,
    pub(crate) interval: HumanDuration,
}

/// A wait for readiness, as it is carried from look to look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    /// When it is given up; milliseconds since the Unix epoch.
    until: u64,
    /// Looks in a row that saw nothing new.
    quiet_looks: u32,
    /// Looks in a row that failed.
    failed_looks: u32,
    /// What the last look saw.
    seen: String,
}

/// What a look came to.
pub(crate) enum Looked {
    /// All workloads are ready.
    Ready(Release, Vec<Workload>),
    /// Look again after this long; the text is for people.
    Later(Waiting, Duration, String),
}

impl Waiting {
    pub(crate) fn begin(ctx: &Context, pace: Pace) -> Self {
        let until = milliseconds(ctx.now().checked_add(pace.timeout.0));
        Self { until, quiet_looks: 0, failed_looks: 0, seen: String::new() }
    }

    /// When to look for the first time.
    pub(crate) fn first_look(pace: Pace) -> Duration {
        pace.interval.0.clamp(INTERVAL_MIN, FIRST_LOOK)
    }

    /// Looks once. `is_ours` refuses a revision that somebody else made meanwhile.
    pub(crate) fn look(
        mut self,
        helm: &Helm,
        pace: Pace,
        is_ours: impl FnOnce(&Release) -> Result<(), Failure>,
    ) -> Result<Looked, Failure> {
        let ctx = helm.ctx();
        let left = Duration::from_millis(self.until.saturating_sub(milliseconds(Some(ctx.now()))));
        let release = match helm.status() {
            Ok(Some(release)) => release,
            Ok(None) => {
                let message = format!("release {} has gone while its workloads were waited for", helm.place());
                return Err(Failure::conflict("release-gone", message).pause());
            }
            Err(failure) if failure.class.passes() && self.failed_looks < FAILED_LOOKS_MAX && !left.is_zero() => {
                self.failed_looks += 1;
                self.quiet_looks += 1;
                ctx.log().warn(format!("{failure}; looking again"));
                let wait = self.delay(pace, left);
                return Ok(Looked::Later(self, wait, format!("release {}: the cluster does not answer", helm.place())));
            }
            Err(failure) => return Err(failure),
        };
        is_ours(&release)?;
        let workloads = workloads(&release);
        ctx.progress().percent(percent(&workloads));
        if workloads.iter().all(|workload| workload.state == WorkloadState::Ready) {
            return Ok(Looked::Ready(release, workloads));
        }
        let waited_for: Vec<&Workload> = workloads.iter().filter(|it| it.state != WorkloadState::Ready).collect();
        let seen = waited_for.iter().map(|it| it.sentence()).collect::<Vec<_>>().join(", ");
        let given_up = waited_for.iter().any(|it| it.state == WorkloadState::Failed);
        if given_up || left.is_zero() {
            return Err(not_ready(helm, release.version, &waited_for, &seen, given_up, pace));
        }
        if seen == self.seen {
            self.quiet_looks += 1;
        } else {
            self.quiet_looks = 0;
            ctx.log().info(format!("waiting for {seen}"));
            self.seen.clone_from(&seen);
        }
        self.failed_looks = 0;
        ctx.progress().status(&seen);
        let wait = self.delay(pace, left);
        Ok(Looked::Later(self, wait, format!("revision {}: {seen}", release.version)))
    }

    /// Grows by half with every look that sees nothing new, and never goes past the end.
    fn delay(&self, pace: Pace, left: Duration) -> Duration {
        let interval = pace.interval.0.max(INTERVAL_MIN);
        let longest = INTERVAL_MAX.max(interval);
        let wait = (0..self.quiet_looks.min(16)).fold(interval, |wait, _| (wait + wait / 2).min(longest));
        wait.min(left)
    }
}

fn not_ready(helm: &Helm, revision: u64, waited_for: &[&Workload], seen: &str, given_up: bool, pace: Pace) -> Failure {
    let after = if given_up { "and the cluster gave up".to_owned() } else { format!("after {}", pace.timeout) };
    let message = format!("revision {revision} of {} is not ready {after}: {seen}", helm.place());
    let names: Vec<String> = waited_for.iter().map(|it| format!("{}/{}", it.kind, it.name)).collect();
    Failure::rejected("not-ready", message).detail("revision", revision).detail("workloads", names.join(", "))
}

fn milliseconds(time: Option<SystemTime>) -> u64 {
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(u64::MAX, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
