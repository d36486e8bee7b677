//! `windlass-simulation-driver --seeds 100000`: tries so many seeds on all cores.
//! `windlass-simulation-driver --seed 17`: tells the story of one.

use std::process::ExitCode;

use windlass_simulation::Ran;
use windlass_simulation::seeds::Command;
use windlass_simulation_driver::{Detail, Place, expected, run};

fn main() -> std::io::Result<ExitCode> {
    let runner = || {
        let place = Place::new()?;
        Ok(move |seed, is_told| {
            let ran = run(seed, &place, if is_told { Detail::Story } else { Detail::Quick });
            Ran { counts: ran.counts, story: ran.story, violation: ran.violation }
        })
    };
    Command { name: "windlass-simulation-driver", missing: expected::missing, runner }.main()
}
