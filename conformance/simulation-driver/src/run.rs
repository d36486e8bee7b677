//! One seed from its beginning to its end, over the lives of many processes.

use std::rc::Rc;
use std::sync::{Arc, Mutex};

use sha2::Digest as _;
use windlass_model::check::Installed;
use windlass_server::StateDirectory;
use windlass_server::clock::simulate;
use windlass_simulation::counts::Counts;
use windlass_simulation::dice::Dice;
use windlass_simulation::violation::Violation;
use windlass_simulation::workflows;
use windlass_store::{Store as _, format};

use crate::clock::Simulated;
use crate::life::{End, live};
use crate::plans;
use crate::shared::{Detail, Shared};
use crate::sharing::{self, Sharing};
use crate::store::land;

/// How many processes live through one seed, before the days are good whatever the dice say.
const LIVES_MAX: u64 = 60;

/// Where simulated installations keep what is in no store, and what they have installed. One per thread.
pub struct Place {
    state: StateDirectory,
    catalog: Installed,
    _folder: tempfile::TempDir,
}

impl Place {
    /// A new one.
    ///
    /// # Errors
    ///
    /// When there is no room for it.
    pub fn new() -> std::io::Result<Self> {
        let folder = tempfile::tempdir()?;
        // Made once, and by chance: here it is always the same.
        std::fs::write(folder.path().join("topic-key"), [7; 32])?;
        let state = StateDirectory::open(folder.path())?;
        let mut catalog = workflows::catalog();
        sharing::install(&mut catalog);
        Ok(Self { state, catalog, _folder: folder })
    }
}

/// How a run went.
#[derive(Debug)]
pub struct Ran {
    /// What happened how often.
    pub counts: Counts,
    /// What happened, a line each, if it was to be told.
    pub story: String,
    /// A digest of all journals.
    pub journals: String,
    /// The rule that was broken, if one was.
    pub violation: Option<Violation>,
}

/// Runs one seed.
pub fn run(seed: u64, place: &Place, detail: Detail) -> Ran {
    let shared = Arc::new(Shared::new(seed, detail));
    shared.install();
    let machine = Simulated::new(shared.clock.clone(), Dice::new(seed, 14));
    let simulated = simulate(Rc::new(machine));
    if let Err(violation) = prepare(seed, place).and_then(|to_begin| lives(&shared, place, to_begin)) {
        shared.judge(Err(violation));
    }
    drop(simulated);
    let journals = journals(&shared);
    let mut state = shared.state();
    Ran {
        counts: std::mem::take(&mut state.counts),
        story: std::mem::take(&mut state.story),
        journals,
        violation: state.violation.take(),
    }
}

type ToBegin = Arc<Mutex<Vec<(plans::Made, u64)>>>;

fn prepare(seed: u64, place: &Place) -> Result<ToBegin, Violation> {
    let mut dice = Dice::new(seed, 11);
    let profile = crate::profile::Profile::new(&mut Dice::new(seed, 12));
    let sharing = Sharing::new(&mut Dice::new(seed, 15));
    let mut sharing_dice = Dice::new(seed, 17);
    let mut to_begin: Vec<(plans::Made, u64)> = Vec::new();
    for at in 0..profile.releases {
        let made = match dice.pick(&to_begin) {
            // Several releases of one workflow.
            Some((made, _)) if dice.permille(300) => made.clone(),
            _ => {
                let nested = dice.permille(profile.nested);
                let mut shares = |document: &mut serde_json::Value| sharing.add_to(&mut sharing_dice, document);
                plans::make(&mut dice, &place.catalog, &format!("w{at}"), nested, &mut shares)
                    .map_err(|what| Violation { rule: "a right workflow is accepted", what })?
            }
        };
        let after = if dice.permille(500) { 0 } else { dice.below(60_000) };
        to_begin.push((made, after));
    }
    Ok(Arc::new(Mutex::new(to_begin)))
}

fn lives(shared: &Arc<Shared>, place: &Place, to_begin: ToBegin) -> Result<(), Violation> {
    for (made, after) in to_begin.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter() {
        shared.tell(|| format!("after {after} ms there will be a release of\n{}", made.text));
    }
    for number in 0.. {
        if number == LIVES_MAX {
            shared.tell(|| "from now on the world is willing".to_owned());
            shared.state().healed = true;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.map_err(|it| Violation { rule: "a process starts", what: it.to_string() })?;
        {
            let mut state = shared.state();
            state.failed.clear();
            state.dead = state.violation.is_some();
            let most = state.profile.life;
            let ends = state.profile.crashes && !state.healed;
            state.life = ends.then(|| state.dice.between(1, most));
            state.is_asked = ends && state.profile.winds_down && state.sharing_dice.permille(500);
        }
        shared.tell(|| "a process begins".to_owned());
        let end = runtime.block_on(async {
            shared.clock.begin();
            live(shared.clone(), place.state.clone(), to_begin.clone()).await
        });
        let downtime = {
            let mut state = shared.state();
            state.dead = true;
            match state.dice.below(10) {
                0..6 => state.dice.below(3_000),
                6..9 => state.dice.below(600_000),
                _ => state.dice.below(50_000_000),
            }
        };
        {
            let _within = runtime.enter();
            shared.clock.end(downtime);
        }
        let handle = shared.state().runtime.take();
        drop(handle);
        // All that it was doing is cut off here.
        drop(runtime);
        // What was on its way to the disk may still get there.
        let left: Vec<u64> = shared.state().on_the_way.keys().copied().collect();
        for append in left {
            let lands = shared.state().dice.permille(500);
            if lands {
                shared.count("process: ended, its record was durable");
                // There is nobody to be told.
                let _ = land(shared, append);
            } else {
                shared.count("process: ended, its record was not durable");
                shared.state().on_the_way.remove(&append);
            }
        }
        let broken = shared.state().violation.is_some();
        if end == End::Over || broken {
            return Ok(());
        }
        shared.count("process: ended");
        shared.tell(|| format!("the process has ended; the next one begins {downtime} ms later"));
    }
    Ok(())
}

fn journals(shared: &Shared) -> String {
    let mut hash = sha2::Sha256::new();
    for outline in shared.disk.outlines().unwrap_or_default() {
        hash.update(outline.release.to_string());
        for record in shared.disk.journal(&outline.release).unwrap_or_default() {
            hash.update(format::encode_record(&record));
        }
    }
    hash.finalize().iter().map(|it| format!("{it:02x}")).collect()
}
