//! No bytes make the reader of journals panic, or take memory that they only claim to need.
//! How to look further: `conformance/fuzz/README.md`.

use std::path::Path;

use windlass_fuzz::{Effort, fuzz};
use windlass_store::format::{
    Place, decode_number, decode_outline, decode_record, encode_outline, encode_record, open,
};

/// Everything that version 1 has once written.
fn golden() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .expect("the golden files")
        .map(|it| it.expect("an entry").path())
        .filter(|it| it.extension().is_some_and(|it| it == "hex"))
        .collect();
    names.sort();
    names
        .iter()
        .map(|it| hex::decode(std::fs::read_to_string(it).expect("a file").replace('\n', "")).expect("hex digits"))
        .collect()
}

/// Reads a value in every way; what can be read is written and read again as the same.
fn read(value: &[u8]) {
    // A garbled value is an error; which one does not matter.
    let _ = decode_number(value);
    let Ok(Place::Here(rest)) = open(value) else { return };
    if let Ok(record) = decode_record(rest) {
        let again = encode_record(&record);
        assert_eq!(decode_record(&again[2..]).expect("what was written is read"), record);
    }
    if let Ok(outline) = decode_outline(rest) {
        let again = encode_outline(&outline);
        assert_eq!(decode_outline(&again[2..]).expect("what was written is read"), outline);
    }
}

#[test]
fn journal() {
    fuzz(
        "journal",
        Effort::of(5_000),
        &golden(),
        &["\u{9f}", "\u{bf}", "\u{5f}", "\u{7f}", "{\"a\":", "[[[[[[", "null"],
        read,
    );
}

/// Each byte becomes the head of a list, a map, a text or bytes of 2^64-1, 2^32 or 2^24 things: nothing is taken for
/// them before they are there.
#[test]
fn claims_of_length_are_not_believed() {
    let mut read_at_all = 0;
    for value in golden() {
        for at in 2..value.len() {
            for kind in [0x80, 0xa0, 0x60, 0x40] {
                for length in [u64::MAX, 1 << 32, 1 << 24] {
                    let mut claiming = value[..at].to_vec();
                    claiming.push(kind | 27);
                    claiming.extend(length.to_be_bytes());
                    claiming.extend(&value[at + 1..]);
                    read(&claiming);
                    read_at_all += 1;
                }
            }
        }
    }
    assert!(read_at_all > 10_000, "{read_at_all}");
}

/// Values in values, deeper than any stack.
#[test]
fn depth_is_an_error() {
    for value in golden() {
        for at in (2..value.len()).step_by(7) {
            for head in [0x81, 0xa1, 0xc1, 0x9f, 0xbf] {
                let mut deep = value[..at].to_vec();
                deep.extend(std::iter::repeat_n(head, 200_000));
                deep.extend(&value[at..]);
                read(&deep);
            }
        }
    }
}
