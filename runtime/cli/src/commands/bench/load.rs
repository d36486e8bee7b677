//! Releases under load: so many in parallel, the next begins when one has ended.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;
use windlass_engine::Input;
use windlass_model::actor::Actor;
use windlass_model::event::Intervention;
use windlass_model::manifest::Manifest;
use windlass_model::name::ReleaseId;
use windlass_model::parse::{check_parameters, validate};
use windlass_model::plan::Plan;
use windlass_model::problem::{Color, Source, render};
use windlass_server::Runtime;
use windlass_server::plans::KeptPlan;

/// One measurement.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    steps: u32,
    parallel: u32,
    releases_per_s: f64,
    steps_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us_per_step: f64,
}

impl Cell {
    /// `times` are those of single releases, in any order and never empty.
    fn of(load: (u32, u32), mut times: Vec<Duration>, took: Duration, cpu: Duration) -> Self {
        let (steps, parallel) = load;
        times.sort_unstable();
        let rounded = |value: f64| (value * 100.0).round() / 100.0;
        let milliseconds = |percent: usize| rounded(times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3);
        let releases_per_s = times.len() as f64 / took.as_secs_f64();
        Self {
            steps,
            parallel,
            releases_per_s: rounded(releases_per_s),
            steps_per_s: rounded(releases_per_s * f64::from(steps)),
            p50_ms: milliseconds(50),
            p99_ms: milliseconds(99),
            cpu_us_per_step: rounded(cpu.as_secs_f64() * 1e6 / (times.len() as f64 * f64::from(steps))),
        }
    }

    pub(crate) fn steps_per_s(&self) -> f64 {
        self.steps_per_s
    }

    pub(crate) fn cpu_us_per_step(&self) -> f64 {
        self.cpu_us_per_step
    }

    /// Columns for people are in `super::table`; this is its row.
    pub(crate) fn row(&self) -> String {
        format!(
            "{:>5} {:>9} {:>11.1} {:>9.0} {:>9.2} {:>9.2} {:>12.0}",
            self.steps,
            self.parallel,
            self.releases_per_s,
            self.steps_per_s,
            self.p50_ms,
            self.p99_ms,
            self.cpu_us_per_step
        )
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { steps, parallel, steps_per_s, cpu_us_per_step, .. } = self;
        write!(
            f,
            "{steps} steps, {parallel} in parallel: {steps_per_s:.0} steps/s, {cpu_us_per_step:.0} µs of CPU each"
        )
    }
}

/// What a workflow consists of.
pub(crate) struct Work<'a> {
    /// The action of each step.
    pub(crate) action: &'a str,
    /// Its input, as YAML.
    pub(crate) with: &'a str,
    /// How many steps.
    pub(crate) steps: u32,
}

/// A workflow of so many steps, each of which needs the one before it, checked like any other.
pub(crate) async fn plan(runtime: &Runtime, manifest: &Manifest, work: &Work<'_>) -> anyhow::Result<KeptPlan> {
    Ok(runtime.keep_plan(validated(runtime, manifest, work)?).await?)
}

/// The same, not kept yet.
pub(crate) fn validated(runtime: &Runtime, manifest: &Manifest, work: &Work<'_>) -> anyhow::Result<Plan> {
    let source = Source::new("bench.yaml".to_owned(), workflow(manifest, work));
    let (planned, problems) = validate(&source, &runtime.catalog());
    let (_, plan) = planned
        .with_context(|| format!("the component cannot be measured:\n{}", render(&source, &problems, Color::None)))?;
    Ok(plan)
}

fn workflow(manifest: &Manifest, work: &Work<'_>) -> String {
    let Work { action, with, steps } = work;
    let mut text = format!("windlass: v1\nworkflow: bench-{action}-{steps}\nsteps:\n");
    for step in 1..=*steps {
        text.push_str(&format!(
            "  step-{step}:\n    uses: {}/{action}@={}\n    with: {with}\n",
            manifest.name, manifest.version
        ));
        if step > 1 {
            text.push_str(&format!("    needs: [step-{}]\n", step - 1));
        }
    }
    text
}

/// Measures with so many releases in parallel; also tells how many releases it made.
///
/// Everything from the first release's beginning to the last one's end counts, so also the time in which
/// fewer run because no new ones begin.
pub(crate) async fn measure(
    runtime: &Runtime,
    plan: &KeptPlan,
    parallel: u32,
    duration: Duration,
) -> anyhow::Result<(Cell, usize)> {
    let steps = u32::try_from(plan.plan().workflow().steps.len()).context("too many steps")?;
    // What only the first release of a plan does, and the first call of a component.
    let warm = run_one(runtime, plan).await?;
    check(runtime, &warm)?;

    let (cpu, begun) = (cpu_time(), Instant::now());
    let mut workers = JoinSet::new();
    for _ in 0..parallel {
        let (runtime, plan) = (runtime.clone(), plan.clone());
        workers.spawn(async move {
            let mut ended = Vec::new();
            while begun.elapsed() < duration {
                let release_begun = Instant::now();
                let id = run_one(&runtime, &plan).await?;
                ended.push((id, release_begun.elapsed()));
            }
            anyhow::Ok(ended)
        });
    }
    let mut releases = Vec::new();
    while let Some(ended) = workers.join_next().await {
        releases.extend(ended??);
    }
    let (took, cpu) = (begun.elapsed(), cpu_time().saturating_sub(cpu));

    for (id, _) in &releases {
        check(runtime, id)?;
    }
    let count = releases.len() + 1;
    let times = releases.into_iter().map(|(_, time)| time).collect();
    Ok((Cell::of((steps, parallel), times, took, cpu), count))
}

/// Runs a release from its beginning to its end.
async fn run_one(runtime: &Runtime, plan: &KeptPlan) -> anyhow::Result<ReleaseId> {
    let id = begin(runtime, plan).await?;
    runtime.ended(&id).await;
    Ok(id)
}

/// Runs a release to its end, and makes sure that it succeeded.
pub(crate) async fn run_and_check(runtime: &Runtime, plan: &KeptPlan) -> anyhow::Result<ReleaseId> {
    let id = run_one(runtime, plan).await?;
    check(runtime, &id)?;
    Ok(id)
}

fn requester() -> Actor {
    Actor { name: "bench".to_owned(), groups: Vec::new(), authenticated: "windlass bench".to_owned() }
}

/// Stops a release.
pub(crate) async fn cancel(runtime: &Runtime, id: &ReleaseId) -> anyhow::Result<()> {
    let intervention = Intervention::Cancel { rollback: false };
    let input = Input::Intervene { actor: requester(), reason: "it was measured".to_owned(), intervention };
    Ok(runtime.tell(id, input).await?)
}

/// Begins a release.
pub(crate) async fn begin(runtime: &Runtime, plan: &KeptPlan) -> anyhow::Result<ReleaseId> {
    let parameters =
        check_parameters(plan.plan().workflow(), json!({})).map_err(|problems| anyhow::anyhow!(problems.join("; ")))?;
    Ok(runtime.begin(plan, parameters, requester()).await?)
}

/// Makes sure that a release succeeded, as the store has it.
fn check(runtime: &Runtime, id: &ReleaseId) -> anyhow::Result<()> {
    let outline = runtime.store().outline(id)?.with_context(|| format!("the store knows nothing of {id}"))?;
    anyhow::ensure!(
        outline.state == "succeeded",
        "{id} did not succeed, it is {}: {}",
        outline.state,
        outline.headline
    );
    Ok(())
}

/// What this process used of the processors so far, in user and kernel mode, all threads.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_adds_up() {
        // 100 releases of 1 to 100 ms, last first.
        let times = (1..=100).rev().map(Duration::from_millis).collect();
        let cell = Cell::of((9, 16), times, Duration::from_secs(2), Duration::from_millis(180));
        let json = serde_json::to_value(&cell).expect("JSON");
        let expected = json!({
            "steps": 9, "parallel": 16, "releases_per_s": 50.0, "steps_per_s": 450.0,
            "p50_ms": 50.0, "p99_ms": 99.0, "cpu_us_per_step": 200.0,
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn the_clock_counts_work() {
        let before = cpu_time();
        let begun = Instant::now();
        let mut sum = 0_u64;
        while begun.elapsed() < Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(cpu_time() > before);
    }
}
