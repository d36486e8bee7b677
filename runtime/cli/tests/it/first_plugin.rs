//! The first plugin of `sdk/README.md`, followed to the letter.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Service, Site, WINDLASS};

const README: &str = include_str!("../../../../sdk/README.md");

/// What the page puts into files: a name in backquotes at the beginning of a line, then a code block.
fn files() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut lines = README.lines();
    let mut name = None;
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|it| *it != "```").collect();
            if let Some(name) = name.take() {
                files.insert(name, block.join("\n") + "\n");
            }
        } else if let Some(rest) = line.strip_prefix('`') {
            name = rest.split_once('`').map(|(name, _)| name.to_owned()).filter(|it| it.contains('.'));
        } else if !line.trim().is_empty() {
            name = None;
        }
    }
    files
}

fn succeeds(command: &mut Command) {
    let ran = command.output().expect("it starts");
    let said = [ran.stdout, ran.stderr].map(|it| String::from_utf8_lossy(&it).into_owned()).concat();
    assert!(ran.status.success(), "{command:?}: {said}");
}

#[test]
fn the_first_plugin_of_the_readme_runs() {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout");
    // Kept, so that the next run compiles nothing anew.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("first-plugin/weather");
    let files = files();
    assert_eq!(files.keys().collect::<Vec<_>>(), ["Cargo.toml", "outing.yaml", "src/lib.rs", "tests/weather.rs"]);
    for (name, text) in &files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("its folder");
        let mut text = text.replace("../windlass/", &format!("{}/", checkout.display()));
        if name == "Cargo.toml" {
            // It lies within the checkout's folder for tests, and is no part of the checkout's workspace.
            text.push_str("\n[workspace]\n");
        }
        std::fs::write(path, text).expect("the file");
    }
    // The versions that everything here is tested with; a newcomer gets the newest.
    std::fs::copy(checkout.join("Cargo.lock"), folder.join("Cargo.lock")).expect("the locked versions");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    succeeds(Command::new(cargo).arg("test").current_dir(&folder).env("CARGO_TARGET_DIR", folder.join("target")));
    succeeds(Command::new(WINDLASS).args(["plugin", "build", "."]).current_dir(&folder));

    let service = Service::start();
    service.answers("/reports/Oslo", 200, r#"{ "temperature": 3.5, "warning": null }"#);
    let site = Site::empty();
    site.write("outing.yaml", &files["outing.yaml"]);
    let component: PathBuf = folder.join("target/windlass/weather-0.1.0.wasm");
    site.good(&["plugin", "install", &component.display().to_string()]);
    site.good(&["connection", "add", "weather", "--url", &service.url, "--private-network"]);
    let good = site.run(&["--json", "run", "outing.yaml"]);
    assert_eq!(good.code, Some(0), "{good:?}");
    let shown = site.json(&["release", "show", "outing-1"]);
    assert_eq!(shown["release"]["outputs"]["temperature"], 3.5, "{shown}");

    service.answers("/reports/Oslo", 200, r#"{ "temperature": 3.5, "warning": "gale" }"#);
    let bad = site.run(&["run", "outing.yaml"]);
    assert_eq!(bad.code, Some(1), "{bad:?}");
    let shown = site.good(&["release", "show", "outing-2"]);
    assert!(shown.stdout.contains("storm-warning") && shown.stdout.contains("gale"), "{shown:?}");
    let logs = site.good(&["release", "logs", "outing-2", "--requests"]);
    assert!(logs.stdout.contains("/reports/Oslo") && logs.stdout.contains("Oslo: 3.5 °C"), "{logs:?}");
}
