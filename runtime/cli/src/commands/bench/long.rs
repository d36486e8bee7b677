//! One long release: a step of ten thousand may cost what a step of a hundred does.

use std::fmt;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use serde::Serialize;
use windlass_model::manifest::Manifest;
use windlass_model::plan::Plan;
use windlass_server::Runtime;

use super::{ACTION, folder, load, rounded};

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Long {
    releases: Vec<Length>,
}

/// A release of so many steps, one after another.
#[derive(Debug, Serialize)]
struct Length {
    steps: u32,
    seconds: f64,
    us_per_step: f64,
    cpu_us_per_step: f64,
    /// Against the first of the list.
    cpu_ratio: f64,
    disk_bytes_per_step: f64,
    /// Reading its journal and replaying it, as the next process would.
    replay_us_per_step: f64,
}

/// Runs a release of each length.
pub(crate) async fn measure(
    runtime: &Runtime,
    manifest: &Manifest,
    state: &Path,
    lengths: &[u32],
) -> anyhow::Result<Long> {
    let one = load::validated(runtime, manifest, &load::Work { action: ACTION, with: "{}", steps: 1 })?;
    // What only the first call of a component does.
    load::run_and_check(runtime, &runtime.keep_plan(one.clone()).await?).await?;
    let mut releases: Vec<Length> = Vec::new();
    for steps in lengths {
        let plan = runtime.keep_plan(chain(&one, *steps)?).await?;
        let disk = folder::disk(state)?;
        let (begun, cpu) = (Instant::now(), load::cpu_time());
        let id = load::run_and_check(runtime, &plan).await?;
        let (took, cpu) = (begun.elapsed(), load::cpu_time() - cpu);
        let disk = folder::disk(state)?.saturating_sub(disk);
        let replayed = Instant::now();
        runtime.release(&id).await?;
        let replayed = replayed.elapsed();
        let each = |seconds: f64| rounded(seconds * 1e6 / f64::from(*steps));
        let cpu_us_per_step = each(cpu.as_secs_f64());
        releases.push(Length {
            steps: *steps,
            seconds: rounded(took.as_secs_f64()),
            us_per_step: each(took.as_secs_f64()),
            cpu_us_per_step,
            cpu_ratio: rounded(cpu_us_per_step / releases.first().map_or(cpu_us_per_step, |it| it.cpu_us_per_step)),
            disk_bytes_per_step: rounded(disk as f64 / f64::from(*steps)),
            replay_us_per_step: each(replayed.as_secs_f64()),
        });
    }
    Ok(Long { releases })
}

/// A plan of so many steps like the one of `one`; more than a workflow file may have.
fn chain(one: &Plan, steps: u32) -> anyhow::Result<Plan> {
    let mut workflow = one.workflow().clone();
    let first = workflow.steps.first().cloned().context("a step")?;
    let index = one.index_of(&first.name).context("the step's index")?;
    workflow.name = format!("bench-long-{steps}").parse().context("a name")?;
    workflow.steps.clear();
    for number in 1..=steps {
        let mut step = first.clone();
        if let Some(before) = workflow.steps.last() {
            step.needs = vec![before.name.clone()];
        }
        step.name = format!("step-{number}").parse().context("a name")?;
        workflow.steps.push(step);
    }
    let pins = vec![one.pin(index).clone(); steps as usize];
    Plan::new(workflow, pins).map_err(|error| anyhow::anyhow!("{error}"))
}

impl fmt::Display for Long {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>8} {:>9} {:>9} {:>12} {:>7} {:>11} {:>11}",
            "steps", "seconds", "µs/step", "CPU µs/step", "ratio", "bytes/step", "replay µs"
        )?;
        for it in &self.releases {
            writeln!(
                f,
                "{:>8} {:>9.2} {:>9.0} {:>12.0} {:>7.2} {:>11.0} {:>11.1}",
                it.steps,
                it.seconds,
                it.us_per_step,
                it.cpu_us_per_step,
                it.cpu_ratio,
                it.disk_bytes_per_step,
                it.replay_us_per_step
            )?;
        }
        Ok(())
    }
}
