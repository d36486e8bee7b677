//! Work at a job service: submits a job, waits until it has ended, withdraws it on a rollback.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use windlass_sdk::http::path;
use windlass_sdk::{
    Action, Answer, CallbackAddress, Context, Effect, Ended, Event, Failure, Find, Found, Method, Outcome, Role,
    Rollback, suspend,
};

struct Submit;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// What people call the job.
    #[schemars(length(min = 1))]
    title: String,
    /// How soon it is worked on.
    #[serde(default)]
    priority: Priority,
    /// Whether the service calls back when the job has ended.
    #[serde(default)]
    notify: bool,
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Priority {
    Low,
    #[default]
    Normal,
    High,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Output {
    /// The job, as the service names it.
    id: String,
    /// Where what it made lies.
    artifact: String,
    /// How long it took.
    seconds: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    id: String,
    topic: Option<String>,
}

/// What the service answers of a job.
#[derive(Deserialize)]
struct Job {
    id: String,
    state: JobState,
    #[serde(default)]
    artifact: String,
    #[serde(default)]
    seconds: u64,
    reason: Option<String>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum JobState {
    Queued,
    Running,
    Done,
    Failed,
}

#[derive(Deserialize)]
struct Jobs {
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl Action for Submit {
    const NAME: &'static str = "submit";
    const DESCRIPTION: &'static str = "Submits a job and waits until it has ended.";
    const EFFECT: Effect = Effect::Write;
    type Input = Input;
    type Output = Output;
    type State = State;

    fn connections() -> Vec<Role> {
        vec![
            Role::required("jobs", "The job service.")
                .allow(&[Method::Get, Method::Post], "/jobs")
                .allow(&[Method::Get, Method::Delete], "/jobs/*"),
        ]
    }

    fn start(ctx: &Context, input: Input) -> Answer<Self> {
        let jobs = ctx.http("jobs")?;
        // Once: another attempt at the same work waits for the same address, and has the same job.
        let address: Option<CallbackAddress> =
            if input.notify { Some(ctx.once("address", || Ok(ctx.callback()))?) } else { None };
        let id: String = ctx.once("job", || {
            let mut body = json!({ "title": input.title, "priority": input.priority });
            if let Some(address) = &address {
                body["notify"] = json!(address.required_url()?);
            }
            let response = jobs.post("/jobs").json(&body).idempotency_key().accept(422).send()?;
            if response.status() == 422 {
                let message = format!("the service rejects `{}`: {}", input.title, response.json::<Refusal>()?.error);
                return Err(Failure::rejected("job-rejected", message).never().detail("title", &input.title));
            }
            Ok(response.json::<Job>()?.id)
        })?;
        ctx.log().field("job", &id).info("submitted");
        ctx.progress().link("job", jobs.url(path(["jobs", &id])));
        Ok(waiting(State { id, topic: address.map(|it| it.topic) }, "is in the queue"))
    }

    fn resume(ctx: &Context, _: Input, state: State, event: Event) -> Answer<Self> {
        if let Event::Callback(callback) = event {
            let whose = if Some(callback.topic) == state.topic { "its own" } else { "another" };
            ctx.log().field("topic", whose).info("called back");
        }
        match ctx.http("jobs")?.get(path(["jobs", &state.id])).send().and_then(|it| it.json()) {
            Ok(job) => outcome(ctx, job, state),
            // The job goes on whether it is watched or not.
            Err(failure) if failure.class.passes() => {
                Ok(waiting(state, &format!("cannot be looked at now ({})", failure.code)))
            }
            Err(failure) => Err(failure),
        }
    }
}

impl Rollback for Submit {
    type RollbackState = ();

    fn rollback(ctx: &Context, _: Input, _: Option<Output>) -> Ended<()> {
        let mut withdrawn = Vec::new();
        // After a job that failed, another attempt has another job. One whose answer got lost is found by its key.
        for started in ctx.starts() {
            let recorded = started.recorded("job")?;
            let id = if recorded.is_some() { recorded } else { by_key(ctx, started.key())?.map(|it| it.id) };
            let Some(id) = id else { continue };
            let response = ctx.http("jobs")?.delete(path(["jobs", &id])).accept(404).send()?;
            if response.status() != 404 {
                withdrawn.push(id);
            }
        }
        Ok(Outcome::done(json!({ "withdrawn": withdrawn })))
    }
}

impl Find for Submit {
    fn find(ctx: &Context, _: Input) -> Found<Self> {
        let job = by_key(ctx, ctx.idempotency_key())?;
        job.map(|job| {
            let state = State { id: job.id.clone(), topic: None };
            outcome(ctx, job, state)
        })
        .transpose()
    }
}

fn by_key(ctx: &Context, key: &str) -> Result<Option<Job>, Failure> {
    let found: Jobs = ctx.http("jobs")?.get("/jobs").query("key", key).send()?.json()?;
    Ok(found.jobs.into_iter().next())
}

fn outcome(ctx: &Context, job: Job, state: State) -> Answer<Submit> {
    let how = match job.state {
        JobState::Done => {
            ctx.progress().percent(100);
            return Ok(Outcome::done(Output { id: job.id, artifact: job.artifact, seconds: job.seconds }));
        }
        JobState::Failed => {
            let reason = job.reason.as_deref().unwrap_or("no reason given");
            let message = format!("job {} failed: {reason}", job.id);
            return Err(Failure::rejected("job-failed", message).detail("job", job.id));
        }
        JobState::Queued => "is queued",
        JobState::Running => "is running",
    };
    ctx.progress().status(format!("job {} {how}", job.id));
    Ok(waiting(state, how))
}

fn waiting(state: State, how: &str) -> Outcome<Output, State> {
    let status = format!("job {} {how}", state.id);
    let topic = state.topic.clone();
    let wait = suspend(state).after(Duration::from_secs(2));
    match topic {
        Some(topic) => wait.callback(topic).status(status),
        None => wait.status(status),
    }
}

windlass_sdk::plugin! {
    name: "jobs",
    description: "Work at a job service.",
    actions: [Submit: rollback + find],
}
