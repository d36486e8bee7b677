//! The command that tries seeds on all cores and tells what happened, or the story of one; of this simulation and of
//! that of the driver.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::counts::Counts;
use crate::simulation::Ran;

struct Asked {
    seed: Option<u64>,
    seeds: u64,
    from: u64,
    failures: u64,
}

fn asked() -> Option<Asked> {
    let mut asked = Asked { seed: None, seeds: 0, from: 0, failures: 1 };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let number = words.next()?.parse().ok()?;
        match word.as_str() {
            "--seed" => asked.seed = Some(number),
            "--seeds" => asked.seeds = number,
            "--from" => asked.from = number,
            "--failures" => asked.failures = number,
            _ => return None,
        }
    }
    (asked.seed.is_some() || asked.seeds > 0).then_some(asked)
}

/// A command that tries seeds.
pub struct Command<M, R> {
    /// What it is called.
    pub name: &'static str,
    /// What was to happen and never did.
    pub missing: M,
    /// Makes what each thread runs its seeds with; none where that cannot be had. Asked for the story or not.
    pub runner: R,
}

impl<M, R, F> Command<M, R>
where
    M: Fn(&Counts) -> Vec<&'static str> + Sync,
    R: Fn() -> std::io::Result<F> + Sync,
    F: Fn(u64, bool) -> Ran,
{
    /// Does what its arguments say.
    pub fn main(&self) -> std::io::Result<ExitCode> {
        let mut out = std::io::stdout().lock();
        let Some(asked) = asked() else {
            writeln!(out, "usage: {} --seeds COUNT [--from SEED] [--failures COUNT] | --seed SEED", self.name)?;
            return Ok(ExitCode::from(2));
        };
        // What panics is told with its seed, as any other finding.
        std::panic::set_hook(Box::new(|_| {}));
        match asked.seed {
            Some(seed) => self.one(&mut out, seed),
            None => self.many(&mut out, &asked),
        }
    }

    fn one(&self, out: &mut impl Write, seed: u64) -> std::io::Result<ExitCode> {
        let ran = (self.runner)()?(seed, true);
        writeln!(out, "{}", ran.story)?;
        match ran.violation {
            None => {
                writeln!(out, "seed {seed}: no rule was broken")?;
                Ok(ExitCode::SUCCESS)
            }
            Some(violation) => {
                writeln!(out, "seed {seed}: {violation}")?;
                Ok(ExitCode::FAILURE)
            }
        }
    }

    fn many(&self, out: &mut impl Write, asked: &Asked) -> std::io::Result<ExitCode> {
        let began = Instant::now();
        let next = AtomicU64::new(asked.from);
        let failed = Mutex::new(Vec::new());
        let counts = Mutex::new(Counts::default());
        let end = asked.from.saturating_add(asked.seeds);
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    let Ok(run) = (self.runner)() else { return };
                    let mut own = Counts::default();
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= end {
                            break;
                        }
                        let ran = run(seed, false);
                        own.merge(&ran.counts);
                        if let Some(violation) = ran.violation {
                            let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                            failed.push((seed, violation));
                            if failed.len() as u64 >= asked.failures {
                                next.store(end, Ordering::Relaxed);
                            }
                        }
                    }
                    counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner).merge(&own);
                });
            }
        });
        let counts = counts.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        failed.sort_by_key(|(seed, _)| *seed);
        let seconds = began.elapsed().as_secs_f64();
        for (what, count) in counts.iter() {
            writeln!(out, "{count:>10}  {what}")?;
        }
        for what in (self.missing)(&counts).iter().filter(|_| failed.is_empty()) {
            writeln!(out, "     never  {what}")?;
        }
        let tried = asked.seeds;
        writeln!(out, "{tried} seeds from {} in {seconds:.1} s, {:.0} seeds/s", asked.from, tried as f64 / seconds)?;
        for (seed, violation) in &failed {
            let text = violation.to_string();
            writeln!(out, "seed {seed}: {}", text.chars().take(400).collect::<String>())?;
        }
        if failed.is_empty() {
            writeln!(out, "no rule was broken")?;
            return Ok(ExitCode::SUCCESS);
        }
        writeln!(out, "the story: {} --seed {}", self.name, failed[0].0)?;
        Ok(ExitCode::FAILURE)
    }
}
