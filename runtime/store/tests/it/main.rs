//! The tests of the store, one module per subject.

mod archive;
mod backup;
mod damage;
mod folder;
mod full;
mod fuzz;
mod golden;
mod killed;
mod repair;
mod retention;
mod sample;
mod suite;

/// Every file here is a module above; a forgotten one would be a test that never runs.
#[test]
fn no_file_is_forgotten() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let declared = std::fs::read_to_string(here.join("main.rs")).expect("read");
    for entry in std::fs::read_dir(here).expect("read") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        let module = name.strip_suffix(".rs").expect("a module");
        assert!(module == "main" || declared.contains(&format!("\nmod {module};\n")), "{name} is no module");
    }
}
