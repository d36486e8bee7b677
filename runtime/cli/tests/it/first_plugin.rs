//! The first plugin, in each language the same one: each SDK's page, followed to the letter.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use crate::author_loop::{Tools, scaffolded};
use crate::support::{Service, Site};

/// The part of a page that is the tutorial.
fn tutorial(page: &str) -> &str {
    let (_, part) = page.split_once("\n## A first plugin\n").expect("the tutorial");
    part.split("\n## ").next().unwrap_or(part)
}

/// What the page puts into files: a name in backquotes at the beginning of a line, then a code block.
fn files(tutorial: &str) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut lines = tutorial.lines();
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

/// A command in the plugin's folder that may compile for minutes.
fn succeeds(site: &Site, arguments: &[&str]) -> String {
    let ran = site.command(arguments).stdin(Stdio::null()).output().expect("windlass starts");
    let said = [ran.stdout, ran.stderr].map(|it| String::from_utf8_lossy(&it).into_owned()).concat();
    assert!(ran.status.success(), "{arguments:?}: {said}");
    said
}

const GOOD: &str = r#"{ "temperature": 3.5, "warning": null }"#;
const BAD: &str = r#"{ "temperature": 3.5, "warning": "gale" }"#;

/// What the test below does, as the page says it.
const COMMANDS: [&str; 8] = [
    "windlass plugin test .\n",
    "windlass plugin build .\n",
    "windlass plugin run . check-warnings --with '{\"place\": \"Oslo\"}' --connection weather=http://127.0.0.1:8000\n",
    "windlass plugin install target/windlass/weather-0.1.0.wasm\n",
    "windlass connection add weather --url http://127.0.0.1:8000 --private-network\n",
    "windlass run outing.yaml\n",
    "windlass release show outing-2\n",
    "windlass release logs outing-2 --requests\n",
];

fn followed(language: &str, tools: Tools, page: &str, expected: [&str; 2]) {
    let part = tutorial(page);
    for command in COMMANDS {
        assert!(part.contains(command), "the page in {language} does not say {command}");
    }
    assert!(part.contains(&format!("windlass plugin new weather --lang {language} && cd weather\n")), "{part}");
    for body in [GOOD, BAD] {
        assert!(part.contains(&format!("echo '{body}' > service/reports/Oslo")), "{part}");
    }
    let files = files(part);
    let expected = BTreeSet::from([expected[0], expected[1], "outing.yaml"]);
    assert_eq!(files.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected);

    let site = Site::empty();
    let Some(folder) = scaffolded(&site, language, "weather", tools) else { return };
    for (name, text) in &files {
        let is_there = folder.join(name).is_file();
        assert!(is_there || name == "outing.yaml", "{name} takes the place of nothing that `plugin new` makes");
        std::fs::write(folder.join(name), text).expect("the file");
    }
    let plugin = folder.to_str().expect("UTF-8");
    let tested = succeeds(&site, &["plugin", "test", plugin]);
    assert!(tested.contains("all tests pass"), "{tested}");
    succeeds(&site, &["plugin", "build", plugin]);

    let service = Service::start();
    service.answers("/reports/Oslo", 200, GOOD);
    let component = folder.join("target/windlass/weather-0.1.0.wasm").display().to_string();
    let at = format!("weather={}", service.url);
    let run = ["plugin", "run", &component, "check-warnings", "--with", r#"{"place": "Oslo"}"#, "--connection", &at];
    let ran = succeeds(&site, &run);
    assert!(ran.starts_with("{\n  \"temperature\": 3.5\n}\n"), "the output alone goes to standard output: {ran}");
    succeeds(&site, &["plugin", "install", &component]);
    site.good(&["connection", "add", "weather", "--url", &service.url, "--private-network"]);
    let outing = folder.join("outing.yaml").display().to_string();
    let ran = site.json(&["run", &outing]);
    assert_eq!(ran["outputs"]["temperature"], 3.5, "{ran}");

    service.answers("/reports/Oslo", 200, BAD);
    let bad = site.run(&["run", &outing]);
    assert_eq!(bad.code, Some(1), "{bad:?}");
    let shown = site.good(&["release", "show", "outing-2"]);
    assert!(shown.stdout.contains("storm-warning") && shown.stdout.contains("gale"), "{shown:?}");
    let logs = site.good(&["release", "logs", "outing-2", "--requests"]);
    assert!(logs.stdout.contains("/reports/Oslo") && logs.stdout.contains("Oslo"), "{logs:?}");
}

#[test]
fn the_first_plugin_in_rust() {
    let page = include_str!("../../../../sdk/README.md");
    followed("rust", Tools::Cargo, page, ["src/lib.rs", "tests/plugin.rs"]);
}

#[test]
fn the_first_plugin_in_javascript() {
    let page = include_str!("../../../../sdk/js/README.md");
    followed("js", Tools::NodeModules, page, ["src/plugin.js", "test/plugin.test.js"]);
}

#[test]
fn the_first_plugin_in_python() {
    let page = include_str!("../../../../sdk/python/README.md");
    followed("python", Tools::Environment, page, ["src/plugin.py", "tests/test_plugin.py"]);
}

#[test]
fn the_first_plugin_in_c() {
    let page = include_str!("../../../../sdk/c/README.md");
    followed("c", Tools::Environment, page, ["plugin.c", "tests/test_plugin.c"]);
}

#[test]
fn the_first_plugin_in_go() {
    let page = include_str!("../../../../sdk/go/README.md");
    followed("go", Tools::Environment, page, ["main.go", "plugin_test.go"]);
}
