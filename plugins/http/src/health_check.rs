//! `health-check`: probes until enough answers in a row are as expected, or too many are not.

use crate::expectation::Expectation;
use crate::response::{ROLE, prepared};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};
use windlass_sdk::{
    Action, Answer, Context, Effect, Event, Failure, HumanDuration, Method, Outcome, Role, rfc3339, suspend,
};

/// So many of the last probes are kept.
const PROBES_KEPT: usize = 50;
/// So much of a probe's body is looked at.
const BODY_BYTES_MAX: usize = 1024 * 1024;
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Checks health over a window of time.
pub(crate) struct HealthCheck;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HealthCheckInput {
    /// Path below the connection's base URL, percent-encoded.
    path: String,
    /// Query parameters.
    #[serde(default)]
    query: BTreeMap<String, String>,
    /// Headers; the connection adds its credential by itself.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// What a healthy answer looks like.
    #[serde(default)]
    expect: Expectation,
    /// The time between two probes.
    #[serde(default = "default_interval")]
    interval: HumanDuration,
    /// So many healthy answers in a row are needed.
    #[serde(default = "default_successes")]
    #[schemars(range(min = 1))]
    successes: u32,
    /// So many probes may fail; one more and the check does.
    #[serde(default)]
    failures_tolerated: u32,
    /// The longest that a probe may take.
    #[serde(default = "default_timeout")]
    timeout: HumanDuration,
}

fn default_interval() -> HumanDuration {
    HumanDuration::seconds(10)
}

fn default_successes() -> u32 {
    3
}

fn default_timeout() -> HumanDuration {
    HumanDuration::seconds(10)
}

/// What the probes said so far.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Probing {
    healthy_in_a_row: u32,
    failed: u32,
    sent: u32,
    probes: Vec<Probe>,
}

/// One probe.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Probe {
    /// When it was sent.
    at: String,
    /// The answer's status; none if there was no answer.
    status: Option<u16>,
    /// How long it took.
    latency_ms: u64,
    /// What was not as expected; none if all was.
    problem: Option<String>,
}

/// The verdict.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Health {
    /// Always true: a check that fails is a failed step.
    healthy: bool,
    /// How many probes were sent.
    sent: u32,
    /// How many of them failed.
    failed: u32,
    /// The last fifty.
    probes: Vec<Probe>,
}

impl Action for HealthCheck {
    const NAME: &'static str = "health-check";
    const DESCRIPTION: &'static str = "Probes an application until enough answers in a row are healthy.";
    const EFFECT: Effect = Effect::Read;

    type Input = HealthCheckInput;
    type Output = Health;
    type State = Probing;

    fn connections() -> Vec<Role> {
        vec![Role::required(ROLE, "The application.").allow(&[Method::Get], "/**")]
    }

    fn start(ctx: &Context, input: HealthCheckInput) -> Answer<Self> {
        probe(ctx, &input, Probing::default())
    }

    fn resume(ctx: &Context, input: HealthCheckInput, state: Probing, _: Event) -> Answer<Self> {
        probe(ctx, &input, state)
    }
}

fn probe(ctx: &Context, input: &HealthCheckInput, mut probing: Probing) -> Answer<HealthCheck> {
    let probe = send(ctx, input)?;
    probing.sent += 1;
    match &probe.problem {
        None => {
            probing.healthy_in_a_row += 1;
            ctx.log().info(format!("healthy: {} ms", probe.latency_ms));
        }
        Some(problem) => {
            probing.healthy_in_a_row = 0;
            probing.failed += 1;
            ctx.log().warn(format!("not healthy: {problem}"));
        }
    }
    let last_problem = probe.problem.clone();
    probing.probes.push(probe);
    let surplus = probing.probes.len().saturating_sub(PROBES_KEPT);
    probing.probes.drain(..surplus);

    if let Some(problem) = last_problem.filter(|_| probing.failed > input.failures_tolerated) {
        let message = format!(
            "`{}` is not healthy: {problem} ({} of {} probes failed, {} tolerated)",
            input.path, probing.failed, probing.sent, input.failures_tolerated
        );
        let failure = Failure::rejected("not-healthy", message);
        return Err(seen(&probing).into_iter().fold(failure, |failure, (at, what)| failure.detail(at, what)));
    }
    let needed = input.successes.max(1);
    if probing.healthy_in_a_row >= needed {
        let Probing { failed, sent, probes, .. } = probing;
        return Ok(Outcome::done(Health { healthy: true, sent, failed, probes }));
    }
    let percent = u64::from(probing.healthy_in_a_row) * 100 / u64::from(needed);
    ctx.progress().percent(u8::try_from(percent).unwrap_or(99));
    let status = format!(
        "{} of {needed} healthy answers in a row, {} of {} tolerated failures",
        probing.healthy_in_a_row, probing.failed, input.failures_tolerated
    );
    Ok(suspend(probing).after(input.interval.0.max(INTERVAL_MIN)).status(status))
}

/// Sends one probe. No answer is an unhealthy one; what the step itself may not do is a failure of the step.
fn send(ctx: &Context, input: &HealthCheckInput) -> Result<Probe, Failure> {
    let request = prepared(&ctx.http(ROLE)?, Method::Get, &input.path, &input.query, &input.headers)?
        .timeout(input.timeout.0)
        .limit(BODY_BYTES_MAX)
        .accept_any();
    let at = ctx.now();
    let (answer, latency) = ctx.measured(|| {
        let response = request.send()?;
        let status = response.status();
        Ok::<_, Failure>((status, response.prefix()?.0))
    });
    let (status, problem) = match answer {
        Ok((status, body)) => (Some(status), input.expect.problem(status, &body, latency)),
        Err(failure) if failure.class.passes() => (None, Some(failure.message)),
        Err(failure) => return Err(failure),
    };
    Ok(Probe {
        at: rfc3339(at.max(UNIX_EPOCH)),
        status,
        latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
        problem,
    })
}

/// The last probes for the failure's details.
fn seen(probing: &Probing) -> Vec<(String, String)> {
    let last = probing.probes.iter().rev().take(10).rev();
    last.map(|probe| {
        let what = probe.problem.clone().unwrap_or_else(|| format!("healthy, {} ms", probe.latency_ms));
        (probe.at.clone(), what)
    })
    .collect()
}
