//! No file makes the reader panic, hang or overflow: good and wrong files, broken in every way a seed
//! leads to.

use std::time::{Duration, Instant};

use windlass_model::parse::validate;
use windlass_model::problem::{Color, Source, render};

use crate::catalog::installed;
use crate::{workflow_files, wrong};

/// SplitMix64: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        it ^ (it >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Pieces that mean something to one of the readers.
const PIECES: &[&str] = &[
    "${{",
    "}}",
    "{",
    "}",
    "[",
    "]",
    ": ",
    "- ",
    "\n",
    "\t",
    "&a ",
    "*a",
    "!!str ",
    "|\n",
    ">",
    "'",
    "\"",
    "#",
    "é",
    "\u{1F600}",
    "\u{0}",
    "<<: ",
    "steps",
    "parameters.",
    "has(",
    ".exists(x, ",
    "['",
    "0x",
    "1e999",
    "null",
    "@",
    "/",
    "---\n",
    "\u{feff}",
    "\\",
    "?",
    "%",
    "needs: [",
    "type: ",
];

fn mutate(random: &mut Random, text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 => bytes.truncate(at),
            2 => {
                let piece = PIECES[random.below(PIECES.len())];
                bytes.splice(at..at, piece.bytes());
            }
            3 => {
                let end = (at + random.below(40)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let end = (at + random.below(200)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => {
                let piece = PIECES[random.below(PIECES.len())].repeat(1 + random.below(300));
                bytes.splice(at..at, piece.bytes());
            }
        }
    }
    bytes
}

#[test]
fn broken_files_are_only_refused() {
    let seed: u64 = std::env::var("WINDLASS_FUZZ_SEED").ok().and_then(|it| it.parse().ok()).unwrap_or(7);
    let rounds: usize = std::env::var("WINDLASS_FUZZ_ROUNDS").ok().and_then(|it| it.parse().ok()).unwrap_or(3000);
    let files: Vec<String> = workflow_files().into_iter().chain(wrong::files()).map(|(_, text)| text).collect();
    let catalog = installed();
    let mut random = Random(seed);
    for round in 0..rounds {
        let file = &files[random.below(files.len())];
        let bytes = mutate(&mut random, file);
        let began = Instant::now();
        let outcome = std::panic::catch_unwind(|| {
            let (source, _) = Source::from_bytes("fuzz.yaml", &bytes);
            let (_, problems) = validate(&source, &catalog);
            render(&source, &problems, Color::Ansi).len()
        });
        assert!(outcome.is_ok(), "seed {seed}, round {round}: panic with {:?}", String::from_utf8_lossy(&bytes));
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "seed {seed}, round {round}: {:?} for {:?}",
            began.elapsed(),
            String::from_utf8_lossy(&bytes)
        );
    }
}

#[test]
fn large_workflows_are_checked_in_time() {
    let count = 1000;
    let chain: String = (0..count)
        .map(|it| {
            let needs = if it + 1 < count { format!("needs: [s{}], ", it + 1) } else { String::new() };
            format!(
                "  s{it}: {{ {needs}uses: http/wait, with: {{ for: '${{{{ steps.s{}.output.x }}}}' }} }}\n",
                (it + 1).min(count - 1)
            )
        })
        .collect();
    let circle: String = (0..count)
        .map(|it| {
            format!("  s{it}: {{ needs: [s{}, s{}], uses: http/wait }}\n", (it + 1) % count, (it * 7 + 3) % count)
        })
        .collect();
    for steps in [chain, circle] {
        let source = Source::new("large.yaml", format!("windlass: v1\nworkflow: w\nsteps:\n{steps}"));
        let began = Instant::now();
        let (_, problems) = validate(&source, &installed());
        assert!(!render(&source, &problems, Color::None).is_empty());
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    }
}
