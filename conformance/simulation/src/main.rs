//! `windlass-simulation --seeds 100000`: tries so many seeds on all cores.
//! `windlass-simulation --seed 17`: tells the story of one.

use std::process::ExitCode;

use windlass_simulation::counts::Counts;
use windlass_simulation::seeds::Command;
use windlass_simulation::{Detail, run, workflows};

fn main() -> std::io::Result<ExitCode> {
    let runner = || {
        let catalog = workflows::catalog();
        Ok(move |seed, is_told| run(seed, &catalog, if is_told { Detail::Story } else { Detail::Quick }))
    };
    Command { name: "windlass-simulation", missing: Counts::missing, runner }.main()
}
