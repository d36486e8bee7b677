//! A plugin to begin with: the SDKs' example under a name of its own, in a folder that needs nothing beside it.
//!
//! The example is what all languages are tested with, so what a newcomer gets is what is known to work: an action with a
//! typed input and output, a suspended wait, failures of its own, a rollback, a look for what was done, and tests.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use windlass_model::name::PluginName;

use super::{Language, sdk, tools};

/// Makes the folder of a new plugin: the files that were made, without the SDK's.
pub(crate) fn new(language: Language, name: &PluginName, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let name = name.as_str();
    let is_empty = std::fs::read_dir(folder).is_ok_and(|mut it| it.next().is_none());
    anyhow::ensure!(
        !folder.exists() || is_empty,
        "{} is there already and is not an empty folder; name another with `--in FOLDER`",
        folder.display()
    );
    let mut files = files(language, name);
    files.push(("README.md", readme(language, name)));
    files.push(("release.yaml", RELEASE.replace("PLUGIN", name)));
    files.push(("conformance.yaml", sdk::example(language, "conformance.yaml").to_owned()));
    files.push((".gitignore", ignored(language).to_owned()));
    for (file, text) in &files {
        write(&folder.join(file), text)?;
    }
    sdk::unpack(language, &folder.join(sdk::FOLDER))?;
    // Versions that are tested; cargo takes out what the plugin does not use.
    if language == Language::Rust {
        write(&folder.join("Cargo.lock"), sdk::CARGO_LOCK)?;
    }
    Ok(files.into_iter().map(|(file, _)| folder.join(file)).collect())
}

pub(super) fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    let parent = file.parent().unwrap_or(file);
    std::fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
    std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))
}

const RELEASE: &str = include_str!("scaffold/release.yaml");
const CARGO_TOML: &str = include_str!("scaffold/rust.toml");
const PACKAGE_JSON: &str = include_str!("scaffold/package.json");
const PYPROJECT: &str = include_str!("scaffold/pyproject.toml");
const WINDLASS_TOML: &str = include_str!("scaffold/c.toml");
const GO_MOD: &str = include_str!("scaffold/go.mod.txt");
const README: &str = include_str!("scaffold/README.md");

/// The plugin's own files.
fn files(language: Language, name: &str) -> Vec<(&'static str, String)> {
    let example = |file: &str, of: &str, is: &str| {
        let text = sdk::example(language, file);
        // Each is there once, which a test looks at.
        text.replacen(of, is, 1)
    };
    let ident = name.replace('-', "_");
    match language {
        Language::Rust => vec![
            ("Cargo.toml", CARGO_TOML.replace("PLUGIN", name)),
            ("src/lib.rs", example("src/lib.rs", "name: \"jobs\"", &format!("name: \"{name}\""))),
            ("tests/plugin.rs", example("tests/jobs.rs", "windlass_plugin_jobs", &format!("windlass_plugin_{ident}"))),
        ],
        Language::JavaScript => {
            let tools: Vec<String> = tools::of("javascript")
                .into_iter()
                .map(|(tool, version)| format!("\"{tool}\": \"{version}\""))
                .collect();
            let package = PACKAGE_JSON.replace("PLUGIN", name).replace("\"TOOLS\": \"\"", &tools.join(",\n    "));
            vec![
                ("package.json", package),
                ("src/plugin.js", example("src/plugin.js", "name: 'jobs'", &format!("name: '{name}'"))),
                ("test/plugin.test.js", sdk::example(language, "test/jobs.test.js").to_owned()),
            ]
        }
        Language::Python => vec![
            ("pyproject.toml", PYPROJECT.replace("PLUGIN", name)),
            ("src/plugin.py", example("src/jobs.py", "name=\"jobs\"", &format!("name=\"{name}\""))),
            ("tests/test_plugin.py", example("tests/test_jobs.py", "from jobs import", "from plugin import")),
        ],
        Language::C => vec![
            ("windlass.toml", WINDLASS_TOML.to_owned()),
            ("plugin.c", example("plugin.c", ".name = \"jobs\", .version", &format!(".name = \"{name}\", .version"))),
            ("tests/test_plugin.c", c_test()),
        ],
        Language::Go => vec![
            ("go.mod", GO_MOD.replace("PLUGIN", name)),
            ("main.go", example("main.go", "Name:        \"jobs\"", &format!("Name:        \"{name}\""))),
            ("plugin_test.go", sdk::example(language, "jobs_test.go").to_owned()),
        ],
    }
}

/// The example's, whose first line says how it is compiled there.
fn c_test() -> String {
    let text = sdk::example(Language::C, "tests/test_jobs.c");
    let text = text.split_once('\n').map_or(text, |(_, rest)| rest);
    let text = text.replacen("\"../../testing/windlass_mock.h\"", "<windlass_mock.h>", 1);
    format!(
        "/* The plugin's tests, native and against a host whose answers are scripted: `windlass plugin test .` */\n{text}"
    )
}

fn ignored(language: Language) -> &'static str {
    match language {
        Language::Rust => "/target\n/.windlass\n",
        Language::JavaScript => "/node_modules\n/target\n/.windlass\n",
        Language::Python => "/.venv\n/target\n/.windlass\n__pycache__\n",
        Language::C | Language::Go => "/.venv\n/target\n/.windlass\n",
    }
}

fn readme(language: Language, name: &str) -> String {
    let (source, install) = match language {
        Language::Rust => ("src/lib.rs", "Nothing but Rust is needed."),
        Language::JavaScript => {
            ("src/plugin.js", "`windlass plugin build . --install-tools` runs `npm install` first.")
        }
        Language::Python => (
            "src/plugin.py",
            "`windlass plugin build . --install-tools` installs componentize-py first, once for all your plugins.",
        ),
        Language::C => (
            "plugin.c",
            "`windlass plugin build . --install-tools` installs Zig's C compiler first, once for all your plugins.",
        ),
        Language::Go => (
            "main.go",
            "`windlass plugin build . --install-tools` installs Go, once for all your plugins, unless it is on the path.",
        ),
    };
    README.replace("PLUGIN", name).replace("SOURCE", source).replace("INSTALL", install)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_of_the_example_is_replaced() {
        for (language, project, _) in Language::ALL {
            let one = files(language, "weather-report");
            let other = files(language, "jobs");
            let named: Vec<&str> = one
                .iter()
                .filter(|(file, text)| other.iter().any(|(it, other)| it == file && other != text))
                .map(|(file, _)| *file)
                .collect();
            let expected: &[&str] = match language {
                Language::Rust => &["Cargo.toml", "src/lib.rs", "tests/plugin.rs"],
                Language::JavaScript => &["package.json", "src/plugin.js"],
                Language::Python => &["pyproject.toml", "src/plugin.py"],
                Language::C => &["plugin.c"],
                Language::Go => &["go.mod", "main.go"],
            };
            assert_eq!(named, expected, "{project}");
            for (file, text) in &one {
                assert!(!text.contains("PLUGIN") && !text.contains("windlass_plugin_jobs"), "{project}: {file}");
            }
        }
        let test = c_test();
        assert!(test.contains("#include <windlass_mock.h>") && !test.contains("../../"), "{test}");
        let python = files(Language::Python, "x");
        assert!(python[2].1.contains("from plugin import plugin"));
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("mine"), "").expect("a file");
        let name = "weather".parse().expect("a name");
        let error = new(Language::C, &name, folder.path()).expect_err("it is not empty").to_string();
        assert!(error.contains("--in FOLDER"), "{error}");
    }

    #[test]
    fn any_name_that_workflows_take_is_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let name = "weather_eu-1".parse().expect("a name that workflows take");
        for (language, project, _) in Language::ALL {
            let folder = folder.path().join(project);
            new(language, &name, &folder).expect("it is made");
            assert!(folder.join(project).is_file(), "{project}");
        }
    }
}
