//! Tests of the counterparts, over HTTP and as processes, as Windlass meets them.

mod binary;
mod client;
mod clients;
mod echo;
mod faults;
mod helm;
mod jenkins;
mod servicenow;

/// Every file of this folder is a module above: one that is not would hold tests that never run.
#[test]
fn no_file_is_forgotten() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it");
    let main = include_str!("main.rs");
    for entry in std::fs::read_dir(folder).expect("this folder") {
        let name = entry.expect("a file").file_name().into_string().expect("a name");
        let stem = name.strip_suffix(".rs").expect("only Rust files are here");
        assert!(stem == "main" || main.contains(&format!("mod {stem};")), "{name} is not a module");
    }
}
