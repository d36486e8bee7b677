//! A batch job of a system that is older than HTTP APIs: submitted, numbered, looked at, judged by its exit code.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use windlass_sdk::http::path;
use windlass_sdk::{
    Action, Answer, Cancel, Context, Effect, Ended, Event, Failure, Find, Found, Method, Outcome, Role, Rollback,
    Started, suspend,
};

pub(crate) struct RunBatch;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// The program to run.
    program: String,
    /// The program that takes back what `program` did.
    undo: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Output {
    /// The job's number.
    job: u64,
    /// Whether it ended with warnings.
    warnings: bool,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct State {
    job: u64,
    /// How much of the job's log was shown.
    log_bytes: u64,
}

#[derive(Deserialize)]
struct Jobs {
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
struct Job {
    number: u64,
    /// None while it is queued or runs.
    #[serde(default)]
    exit_code: Option<i32>,
    #[serde(default)]
    canceled: bool,
}

const LOOK_AGAIN: Duration = Duration::from_secs(1);
const LOG_BYTES_PER_LOOK_MAX: usize = 64 * 1024;

impl Action for RunBatch {
    const NAME: &'static str = "run-batch";
    const DESCRIPTION: &'static str = "Runs a batch job and waits until it has ended.";
    const EFFECT: Effect = Effect::Write;
    type Input = Input;
    type Output = Output;
    type State = State;

    fn connections() -> Vec<Role> {
        vec![
            Role::required("batch", "The batch system's gateway.")
                .allow(&[Method::Get, Method::Post], "/jobs")
                .allow(&[Method::Get, Method::Delete], "/jobs/*")
                .allow(&[Method::Get], "/jobs/*/log"),
        ]
    }

    fn start(ctx: &Context, input: Input) -> Answer<Self> {
        let job = submit_once(ctx, &input.program)?;
        Ok(waiting(State { job, log_bytes: 0 }))
    }

    fn resume(ctx: &Context, _: Input, mut state: State, _: Event) -> Answer<Self> {
        let job = match look(ctx, state.job) {
            Ok(job) => job,
            Err(failure) if failure.class.passes() => return Ok(waiting(state)),
            Err(failure) => return Err(failure),
        };
        // A log that cannot be read is no reason to lose sight of the job.
        if let Ok(shown) = show_log(ctx, &state) {
            state.log_bytes = shown;
        }
        match verdict(&job)? {
            Some(warnings) => Ok(Outcome::done(Output { job: job.number, warnings })),
            None => Ok(waiting(state)),
        }
    }
}

impl Cancel for RunBatch {
    /// The job that is being stopped.
    type CancelState = u64;

    fn cancel(ctx: &Context, _: Input, state: Option<State>) -> Ended<u64> {
        // A call that was cut off left no state, but what it recorded.
        let job = match (state, ctx.starts().pop()) {
            (Some(state), _) => Some(state.job),
            (None, Some(last)) => job_of(ctx, &last)?,
            (None, None) => None,
        };
        let Some(job) = job else { return Ok(Outcome::done(json!({ "stopped": false }))) };
        ctx.http("batch")?.delete(path(["jobs", &job.to_string()])).accept(404).accept(409).send()?;
        stopped(ctx, job)
    }

    fn resume_cancel(ctx: &Context, _: Input, job: u64, _: Event) -> Ended<u64> {
        stopped(ctx, job)
    }
}

impl Rollback for RunBatch {
    /// The job that takes back.
    type RollbackState = u64;

    fn rollback(ctx: &Context, input: Input, output: Option<Output>) -> Ended<u64> {
        let mut was_submitted = output.is_some();
        for started in ctx.starts() {
            let Some(job) = job_of(ctx, &started)? else { continue };
            was_submitted = true;
            // One that still runs would do afterwards what is taken back now.
            ctx.http("batch")?.delete(path(["jobs", &job.to_string()])).accept(404).accept(409).send()?;
        }
        if !was_submitted {
            return Ok(Outcome::done(json!({ "undone": false })));
        }
        let undo = submit_once(ctx, &input.undo)?;
        Ok(suspend(undo).after(LOOK_AGAIN).status(format!("job {undo} takes back")))
    }

    fn resume_rollback(ctx: &Context, _: Input, _: Option<Output>, undo: u64, _: Event) -> Ended<u64> {
        match verdict(&look(ctx, undo)?)? {
            Some(_) => Ok(Outcome::done(json!({ "undone": true, "job": undo }))),
            None => Ok(suspend(undo).after(LOOK_AGAIN).status(format!("job {undo} takes back"))),
        }
    }
}

impl Find for RunBatch {
    fn find(ctx: &Context, _: Input) -> Found<Self> {
        Ok(named(ctx, ctx.idempotency_key())?.map(|job| waiting(State { job, log_bytes: 0 })))
    }
}

/// Submits under the operation's key as its name, and remembers the number. After a job that failed the key is another, and so
/// is the job.
fn submit_once(ctx: &Context, program: &str) -> Result<u64, Failure> {
    let key = ctx.idempotency_key();
    ctx.once("number", || {
        if let Some(job) = named(ctx, key)? {
            return Ok(job);
        }
        let body = json!({ "program": program, "name": key });
        let submitted: Job = ctx.http("batch")?.post("/jobs").json(&body).send()?.json()?;
        Ok(submitted.number)
    })
}

/// The job that was submitted, also where its number never came back.
fn job_of(ctx: &Context, started: &Started) -> Result<Option<u64>, Failure> {
    match started.recorded("number")? {
        Some(job) => Ok(Some(job)),
        None => named(ctx, started.key()),
    }
}

fn named(ctx: &Context, key: &str) -> Result<Option<u64>, Failure> {
    let found: Jobs = ctx.http("batch")?.get("/jobs").query("name", key).send()?.json()?;
    Ok(found.jobs.first().map(|it| it.number))
}

fn look(ctx: &Context, job: u64) -> Result<Job, Failure> {
    ctx.http("batch")?.get(path(["jobs", &job.to_string()])).send()?.json()
}

/// Shows the lines that are new, and tells how many bytes were shown by now.
fn show_log(ctx: &Context, state: &State) -> Result<u64, Failure> {
    let place = format!("{}/log", path(["jobs", &state.job.to_string()]));
    let request = ctx.http("batch")?.get(place).query("from", state.log_bytes).limit(LOG_BYTES_PER_LOOK_MAX);
    let (bytes, _more) = request.send()?.prefix()?;
    // A line that is being written is shown when it is whole.
    let whole = bytes.iter().rposition(|it| *it == b'\n').map_or(0, |at| at + 1);
    let text = String::from_utf8_lossy(&bytes[..whole]);
    for line in text.lines() {
        ctx.log().info(line);
    }
    if let Some(last) = text.lines().last() {
        ctx.progress().status(last);
    }
    Ok(state.log_bytes + whole as u64)
}

/// Whether it ended with warnings; none while it runs; else what kind of failure its exit code is.
fn verdict(job: &Job) -> Result<Option<bool>, Failure> {
    let number = job.number;
    if job.canceled {
        return Err(Failure::canceled("job-canceled", format!("somebody stopped job {number}")));
    }
    let said = |what: &str| format!("job {number} ended with {what}; its log says more");
    match job.exit_code {
        None => Ok(None),
        Some(0) => Ok(Some(false)),
        Some(4) => Ok(Some(true)),
        Some(8) => Err(Failure::rejected("job-errors", said("errors (8)")).never()),
        Some(12) => Err(Failure::invalid("job-input", said("wrong input (12)")).never()),
        // Not transient: that says that nobody knows whether there is a job, and the next attempt would find this one.
        Some(75) => Err(Failure::conflict("job-busy", said("`try again` (75)"))),
        Some(other) => Err(Failure::internal("job-exit", said(&format!("the exit code {other}"))).pause()),
    }
}

/// A job that is told to stop has not stopped yet.
fn stopped(ctx: &Context, job: u64) -> Ended<u64> {
    let now = look(ctx, job)?;
    if now.canceled || now.exit_code.is_some() {
        return Ok(Outcome::done(json!({ "stopped": now.canceled, "job": job })));
    }
    Ok(suspend(job).after(LOOK_AGAIN).status(format!("job {job} is being stopped")))
}

fn waiting(state: State) -> Outcome<Output, State> {
    let status = format!("job {} runs", state.job);
    suspend(state).after(LOOK_AGAIN).status(status)
}
