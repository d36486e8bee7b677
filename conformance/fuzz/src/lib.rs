//! Inputs broken in every way that a seed leads to: real ones, changed a little or a lot.
//!
//! The targets are tests named `fuzz` in the crates that read the input. Here are the changes, the seeds, and what is
//! told when one of them fails. See `README.md` beside this crate for the command.
//!
//! **Invariant:** an input depends on the corpus, the seed and the round, and on nothing else.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

/// Pieces that mean something to whoever reads text.
pub const TEXT: &[&str] = &[
    "${{",
    "}}",
    "{",
    "}",
    "[",
    "]",
    ": ",
    "- ",
    ",",
    "\n",
    "\t",
    "\"",
    "'",
    "#",
    "\\",
    "\\u0000",
    "\\ud800",
    "&a ",
    "*a",
    "!!str ",
    "|\n",
    ">",
    "<<: ",
    "@",
    "/",
    "---\n",
    "?",
    "%",
    "null",
    "true",
    "-1",
    "0x",
    "1e999",
    "18446744073709551616",
    "é",
    "\u{1F600}",
    "\u{0}",
    "\u{feff}",
    "\u{202e}",
];

/// How long a target is tried.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    seed: u64,
    rounds: u64,
    time_max: Option<Duration>,
    only: Option<u64>,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

impl Effort {
    /// So many rounds, unless the environment asks for more: `WINDLASS_FUZZ_SEED`, `WINDLASS_FUZZ_ROUNDS`,
    /// `WINDLASS_FUZZ_MINUTES` (as many rounds as fit), `WINDLASS_FUZZ_ONLY` (this round alone).
    pub fn of(rounds: u64) -> Self {
        let time_max = number("WINDLASS_FUZZ_MINUTES").map(|it| Duration::from_secs(it * 60));
        Self {
            seed: number("WINDLASS_FUZZ_SEED").unwrap_or(7),
            rounds: number("WINDLASS_FUZZ_ROUNDS").unwrap_or(if time_max.is_some() { u64::MAX } else { rounds }),
            time_max,
            only: number("WINDLASS_FUZZ_ONLY"),
        }
    }
}

/// Tries `target` with inputs made of `corpus` and `pieces`; one that panics is told and fails the test.
///
/// The round is also in a file while it runs, for those that end the process.
///
/// # Panics
///
/// When the target does, with how to do it again.
pub fn fuzz(name: &str, effort: Effort, corpus: &[Vec<u8>], pieces: &[&str], mut target: impl FnMut(&[u8])) {
    assert!(!corpus.is_empty(), "there is nothing to begin with");
    let note = Note::new(name, effort.seed);
    let began = Instant::now();
    let rounds = match effort.only {
        Some(round) => round..round.saturating_add(1),
        None => 0..effort.rounds,
    };
    for round in rounds {
        if effort.time_max.is_some_and(|it| began.elapsed() > it) {
            break;
        }
        note.round(round);
        let input = input(corpus, pieces, effort.seed, round);
        if catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
            let shown: String = String::from_utf8_lossy(&input).chars().take(4000).collect();
            panic!(
                "WINDLASS_FUZZ_SEED={} WINDLASS_FUZZ_ONLY={round} does it again: {name}, {} bytes: {shown:?}",
                effort.seed,
                input.len()
            );
        }
    }
}

/// Which round is going on.
struct Note {
    path: PathBuf,
    file: Option<File>,
    seed: u64,
}

impl Note {
    fn new(name: &str, seed: u64) -> Self {
        let path = std::env::temp_dir().join(format!("windlass-fuzz-{name}-{}", std::process::id()));
        // Without the note a round can be found again by halving.
        Self { file: File::create(&path).ok(), path, seed }
    }

    fn round(&self, round: u64) {
        let line = format!("WINDLASS_FUZZ_SEED={} WINDLASS_FUZZ_ONLY={round}\n", self.seed);
        let _ = self.file.as_ref().map(|it| it.write_all_at(line.as_bytes(), 0));
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The input of a round.
pub fn input(corpus: &[Vec<u8>], pieces: &[&str], seed: u64, round: u64) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ round);
    let mut input = corpus.choose(&mut random).cloned().unwrap_or_default();
    for _ in 0..random.random_range(1..=4) {
        change(&mut random, &mut input, corpus, pieces);
    }
    input
}

fn change(random: &mut StdRng, input: &mut Vec<u8>, corpus: &[Vec<u8>], pieces: &[&str]) {
    let at = random.random_range(0..=input.len());
    let until = |random: &mut StdRng, longest: usize| (at + random.random_range(0..=longest)).min(input.len());
    match random.random_range(0..9) {
        0 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
        1 if at < input.len() => input[at] = *[0, 1, 0x7f, 0x80, 0xff, random.random()].choose(random).unwrap_or(&0),
        2 => input.truncate(at),
        3 => {
            let end = until(random, 40);
            input.drain(at..end);
        }
        // Itself again, elsewhere.
        4 => {
            let end = until(random, 400);
            let copy = input[at..end].to_vec();
            let to = random.random_range(0..=input.len());
            input.splice(to..to, copy);
        }
        // A part of another one.
        5 => {
            let other = corpus.choose(random).map(Vec::as_slice).unwrap_or_default();
            let from = random.random_range(0..=other.len());
            let to = (from + random.random_range(0..=400)).min(other.len());
            input.splice(at..at, other[from..to].iter().copied());
        }
        // A length, or what looks like one, over what is there.
        6 => {
            let number: u64 =
                *[0, 1, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX, random.random()].choose(random).unwrap_or(&0);
            let bytes = if random.random() { number.to_le_bytes() } else { number.to_be_bytes() };
            let size = *[1, 2, 4, 8].choose(random).unwrap_or(&1);
            let end = (at + size).min(input.len());
            input.splice(at..end, bytes[..size].iter().copied());
        }
        7 => {
            let piece = pieces.choose(random).copied().unwrap_or_default();
            input.splice(at..at, piece.bytes());
        }
        _ => {
            let piece = pieces.choose(random).copied().unwrap_or_default();
            let times = random.random_range(1..=2000);
            input.splice(at..at, piece.repeat(times).into_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_the_same_every_time_and_unlike_others() {
        let corpus = [b"steps: { a: b }".to_vec(), b"another".to_vec()];
        let of = |seed, round| input(&corpus, TEXT, seed, round);
        assert_eq!(of(7, 3), of(7, 3));
        let different: std::collections::BTreeSet<Vec<u8>> = (0..200).map(|it| of(7, it)).collect();
        assert!(different.len() > 150, "{}", different.len());
        assert_ne!((0..20).map(|it| of(7, it)).collect::<Vec<_>>(), (0..20).map(|it| of(8, it)).collect::<Vec<_>>());
    }

    #[test]
    fn what_fails_is_told_with_how_to_do_it_again() {
        let effort = Effort { seed: 7, rounds: 1000, time_max: None, only: None };
        let target = |input: &[u8]| assert!(!input.contains(&0xff), "it is not liked");
        let told = catch_unwind(|| fuzz("itself", effort, &[b"abc".to_vec()], TEXT, target)).expect_err("it fails");
        let told = told.downcast_ref::<String>().expect("a text");
        let round: u64 = told.split("ONLY=").nth(1).and_then(|it| it.split(' ').next()?.parse().ok()).expect("a round");
        assert!(input(&[b"abc".to_vec()], TEXT, 7, round).contains(&0xff), "{told}");
        fuzz("itself", Effort { rounds: 10, ..effort }, &[b"abc".to_vec()], &["x"], |input| {
            assert!(input.len() < 1_000_000)
        });
    }
}
