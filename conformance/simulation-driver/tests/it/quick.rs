//! A fixed set of seeds in which everything that is interesting happens, and no rule is broken.

use windlass_simulation::counts::Counts;
use windlass_simulation_driver::{Detail, Place, expected, run};

const SEEDS: u64 = 200;

#[test]
fn quick_set_breaks_no_rule_and_leaves_nothing_out() {
    let halves = [0..SEEDS / 2, SEEDS / 2..SEEDS];
    let counts: Vec<Counts> = std::thread::scope(|scope| {
        let runs = halves.map(|seeds| {
            scope.spawn(move || {
                let place = Place::new().expect("a folder");
                let mut counts = Counts::default();
                for seed in seeds {
                    let ran = run(seed, &place, Detail::Quick);
                    let story = format!("windlass-simulation-driver --seed {seed} tells its story");
                    assert_eq!(ran.violation, None, "seed {seed}: {story}");
                    counts.merge(&ran.counts);
                }
                counts
            })
        });
        runs.into_iter().map(|it| it.join().expect("no rule is broken")).collect()
    });
    let mut all = Counts::default();
    counts.iter().for_each(|it| all.merge(it));
    assert_eq!(expected::missing(&all), Vec::<&str>::new(), "these never happened");
}

#[test]
fn one_seed_tells_one_story() {
    let place = Place::new().expect("a folder");
    let mut stories = std::collections::BTreeSet::new();
    for seed in 0..24 {
        let one = run(seed, &place, Detail::Story);
        // In another thread, which has made other tasks before, and in another place.
        let other = std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let place = Place::new().expect("a folder");
                run(seed + 1000, &place, Detail::Quick);
                run(seed, &place, Detail::Story)
            });
            other.join().expect("it does not panic")
        });
        assert!(!one.story.is_empty());
        let differs = one.story.lines().zip(other.story.lines()).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        // How closely one looks changes nothing.
        assert_eq!(run(seed, &place, Detail::Quick).journals, one.journals, "seed {seed}");
        stories.insert(one.journals);
    }
    assert!(stories.len() > 20);
}
