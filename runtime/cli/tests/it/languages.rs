//! The same plugin in every language that has an SDK: the same checks for each component.
//!
//! A language whose tools are not here is skipped, and says why; with `WINDLASS_TEST_LANGUAGES=all`, as in CI, that is a
//! failure.

mod host;
pub(crate) mod service;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};
use windlass_model::event::{Operation, Wake};
use windlass_model::failure::{FailureClass, RetryAdvice, StepError};
use windlass_model::name::ActionName;
use windlass_model::time::Span;
use windlass_sandbox::{
    Access, CallKind, CallOutcome, CallRequest, LogLevel, Plugin, Sandbox, SandboxOptions, WakeUp, inspect,
};

use self::host::Recorder;
use self::service::Jobs;
use crate::support::WINDLASS;

const KEY: &str = "0123456789abcdef0123456789abcdef";

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn scratch(language: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("languages").join(language)
}

fn build(folder: &Path, out: &Path) -> Result<Value, String> {
    let mut command = Command::new(WINDLASS);
    command.args(["--json", "plugin", "build"]).arg(folder).arg("--out").arg(out);
    let built = command.output().expect("windlass starts");
    let said = [&built.stdout, &built.stderr].map(|it| String::from_utf8_lossy(it).into_owned()).concat();
    if !built.status.success() {
        return Err(said);
    }
    let built: Value = serde_json::from_slice(&built.stdout).expect("JSON");
    Ok(built[0].clone())
}

/// The example's component, or none where the tools are absent.
#[expect(clippy::print_stderr, reason = "a skipped test says so and why")]
fn component(language: &str, tools: Result<(), String>) -> Option<PathBuf> {
    if let Err(missing) = tools {
        let why = format!("the example in {language} is not tested: {missing}");
        assert!(std::env::var("WINDLASS_TEST_LANGUAGES").as_deref() != Ok("all"), "{why}");
        eprintln!("skipped: {why}");
        return None;
    }
    let out = scratch(language);
    let built = build(&root().join("sdk").join(language).join("example"), &out).unwrap_or_else(|said| panic!("{said}"));
    Some(PathBuf::from(built["file"].as_str().expect("a file")))
}

/// What the Rust example says of itself, which the others say as well.
pub(crate) fn rust() -> &'static Path {
    static RUST: OnceLock<PathBuf> = OnceLock::new();
    RUST.get_or_init(|| component("rust", Ok(())).expect("Rust is here"))
}

/// The example's component in each language; none where the tools are absent.
pub(crate) fn examples() -> [(&'static str, Option<PathBuf>); 5] {
    [
        ("rust", Some(rust().to_owned())),
        ("js", component("js", node_tools())),
        ("python", component("python", python_tools())),
        ("c", component("c", zig())),
        ("go", component("go", go())),
    ]
}

/// A plugin with all that its calls need.
struct Tested {
    sandbox: Sandbox,
    plugin: Arc<Plugin>,
    jobs: Jobs,
    host: Arc<Recorder>,
    base_url: String,
    allow: Value,
}

impl Tested {
    async fn of(component: &Path) -> Self {
        // Interpreters take seconds to compile: what an earlier run compiled is kept beside the component.
        let cache_dir = component.parent().map(|it| it.join("compiled"));
        let sandbox = Sandbox::new(SandboxOptions { cache_dir, instances_max: 50, ..SandboxOptions::default() });
        let sandbox = sandbox.expect("a sandbox");
        let bytes = std::fs::read(component).expect("the component");
        let plugin = sandbox.prepare(&bytes).await.expect("a plugin");
        let jobs = Jobs::start();
        let base_url = format!("{}/v1", jobs.url);
        Self { sandbox, plugin, jobs, host: Arc::default(), base_url, allow: json!([]) }
    }

    async fn call(&self, kind: CallKind, input: Value, output: Option<Value>) -> Result<CallOutcome, StepError> {
        let operation = if kind == CallKind::Rollback { Operation::Rollback } else { Operation::Start };
        let connection = json!({
            "name": "server", "base_url": self.base_url, "private_network": true, "allow": self.allow,
        });
        let connection = serde_json::from_value(connection).expect("a connection");
        let request = CallRequest {
            kind,
            operation,
            action: "submit".parse().expect("a name"),
            release: "payments-7".to_owned(),
            step: "submit".to_owned(),
            attempt: 1,
            idempotency_key: KEY.to_owned(),
            deadline: None,
            dry_run: false,
            tape: windlass_sandbox::cassette::Tape::Off,
            input: Arc::new(input),
            output: output.map(Arc::new),
            context: windlass_sandbox::context("ana", &[KEY.to_owned()]),
            access: Arc::new(Access {
                connections: [("jobs".parse().expect("a role"), connection)].into(),
                ..Access::default()
            }),
            host: self.host.clone(),
        };
        self.sandbox.call(&self.plugin, request).await.result
    }

    async fn start(&self, input: Value) -> Result<CallOutcome, StepError> {
        self.call(CallKind::Start, input, None).await
    }

    async fn resume(&self, state: &[u8], wake: Wake) -> Result<CallOutcome, StepError> {
        self.call(CallKind::Resume { state: state.to_vec(), wake }, json!({ "title": "index" }), None).await
    }
}

/// A suspension's state, wake-ups and status.
fn suspended(outcome: Result<CallOutcome, StepError>) -> (Vec<u8>, Vec<WakeUp>, String) {
    match outcome {
        Ok(CallOutcome::Suspended { state, wakes, status }) => (state, wakes, status),
        other => panic!("not suspended: {other:?}"),
    }
}

fn failed(outcome: Result<CallOutcome, StepError>) -> (FailureClass, String, RetryAdvice, String) {
    let error = outcome.expect_err("a failure");
    (error.class, error.code, error.advice, error.message)
}

async fn same_checks(component: &Path) {
    says_the_same_of_itself(component);
    submits_once_and_waits(component).await;
    declares_failures(component).await;
    is_called_back(component).await;
    rolls_back_and_finds(component).await;
}

fn says_the_same_of_itself(component: &Path) {
    let manifest = |file: &Path| inspect(&std::fs::read(file).expect("the component")).expect("a manifest").manifest;
    let (its, expected) = (manifest(component), manifest(rust()));
    assert_eq!((&its.name, &its.version, &its.description), (&expected.name, &expected.version, &expected.description));
    let (its, expected) = (&its.actions, &expected.actions);
    assert_eq!(its.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    let name: ActionName = "submit".parse().expect("a name");
    let (its, expected) = (&its[&name], &expected[&name]);
    assert_eq!(its.description, expected.description);
    assert_eq!(its.effect, expected.effect);
    assert_eq!((its.cancel, its.rollback, its.find), (false, true, true));
    assert_eq!(its.connections, expected.connections);
    for (its, expected) in [(&its.input, &expected.input), (&its.output, &expected.output)] {
        let required = |schema: &Value| -> BTreeSet<String> {
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        assert_eq!(required(its), required(expected));
        let fields = |schema: &Value| -> Vec<(String, Value)> {
            let fields = schema["properties"].as_object().expect("fields").iter();
            fields.map(|(name, field)| (name.clone(), field["description"].clone())).collect()
        };
        assert_eq!(fields(its), fields(expected));
    }
    assert_eq!(its.input["additionalProperties"], false);
}

async fn submits_once_and_waits(component: &Path) {
    let tested = Tested::of(component).await;
    let input = json!({ "title": "index" });
    let (_, wakes, status) = suspended(tested.start(input.clone()).await);
    assert_eq!((wakes, status.as_str()), (vec![WakeUp::After(Span(2_000))], "job j-1 is in the queue"));
    let submitted = tested.jobs.seen("POST /v1/jobs");
    assert_eq!(submitted[0].json(), json!({ "title": "index", "priority": "normal" }));
    assert_eq!(submitted[0].header("idempotency-key"), Some(KEY));
    assert_eq!(tested.host.links(), [("job".to_owned(), format!("{}/jobs/j-1", tested.base_url))]);
    let line = tested.host.line("submitted");
    assert_eq!((line.level, line.fields), (LogLevel::Info, vec![("job".to_owned(), "j-1".to_owned())]));

    // Another attempt finds what the first recorded.
    let (state, ..) = suspended(tested.start(input).await);
    assert_eq!(tested.jobs.seen("POST /v1/jobs").len(), 1);

    tested.jobs.will_be("j-1", json!({ "state": "running" }));
    let (state, _, status) = suspended(tested.resume(&state, Wake::Timer).await);
    assert_eq!(status, "job j-1 is running");
    assert_eq!(tested.host.statuses(), ["job j-1 is running"]);

    // What passes is sat out.
    tested.jobs.will_answer(503);
    let (state, _, status) = suspended(tested.resume(&state, Wake::Timer).await);
    assert_eq!(status, "job j-1 cannot be looked at now (http-503)");

    tested.jobs.will_be("j-1", json!({ "state": "done", "artifact": "https://jobs.test/ä", "seconds": 4 }));
    let output = json!({ "id": "j-1", "artifact": "https://jobs.test/ä", "seconds": 4 });
    assert_eq!(tested.resume(&state, Wake::Timer).await, Ok(CallOutcome::Done(output)));
    assert_eq!(tested.host.percents(), [100]);
}

async fn declares_failures(component: &Path) {
    use FailureClass::{Forbidden, Internal, Rejected, Transient, Unauthenticated};
    let mut tested = Tested::of(component).await;
    let error = tested.start(json!({ "title": "bad" })).await.expect_err("it is rejected");
    assert_eq!(error.details, [("title".to_owned(), "bad".to_owned())]);
    let message = "the service rejects `bad`: no such index".to_owned();
    assert_eq!(failed(Err(error)), (Rejected, "job-rejected".to_owned(), RetryAdvice::Never, message));

    // A failure is not recorded, and the server's own words and wish are heeded.
    tested.jobs.will_answer(503);
    let (class, code, retry, message) = failed(tested.start(json!({ "title": "index" })).await);
    assert_eq!((class, code.as_str(), retry), (Transient, "http-503", RetryAdvice::After(Span(7_000))));
    let place = format!("POST {}/jobs was answered with 503: try later", tested.base_url);
    assert_eq!(message, place);

    // The plugin does not know whether a credential was sent, and the host does.
    tested.jobs.will_answer(401);
    let (class, code, _, message) = failed(tested.start(json!({ "title": "index" })).await);
    assert_eq!((class, code.as_str()), (Unauthenticated, "http-401"));
    let told = "`server` answered with 401, and the connection sends no credential";
    assert_eq!(message, format!("POST {}/jobs was answered with 401: try later; {told}", tested.base_url));

    let (state, ..) = suspended(tested.start(json!({ "title": "index" })).await);
    tested.jobs.will_be("j-1", json!({ "state": "failed", "reason": "disk full" }));
    let (class, code, retry, message) = failed(tested.resume(&state, Wake::Timer).await);
    assert_eq!((class, code.as_str(), retry), (Rejected, "job-failed", RetryAdvice::ByPolicy));
    assert_eq!(message, "job j-1 failed: disk full");

    // An answer that is not as expected names the field.
    tested.jobs.will_be("j-1", json!({ "state": 7 }));
    let (class, code, _, message) = failed(tested.resume(&state, Wake::Timer).await);
    assert_eq!((class, code.as_str()), (Internal, "unexpected-response"), "{message}");
    assert!(message.contains("state"), "{message}");

    tested.jobs.will_answer_a_page();
    let (_, _, _, message) = failed(tested.resume(&state, Wake::Timer).await);
    let page = "it is no JSON (text/html) and begins with `<html> <body>Please log in to the corporate network first`";
    assert!(message.ends_with(page), "{message}");

    // A connection that breaks in the middle passes as well.
    tested.jobs.will_break();
    let (_, _, status) = suspended(tested.resume(&state, Wake::Timer).await);
    assert_eq!(status, "job j-1 cannot be looked at now (interrupted)");

    let (class, code, retry, _) = failed(tested.resume(b"{", Wake::Timer).await);
    assert_eq!((class, code.as_str(), retry), (Internal, "state", RetryAdvice::Never));

    // The operator allows only reading: the host says so itself, whatever the plugin makes of it.
    tested.host = Arc::default();
    tested.allow = json!([{ "methods": ["GET"], "path": "/**" }]);
    let (class, code, retry, _) = failed(tested.start(json!({ "title": "index" })).await);
    assert_eq!((class, code.as_str(), retry), (Forbidden, "request-denied", RetryAdvice::ByPolicy));

    tested.allow = json!([]);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    tested.base_url = format!("http://{nobody}");
    let (class, code, retry, _) = failed(tested.start(json!({ "title": "index" })).await);
    assert_eq!((class, code.as_str(), retry), (Transient, "not-connected", RetryAdvice::ByPolicy));
}

async fn is_called_back(component: &Path) {
    let mut tested = Tested::of(component).await;
    let input = json!({ "title": "index", "priority": "high", "notify": true });
    let (state, wakes, _) = suspended(tested.start(input.clone()).await);
    let notify = "https://windlass.test/callback/topic-0";
    assert_eq!(
        tested.jobs.seen("POST /v1/jobs")[0].json(),
        json!({ "title": "index", "priority": "high", "notify": notify })
    );
    let topic = "topic-0".to_owned();
    assert_eq!(wakes, [WakeUp::After(Span(2_000)), WakeUp::Callback(topic.clone())]);
    tested.jobs.will_be("j-1", json!({ "state": "running" }));
    let wake = Wake::Callback { topic, headers: vec![("a".to_owned(), "b".to_owned())], body: b"now".to_vec() };
    let (_, wakes, _) = suspended(tested.resume(&state, wake).await);
    assert_eq!(wakes.len(), 2);
    assert_eq!(tested.host.line("called back").fields, [("topic".to_owned(), "its own".to_owned())]);

    tested.host = Arc::new(Recorder::without_urls());
    let (class, code, retry, _) = failed(tested.start(input).await);
    assert_eq!((class, code.as_str(), retry), (FailureClass::Invalid, "no-callback-url", RetryAdvice::Pause));
}

async fn rolls_back_and_finds(component: &Path) {
    let mut tested = Tested::of(component).await;
    let input = json!({ "title": "index" });
    let withdrawn = |it: &[&str]| Ok(CallOutcome::Done(json!({ "withdrawn": it })));
    assert_eq!(tested.call(CallKind::Find, input.clone(), None).await, Ok(CallOutcome::NotFound));
    assert_eq!(tested.call(CallKind::Rollback, input.clone(), None).await, withdrawn(&[]));

    suspended(tested.start(input.clone()).await);
    let (_, _, status) = suspended(tested.call(CallKind::Find, input.clone(), None).await);
    assert_eq!(status, "job j-1 is queued");
    let output = json!({ "id": "j-1", "artifact": "https://jobs.test/a", "seconds": 4 });
    tested.jobs.will_be("j-1", json!({ "state": "done", "artifact": "https://jobs.test/a", "seconds": 4 }));
    let found = tested.call(CallKind::Find, input.clone(), None).await;
    assert_eq!(found, Ok(CallOutcome::Done(output.clone())));

    // What `start` recorded is enough where there is no output; what is gone already is no failure.
    assert_eq!(tested.call(CallKind::Rollback, input.clone(), None).await, withdrawn(&["j-1"]));
    assert_eq!(tested.jobs.seen("DELETE /v1/jobs/j-1").len(), 1);
    tested.host = Arc::default();
    assert_eq!(tested.call(CallKind::Rollback, input.clone(), Some(output)).await, withdrawn(&[]));

    // A call that was cut off before it heard which job it is: its key is enough.
    suspended(tested.start(input.clone()).await);
    tested.host.forget(&format!("job/{KEY}"));
    assert_eq!(tested.call(CallKind::Rollback, input, None).await, withdrawn(&["j-1"]));
}

#[tokio::test]
async fn rust_does_what_the_others_do() {
    same_checks(rust()).await;
}

fn node_tools() -> Result<(), String> {
    let tools = root().join("sdk/js/example/node_modules/@bytecodealliance/componentize-js/package.json");
    if tools.is_file() { Ok(()) } else { Err("`npm ci` was not run in sdk/js/example".to_owned()) }
}

#[tokio::test]
async fn javascript() {
    let Some(component) = component("js", node_tools()) else { return };
    same_checks(&component).await;
    // The same source is the same component.
    let again = build(&root().join("sdk/js/example"), &scratch("js")).expect("it builds");
    assert_eq!(again["kept"], true);
}

fn starts(program: &Path, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|it| it.status.success())
}

/// The tool of the folder's virtual environment, or of the path.
fn python_tools() -> Result<(), String> {
    let own = root().join("sdk/python/example/.venv/bin/componentize-py");
    if starts(&own, &["--version"]) || starts(Path::new("componentize-py"), &["--version"]) {
        return Ok(());
    }
    Err("componentize-py is neither in sdk/python/example/.venv nor on the path".to_owned())
}

#[tokio::test]
async fn python() {
    let Some(component) = component("python", python_tools()) else { return };
    same_checks(&component).await;
    let again = build(&root().join("sdk/python/example"), &scratch("python")).expect("it builds");
    assert_eq!(again["kept"], true);
}

fn zig() -> Result<(), String> {
    let own = root().join("sdk/c/example/.venv/bin/python");
    let module = ["-m", "ziglang", "version"];
    if starts(&own, &module) || starts(Path::new("zig"), &["version"]) || starts(Path::new("python3"), &module) {
        return Ok(());
    }
    Err("Zig is neither in sdk/c/example/.venv nor on the path".to_owned())
}

/// A copy of an SDK's folder elsewhere, with the tools of the original.
fn moved(language: &str) -> tempfile::TempDir {
    let elsewhere = tempfile::tempdir().expect("a folder");
    let from = root().join("sdk").join(language);
    copy_sources(&from, elsewhere.path());
    let tools = from.join("example/.venv");
    if let Ok(tools) = tools.canonicalize() {
        std::os::unix::fs::symlink(tools, elsewhere.path().join("example/.venv")).expect("a link");
    }
    elsewhere
}

fn copy_sources(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("the SDK").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type().expect("its type").is_dir() {
            if name != ".venv" && name != "target" {
                copy_sources(&path, &to.join(name));
            }
        } else if entry.file_type().expect("its type").is_file() {
            std::fs::copy(&path, to.join(name)).expect("a copy");
        }
    }
}

/// Compilers make the same bytes of the same source, wherever it lies.
fn same_digest_elsewhere(language: &str) {
    let elsewhere = moved(language);
    let out = elsewhere.path().join("out");
    let built = build(&elsewhere.path().join("example"), &out).unwrap_or_else(|said| panic!("{said}"));
    let here = std::fs::read(scratch(language).join("jobs-0.1.0.wasm")).expect("the component");
    let there = std::fs::read(built["file"].as_str().expect("a file")).expect("the component");
    assert!(here == there, "the component of {language} depends on where its source lies");
}

#[tokio::test]
async fn c() {
    let Some(component) = component("c", zig()) else { return };
    same_checks(&component).await;
    same_digest_elsewhere("c");
}

/// Runs what tests an SDK, or its example, outside of a component.
#[expect(clippy::print_stderr, reason = "a skipped test says so and why")]
fn outside(command: &mut Command) {
    let program = PathBuf::from(command.get_program());
    if !starts(&program, &["--version"]) && !starts(&program, &["version"]) {
        let why = format!("{command:?} was not run: {} cannot be started", program.display());
        assert!(std::env::var("WINDLASS_TEST_LANGUAGES").as_deref() != Ok("all"), "{why}");
        eprintln!("skipped: {why}");
        return;
    }
    let ran = command.output().expect("it starts");
    let said = [ran.stdout, ran.stderr].map(|it| String::from_utf8_lossy(&it).into_owned()).concat();
    assert!(ran.status.success(), "{command:?}: {said}");
}

#[test]
fn the_sdk_for_javascript_passes_its_tests() {
    outside(Command::new("node").args(["--test", "test/"]).current_dir(root().join("sdk/js")));
    if node_tools().is_ok() {
        outside(Command::new("node").args(["--test", "test/"]).current_dir(root().join("sdk/js/example")));
    }
}

#[test]
fn the_sdk_for_python_passes_its_tests() {
    for (folder, path) in [("sdk/python", "src"), ("sdk/python/example", "src:../src")] {
        let mut command = Command::new("python3");
        command.args(["-m", "unittest", "discover", "-s", "tests"]).env("PYTHONPATH", path);
        outside(command.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(root().join(folder)));
    }
}

#[test]
fn the_sdk_for_c_passes_its_tests() {
    let scratch = scratch("c-outside");
    std::fs::create_dir_all(&scratch).expect("a folder");
    let example = ["example/plugin.c", "example/tests/test_jobs.c"];
    for sources in [&["tests/test_calls.c"][..], &["tests/test_tables.c"], &example] {
        let program = scratch.join(sources[0].replace('/', "-"));
        let mut compiling = Command::new("cc");
        compiling.args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Iinclude", "-Isrc"]).args(sources);
        compiling.args([
            "src/json.c",
            "src/plugin.c",
            "src/types.c",
            "src/windlass.c",
            "testing/windlass_mock.c",
            "-lm",
            "-o",
        ]);
        outside(compiling.arg(&program).current_dir(root().join("sdk/c")));
        if program.is_file() {
            let ran = Command::new(&program).output().expect("it starts");
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        }
    }
}

/// A field that is declared as something else than it is would hold another number, and nothing would say so.
#[test]
fn c_does_not_compile_where_a_field_is_not_what_its_table_says() {
    let folder = scratch("c-wrong");
    std::fs::create_dir_all(&folder).expect("a folder");
    if !starts(Path::new("cc"), &["--version"]) {
        return outside(&mut Command::new("cc"));
    }
    let source = |member: &str, kind: &str| {
        let text = format!(
            "#include <windlass.h>\ntypedef struct {{ {member} it; }} t;\n\
             static const wl_field fields[] = {{WL_FIELD(t, it, {kind})}};\n\
             const wl_type type = WL_TYPE(t, fields);\n"
        );
        std::fs::write(folder.join("field.c"), text).expect("written");
        let mut compiling = Command::new("cc");
        compiling.args(["-std=gnu11", "-fsyntax-only", "-I"]).arg(root().join("sdk/c/include")).arg("field.c");
        let ran = compiling.current_dir(&folder).output().expect("it starts");
        (ran.status.success(), String::from_utf8_lossy(&ran.stderr).into_owned())
    };
    for (member, kind) in [
        ("const char *", "WL_TEXT"),
        ("int64_t", "WL_INTEGER"),
        ("double", "WL_NUMBER"),
        ("bool", "WL_BOOLEAN"),
        ("wl_list", "WL_LIST"),
        ("wl_json *", "WL_ANY"),
        ("struct { bool in; }", "WL_STRUCT"),
    ] {
        let (is_good, said) = source(member, kind);
        assert!(is_good, "{member}: {said}");
    }
    for (member, kind) in [
        ("int", "WL_INTEGER"),
        ("float", "WL_NUMBER"),
        ("int", "WL_BOOLEAN"),
        ("int64_t", "WL_TEXT"),
        ("wl_list", "WL_STRUCT"),
        ("int", "WL_STRUCT"),
    ] {
        let (is_good, said) = source(member, kind);
        let says = format!("`it` is {kind} and has another C type: const char * is WL_TEXT");
        assert!(!is_good && said.contains(&says), "{member} as {kind}: {said}");
    }
}

/// What `wl_done` is given is read as the struct of the output; JSON is none.
#[test]
fn c_does_not_compile_where_an_output_is_json() {
    let folder = scratch("c-output");
    std::fs::create_dir_all(&folder).expect("a folder");
    if !starts(Path::new("cc"), &["--version"]) {
        return outside(&mut Command::new("cc"));
    }
    for (given, is_good) in [("const out *", true), ("const void *", true), ("const wl_json *", false)] {
        let text = format!(
            "#include <windlass.h>\ntypedef struct {{ bool is; }} out;\n\
             wl_outcome end(wl_ctx *ctx, {given} it);\n\
             wl_outcome end(wl_ctx *ctx, {given} it) {{ return wl_done(ctx, it); }}\n"
        );
        std::fs::write(folder.join("output.c"), text).expect("written");
        let mut compiling = Command::new("cc");
        compiling.args(["-std=gnu11", "-fsyntax-only", "-I"]).arg(root().join("sdk/c/include")).arg("output.c");
        let ran = compiling.current_dir(&folder).output().expect("it starts");
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.success(), is_good, "{given}: {said}");
        assert_eq!(said.contains("this is JSON: write `wl_done_json`"), !is_good, "{given}: {said}");
    }
}

fn go() -> Result<(), String> {
    if starts(&root().join("sdk/go/example/.venv/bin/go"), &["version"]) || starts(Path::new("go"), &["version"]) {
        return Ok(());
    }
    Err("Go is neither in sdk/go/example/.venv nor on the path".to_owned())
}

#[tokio::test]
async fn go_does_what_the_others_do() {
    let Some(component) = component("go", go()) else { return };
    same_checks(&component).await;
    same_digest_elsewhere("go");
}

#[test]
fn the_sdk_for_go_passes_its_tests() {
    let own = root().join("sdk/go/example/.venv/bin/go");
    let go = if own.is_file() { own } else { PathBuf::from("go") };
    for folder in ["sdk/go", "sdk/go/example"] {
        outside(Command::new(&go).args(["test", "./..."]).current_dir(root().join(folder)));
    }
}
