//! The sandbox against a plugin that does everything it must not.

mod abi;
mod cache;
mod cassette;
mod components;
mod contract;
mod credentials;
mod dry_run;
mod effects;
mod exhaustion;
mod fuzz;
mod http;
mod isolation;
mod limits;
mod load;
mod oauth;
mod servers;
mod speed;
mod support;
mod tools;

#[test]
fn no_test_file_is_forgotten() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let main = std::fs::read_to_string(here.join("main.rs")).expect("this file");
    for entry in std::fs::read_dir(here).expect("this folder") {
        let name = entry.expect("an entry").file_name().to_string_lossy().replace(".rs", "");
        assert!(name == "main" || main.contains(&format!("mod {name};")), "{name} is not a module of main.rs");
    }
}
