//! The numbers of `sdk/CONTRACT.md` are those of the sources.

use std::path::Path;

use windlass_engine::{CHECKPOINT_BYTES_MAX, CHECKPOINTS_MAX, KEPT_PER_RELEASE_MAX, KEPT_PER_STEP_MAX};
use windlass_model::manifest::{EffectiveLimits, Limits};
use windlass_sandbox::WAKE_DELAY_MIN;
use windlass_server::api::COMPONENT_BYTES_MAX;
use windlass_server::callbacks::{CALLBACK_BODY_BYTES_MAX, CALLBACK_HEADER_BYTES_MAX};

const PAGE: &str = include_str!("../../../../sdk/CONTRACT.md");
const MIB: u64 = 1024 * 1024;

fn shown(name: &str, value: u64) -> String {
    match name.rsplit_once('_') {
        Some((_, "ms")) => format!("{} s", value / 1000),
        Some((_, "bytes")) if value.is_multiple_of(MIB) => format!("{} MiB", value / MIB),
        Some((_, "bytes")) => format!("{} KiB", value / 1024),
        _ => value.to_string(),
    }
}

#[test]
fn limits_are_those_of_the_host() {
    let highest = Limits::default().named(&EffectiveLimits::BOUND);
    let usual = Limits::default().named(&EffectiveLimits::DEFAULT);
    for ((name, _, usual), (_, _, highest)) in usual.into_iter().zip(highest) {
        let row = format!("| `{name}` | {} | {} |", shown(name, usual), shown(name, highest));
        assert!(PAGE.contains(&row), "the page has no row `{row}`");
    }
    assert_eq!(PAGE.matches("_bytes` |").count() + PAGE.matches("_ms` |").count(), 8, "no others");
}

#[test]
fn what_is_fixed_for_all_is_what_the_host_fixes() {
    let kib = |bytes: usize| format!("{} KiB", bytes / 1024);
    for phrase in [
        format!("{CHECKPOINTS_MAX} and {} MiB for a run of a step", CHECKPOINT_BYTES_MAX as u64 / MIB),
        format!("{} MiB to be installed", COMPONENT_BYTES_MAX as u64 / MIB),
        format!("no wait shorter than {} ms", WAKE_DELAY_MIN.0),
        format!("{}, and {} of headers", kib(CALLBACK_BODY_BYTES_MAX), kib(CALLBACK_HEADER_BYTES_MAX)),
        format!("{KEPT_PER_STEP_MAX} kept for a step, {KEPT_PER_RELEASE_MAX} for a release"),
    ] {
        assert!(PAGE.contains(&phrase), "the page does not say `{phrase}`");
    }
    // These are nobody else's to know: they are held by how they are written.
    let sandbox = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sandbox/src");
    for (file, line, phrase) in [
        ("capability/checkpoint.rs", "VALUE_BYTES_MAX: usize = 64 * 1024;", "| a checkpoint | 64 KiB,"),
        ("capability/checkpoint.rs", "NAME_BYTES_MAX: usize = 256;", "a name of 256 bytes"),
        ("capability/checkpoint.rs", "CHECKPOINTS_MAX: usize = 1000;", "| 1000 and 4 MiB by one call"),
        ("capability/checkpoint.rs", "CHECKPOINT_BYTES_MAX: usize = 4 * 1024 * 1024;", "| 1000 and 4 MiB by one call"),
        ("capability/checkpoint.rs", "CALLBACKS_MAX: u32 = 64;", "| 64 by one call |"),
        ("outcome.rs", "WAKES_MAX: usize = 64;", "| 64 wakes,"),
        ("outcome.rs", "STATUS_CHARS_MAX: usize = 1000;", "a status of 1000 characters"),
        ("shared.rs", "LINE_BYTES_MAX: usize = 8 * 1024;", "| 8 KiB, what is longer is cut |"),
    ] {
        let source = std::fs::read_to_string(sandbox.join(file)).expect("the source");
        assert!(source.contains(line), "{file} does not say `{line}` any more: change the page, then this test");
        assert!(PAGE.contains(phrase), "the page does not say `{phrase}`");
    }
}

#[test]
fn the_picture_says_in_words_what_it_shows() {
    let picture = include_str!("../../../../sdk/step.svg");
    let shown = picture.split("</style>").nth(1).expect("what is drawn");
    for call in ["start", "resume", "find", "cancel", "rollback"] {
        assert!(shown.contains(&format!(">{call}</text>")) && PAGE.contains(&format!("**{call}**")), "{call}");
        let described = picture.split("<desc").nth(1).and_then(|it| it.split("</desc>").next()).expect("a description");
        assert!(described.contains(call), "the description does not tell of `{call}`");
    }
    assert!(picture.contains("prefers-color-scheme: dark"));
}
