//! Following a build: from the queue to its number, from its console to its result, one poll per wake.

use crate::api::{Correlated, Jenkins};
use crate::build::BuildReport;
use crate::console::ConsolePosition;
use crate::job::JobName;
use crate::trigger::{TriggerBuild, TriggerInput};
use serde::{Deserialize, Serialize};
use std::time::{Duration, UNIX_EPOCH};
use windlass_sdk::{Answer, Context, Failure, Outcome, RetryAdvice, suspend};

const INTERVAL_MIN: Duration = Duration::from_millis(200);
const INTERVAL_MAX: Duration = Duration::from_secs(15);
/// So many polls in a row may fail – Jenkins restarts – before the step does.
const FAILED_POLLS_MAX: u32 = 20;

/// Where the build is, and how much of it has been seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Following {
    pub(crate) stage: Stage,
    /// The value of the correlation parameter; none if the job does not declare it.
    pub(crate) key: Option<String>,
    console: ConsolePosition,
    /// Polls in a row that brought nothing new.
    quiet_polls: u32,
    /// Polls in a row that failed.
    failed_polls: u32,
}

/// In the queue, or beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    Queued { item: u64 },
    Building { number: u64 },
}

impl From<&Correlated> for Stage {
    fn from(found: &Correlated) -> Self {
        match found {
            Correlated::Queued(item) => Self::Queued { item: *item },
            Correlated::Built(build) => Self::Building { number: build.number },
        }
    }
}

impl Following {
    pub(crate) fn new(stage: Stage, key: Option<String>) -> Self {
        Self { stage, key, console: ConsolePosition::default(), quiet_polls: 0, failed_polls: 0 }
    }

    /// Suspends until the next poll.
    fn wait(self, interval: Duration, status: String) -> Outcome<BuildReport, Self> {
        let wait = delay(interval, self.quiet_polls);
        suspend(self).after(wait).status(status)
    }

    /// Suspends for a first poll at once.
    pub(crate) fn begin(self, status: String) -> Outcome<BuildReport, Self> {
        suspend(self).after(Duration::ZERO).status(status)
    }
}

/// Grows by half with every poll that brings nothing.
fn delay(interval: Duration, quiet_polls: u32) -> Duration {
    let interval = interval.max(INTERVAL_MIN);
    let longest = INTERVAL_MAX.max(interval);
    (0..quiet_polls.min(16)).fold(interval, |wait, _| (wait + wait / 2).min(longest))
}

/// One poll. A passing trouble does not end the step: the build goes on whether we look or not.
pub(crate) fn poll(ctx: &Context, input: &TriggerInput, following: Following) -> Answer<TriggerBuild> {
    let before = following.clone();
    let failure = match look(ctx, input, following) {
        Err(failure) if failure.class.passes() && before.failed_polls < FAILED_POLLS_MAX => failure,
        answer => return answer,
    };
    ctx.log().warn(format!("Jenkins cannot be asked now: {}", failure.message));
    let asked_for = match failure.retry {
        RetryAdvice::After(wait) => wait,
        _ => Duration::ZERO,
    };
    let failed_polls = before.failed_polls + 1;
    let wait = delay(input.poll_interval.0, failed_polls).max(asked_for);
    Ok(suspend(Following { failed_polls, ..before })
        .after(wait)
        .status(format!("Jenkins does not answer ({}); asking again", failure.code)))
}

fn look(ctx: &Context, input: &TriggerInput, mut following: Following) -> Answer<TriggerBuild> {
    let jenkins = Jenkins::connect(ctx)?;
    let job = JobName::parse(&input.job)?;
    following.failed_polls = 0;
    match following.stage {
        Stage::Queued { item } => look_in_queue(ctx, input, &jenkins, &job, following, item),
        Stage::Building { number } => look_at_build(ctx, input, &jenkins, &job, following, number),
    }
}

fn look_in_queue(
    ctx: &Context,
    input: &TriggerInput,
    jenkins: &Jenkins,
    job: &JobName,
    mut following: Following,
    item: u64,
) -> Answer<TriggerBuild> {
    let Some(queued) = jenkins.queue_item(item)? else {
        return find_lost(ctx, input, jenkins, job, following, item);
    };
    if queued.cancelled {
        let message = format!("the build of `{job}` was removed from Jenkins' queue (item {item})");
        return Err(Failure::canceled("queue-item-cancelled", message));
    }
    if let Some(executable) = queued.executable {
        let number = executable.number;
        ctx.log().info(format!("build #{number} of `{job}` has begun"));
        if let Some(url) = executable.url {
            ctx.progress().link(format!("build #{number}"), url);
        }
        following.stage = Stage::Building { number };
        following.quiet_polls = 0;
        return look_at_build(ctx, input, jenkins, job, following, number);
    }
    following.quiet_polls += 1;
    let why = queued.why.unwrap_or_else(|| format!("item {item}"));
    Ok(following.wait(input.poll_interval.0, format!("the build of `{job}` is in the queue: {why}")))
}

/// Jenkins forgets queue items some minutes after they left the queue, and when it restarts.
fn find_lost(
    ctx: &Context,
    input: &TriggerInput,
    jenkins: &Jenkins,
    job: &JobName,
    mut following: Following,
    item: u64,
) -> Answer<TriggerBuild> {
    let lost = |advice: &str| {
        let message = format!("Jenkins has forgotten item {item} of its queue, a build of `{job}`; {advice}");
        Err(Failure::not_found("queue-item-lost", message).pause())
    };
    let Some(key) = following.key.clone() else {
        return lost(&format!(
            "the job does not declare `{}`, so its build cannot be recognised: look whether it ran",
            input.correlation_parameter
        ));
    };
    let Some(found) = jenkins.correlated(job, &input.correlation_parameter, &key)? else {
        return lost("no build carries its key: look whether it was removed");
    };
    ctx.log().info(format!("queue item {item} is gone; found the build of `{job}` by its key"));
    following.stage = Stage::from(&found);
    following.quiet_polls = 0;
    Ok(following.begin(format!("found the build of `{job}` by its key")))
}

fn look_at_build(
    ctx: &Context,
    input: &TriggerInput,
    jenkins: &Jenkins,
    job: &JobName,
    mut following: Following,
    number: u64,
) -> Answer<TriggerBuild> {
    let build = jenkins.build(job, &number.to_string())?;
    if build.building || build.result.is_none() {
        let now = ctx.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let percent = build.percent(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
        if let Some(percent) = percent {
            ctx.progress().percent(percent);
        }
        let streamed = following.console.stream(ctx, jenkins, job, number)?;
        following.quiet_polls = if streamed.news { 0 } else { following.quiet_polls + 1 };
        let percent = percent.map(|percent| format!(", {percent} %")).unwrap_or_default();
        return Ok(following.wait(input.poll_interval.0, format!("build #{number} of `{job}` is running{percent}")));
    }
    let tests = jenkins.tests(job, number)?;
    // Last, so that no line is logged twice when an earlier request fails.
    let streamed = following.console.stream(ctx, jenkins, job, number)?;
    if streamed.more && streamed.news {
        return Ok(following.wait(
            Duration::from_millis(200),
            format!("build #{number} of `{job}` has ended; its console is being read"),
        ));
    }
    following.console.end(ctx, number);
    ctx.progress().percent(100).link(format!("build #{number}"), &build.url);
    build.report(job, tests).verdict(input.unstable).map(Outcome::done)
}
