//! Cancelling: takes the build out of the queue or stops it, and sees that it has stopped.

use crate::api::Jenkins;
use crate::follow::{Following, Stage};
use crate::job::JobName;
use crate::trigger::{INTENT, Intent, TriggerBuild, TriggerInput};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;
use windlass_sdk::{Cancel, Context, Ended, Event, Failure, Outcome, suspend};

const LOOKS_MAX: u32 = 120;
/// A build that does not listen is asked again, but not with every look.
const LOOKS_PER_STOP: u32 = 20;

/// A cancel that waits for the build to stop.
#[derive(Serialize, Deserialize)]
pub(crate) struct Stopping {
    stage: Stage,
    key: Option<String>,
    looks: u32,
}

impl Cancel for TriggerBuild {
    type CancelState = Stopping;

    fn cancel(ctx: &Context, input: TriggerInput, state: Option<Following>) -> Ended<Stopping> {
        let jenkins = Jenkins::connect(ctx)?;
        let job = JobName::parse(&input.job)?;
        let (stage, key) = match state {
            Some(following) => (following.stage, following.key),
            None => match triggered(ctx, &input, &jenkins, &job)? {
                Some(triggered) => triggered,
                None => return Ok(Outcome::done(json!({ "stopped": "nothing was triggered" }))),
            },
        };
        stop(ctx, &input, &jenkins, &job, Stopping { stage, key, looks: 0 })
    }

    fn resume_cancel(ctx: &Context, input: TriggerInput, state: Stopping, _: Event) -> Ended<Stopping> {
        let jenkins = Jenkins::connect(ctx)?;
        stop(ctx, &input, &jenkins, &JobName::parse(&input.job)?, state)
    }
}

type Triggered = Option<(Stage, Option<String>)>;

/// What a call that was cut off has triggered.
fn triggered(ctx: &Context, input: &TriggerInput, jenkins: &Jenkins, job: &JobName) -> Result<Triggered, Failure> {
    let last = ctx.starts().pop();
    let Some(intent) = last.map(|it| it.recorded::<Intent>(INTENT)).transpose()?.flatten() else {
        return Ok(None);
    };
    let Some(key) = intent.key else {
        let message = format!("a build of `{job}` may have been triggered and cannot be recognised: look in Jenkins");
        return Err(Failure::not_found("not-correlated", message).pause());
    };
    let found = jenkins.correlated(job, &input.correlation_parameter, &key)?;
    Ok(found.map(|found| (Stage::from(&found), Some(key))))
}

fn stop(
    ctx: &Context,
    input: &TriggerInput,
    jenkins: &Jenkins,
    job: &JobName,
    mut stopping: Stopping,
) -> Ended<Stopping> {
    if let Stage::Queued { item } = stopping.stage {
        jenkins.cancel_item(item)?;
        let became = match jenkins.queue_item(item)? {
            Some(queued) => match queued.executable {
                Some(executable) => Some(Stage::Building { number: executable.number }),
                None if queued.cancelled => None,
                None => {
                    return again(stopping, format!("the build of `{job}` is being taken out of the queue"));
                }
            },
            None => match &stopping.key {
                Some(key) => {
                    jenkins.correlated(job, &input.correlation_parameter, key)?.map(|found| Stage::from(&found))
                }
                None => None,
            },
        };
        match became {
            None => {
                ctx.log().info(format!("took the build of `{job}` out of the queue"));
                return Ok(Outcome::done(json!({ "stopped": "queue item", "item": item })));
            }
            Some(stage @ Stage::Queued { .. }) => {
                stopping.stage = stage;
                return again(stopping, format!("the build of `{job}` is being taken out of the queue"));
            }
            Some(stage @ Stage::Building { .. }) => {
                stopping.stage = stage;
                stopping.looks = 0;
            }
        }
    }
    let Stage::Building { number } = stopping.stage else {
        return again(stopping, format!("the build of `{job}` is being stopped"));
    };
    let build = jenkins.build(job, &number.to_string())?;
    if !build.building && build.result.is_some() {
        ctx.log().info(format!("build #{number} of `{job}` has stopped"));
        return Ok(Outcome::done(
            json!({ "stopped": "build", "number": number, "result": build.result, "url": build.url }),
        ));
    }
    if stopping.looks.is_multiple_of(LOOKS_PER_STOP) {
        jenkins.stop(job, number)?;
    }
    again(stopping, format!("build #{number} of `{job}` is stopping"))
}

fn again(mut stopping: Stopping, status: String) -> Ended<Stopping> {
    stopping.looks += 1;
    if stopping.looks > LOOKS_MAX {
        let message = format!("{status}, but does not end: stop it in Jenkins");
        return Err(Failure::timed_out("build-does-not-stop", message).pause());
    }
    Ok(suspend(stopping).after(Duration::from_secs(1)).status(status))
}
