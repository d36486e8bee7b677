//! The model crate's tests from outside: files in, problems, plans and drawings out.

mod catalog;
mod copies;
mod draw;
mod fuzz;
mod given;
mod plan;
mod schedule;
mod schema;
mod wrong;

#[test]
fn no_file_is_forgotten() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let main = std::fs::read_to_string(here.join("main.rs")).expect("this file");
    for entry in std::fs::read_dir(&here).expect("this folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        if let Some(module) = name.strip_suffix(".rs").filter(|it| *it != "main") {
            assert!(main.contains(&format!("mod {module};")), "{name} is not part of the tests");
        }
    }
}

/// The folder of workflows that users see.
fn workflows() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workflows")
}

/// The workflow files that users see, with their names.
fn workflow_files() -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = std::fs::read_dir(workflows())
        .expect("the folder of workflows")
        .map(|it| it.expect("an entry").path())
        .filter(|it| it.extension().is_some_and(|it| it == "yaml"))
        .map(|it| {
            (
                it.file_name().expect("a name").to_string_lossy().into_owned(),
                std::fs::read_to_string(&it).expect("a file"),
            )
        })
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}
