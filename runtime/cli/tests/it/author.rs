//! The author's loop on one component: looking it over, comparing, trying out. The component is the SDKs' example.

use serde_json::{Value, json};
use windlass_sandbox::{embed_manifest, inspect};

use crate::languages::rust;
use crate::languages::service::Jobs;
use crate::support::{Ran, Site, component, noop};

/// The example's component with another manifest embedded, beside a site's state directory.
fn changed(site: &Site, name: &str, change: impl FnOnce(&mut Value)) {
    let bytes = std::fs::read(rust()).expect("the component");
    let manifest = inspect(&bytes).expect("a manifest").manifest;
    let mut manifest = serde_json::to_value(&manifest).expect("JSON");
    change(&mut manifest);
    let changed = embed_manifest(&bytes, &manifest.to_string()).expect("a component");
    std::fs::write(site.path(name), changed).expect("the file");
}

fn jobs() -> &'static str {
    rust().to_str().expect("a path in UTF-8")
}

#[test]
fn a_component_is_looked_over_without_a_server() {
    let site = Site::empty();
    let good = site.json(&["plugin", "check", jobs()]);
    assert_eq!(good[0]["findings"], json!([]), "{good}");
    assert!(good[0]["anatomy"]["imports"].to_string().contains("windlass:plugin/checkpoint@0.1"), "{good}");
    assert!(!site.state().exists(), "it made a state directory");

    // What the component itself says is another thing.
    changed(&site, "other.wasm", |it| it["actions"]["submit"]["effect"] = json!("read"));
    let bad = site.run(&["plugin", "check", "other.wasm"]);
    assert_eq!(bad.code, Some(1), "{bad:?}");
    assert!(bad.stdout.contains("problem") && bad.stdout.contains("at `/actions/submit/effect`"), "{bad:?}");

    changed(&site, "never.wasm", |it| {
        it["actions"]["submit"]["input"]["properties"]["notify"]["default"] = json!("no");
        it["actions"]["submit"]["connections"]["jobs"]["requests"][0]["methods"] = json!(["TRACE", "GTE"]);
    });
    let bad = site.run(&["plugin", "check", "never.wasm", jobs()]);
    assert_eq!(bad.code, Some(1), "{bad:?}");
    for expected in
        ["the default \"no\" of `notify`", "`TRACE` requests are never sent", "did you mean `GET`", "3 to mend"]
    {
        assert!(bad.stdout.contains(expected), "{expected:?} is not in {bad:?}");
    }

    site.write("text.wasm", "text");
    let bad = site.run(&["plugin", "check", "text.wasm"]);
    assert!(bad.code == Some(1) && bad.stdout.contains("no WebAssembly component"), "{bad:?}");
    let missing = site.run(&["plugin", "check", "missing.wasm"]);
    assert!(missing.code == Some(2) && missing.stderr.contains("missing.wasm cannot be read"), "{missing:?}");
}

#[test]
fn two_versions_are_compared() {
    let site = Site::empty();
    let same = site.good(&["plugin", "diff", jobs(), jobs()]);
    assert!(same.stdout.contains("the same component"), "{same:?}");

    changed(&site, "newer.wasm", |it| {
        it["version"] = json!("0.1.1");
        it["actions"]["submit"]["output"]["properties"]["log"] = json!({ "type": "string" });
    });
    let newer = site.good(&["plugin", "diff", jobs(), "newer.wasm"]);
    assert!(
        newer.stdout.contains("output: `log` is new") && newer.stdout.contains("can take the place of 0.1.0"),
        "{newer:?}"
    );

    changed(&site, "twin.wasm", |it| it["description"] = json!("Another one."));
    let twin = site.good(&["plugin", "diff", jobs(), "twin.wasm"]);
    assert!(twin.stdout.contains("where one is installed the other is refused"), "{twin:?}");

    changed(&site, "wider.wasm", |it| {
        it["version"] = json!("0.1.1");
        let role = &mut it["actions"]["submit"]["connections"]["jobs"]["requests"];
        role.as_array_mut().expect("rules").push(json!({ "methods": ["PUT"], "path": "/jobs/*" }));
    });
    let wider = site.run(&["plugin", "diff", jobs(), "wider.wasm"]);
    assert_eq!(wider.code, Some(1), "{wider:?}");
    assert!(wider.stdout.contains("it makes `PUT /jobs/*` as well") && !wider.stdout.contains("promises"), "{wider:?}");

    changed(&site, "breaking.wasm", |it| {
        it["version"] = json!("0.1.1");
        it["actions"]["submit"]["rollback"] = json!(false);
    });
    let breaking = site.run(&["--json", "plugin", "diff", jobs(), "breaking.wasm"]);
    assert_eq!(breaking.code, Some(1), "{breaking:?}");
    let view = breaking.json();
    assert_eq!(view["differences"][0]["impact"], "breaking", "{view}");
    assert!(view["broken_promise"].as_str().expect("a promise").ends_with("0.2.0"), "{view}");

    let unknown = site.run(&["plugin", "diff", "jobs", jobs()]);
    assert!(
        unknown.code == Some(2) && unknown.stderr.contains("neither a file nor an installed plugin"),
        "{unknown:?}"
    );
    site.good(&["plugin", "install", jobs()]);
    let other = component("hostile");
    let other = other.to_str().expect("text");
    let [of_file, of_installed] =
        [jobs(), "jobs@0.1.0"].map(|old| site.run(&["--json", "plugin", "diff", old, other]).json());
    assert_eq!(of_file, of_installed, "what an installed one imports is compared, too");
    assert!(of_file.to_string().contains("of the host"), "{of_file}");
}

struct Tried {
    site: Site,
    jobs: Jobs,
    connection: String,
}

impl Tried {
    fn new() -> Self {
        let jobs = Jobs::start();
        let connection = format!("jobs={}/v1", jobs.url);
        Self { site: Site::empty(), jobs, connection }
    }

    fn run(&self, more: &[&str]) -> Ran {
        self.site.run(&[&["plugin", "run", jobs(), "--connection", &self.connection], more].concat())
    }

    fn json(&self, more: &[&str]) -> Value {
        self.run(&[&["--json"], more].concat()).json()
    }
}

pub(crate) const INPUT: [&str; 2] = ["--with", r#"{"title":"index"}"#];

fn happened<'v>(view: &'v Value, what: &str) -> Vec<&'v Value> {
    view["happened"].as_array().expect("a list").iter().filter(|it| it["happened"] == what).collect()
}

#[test]
fn an_action_is_tried_out_and_each_call_of_the_host_is_shown() {
    let tried = Tried::new();
    tried.jobs.will_end(json!({ "state": "done", "artifact": "https://jobs.test/a", "seconds": 4 }));
    let ran = tried.run(&INPUT);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let output: Value = serde_json::from_str(&ran.stdout).expect("the output is JSON alone");
    assert_eq!(output, json!({ "id": "j-1", "artifact": "https://jobs.test/a", "seconds": 4 }));
    let expected = [
        "submit: start",
        "connection jobs is jobs",
        "/v1/jobs  201",
        "checkpoint job recorded: \"j-1\"",
        "info submitted  job=j-1",
        "link job: http",
        "suspended: job j-1 is in the queue; wakes after 2s",
        "submit: resume, by its timer",
        "/v1/jobs/j-1  200",
        "progress 100 %",
        "done",
        "2 calls",
    ];
    let mut rest = ran.stderr.as_str();
    for part in expected {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} does not come in its place: {}", ran.stderr));
        rest = &rest[at + part.len()..];
    }
    assert!(!tried.site.state().exists(), "it made a state directory");
}

#[test]
fn what_is_suspended_is_kept_and_another_command_goes_on_and_rolls_back() {
    let tried = Tried::new();
    let view = tried.json(&[&INPUT[..], &["--no-wait", "--save", "step.json"]].concat());
    let recorded = view["session"]["checkpoints"].as_object().expect("an object");
    let job = recorded.iter().find_map(|(name, it)| name.starts_with("job/").then_some(it));
    assert_eq!((&view["ended"], job), (&json!("suspended"), Some(&json!("\"j-1\""))));
    assert_eq!(view["session"]["waiting"]["wakes"], json!(["after 2s"]));
    // Another attempt finds what was recorded, and so does a rollback of what never ended.
    std::fs::copy(tried.site.path("step.json"), tried.site.path("cut-off.json")).expect("a copy");
    let view = tried.json(&["--resume", "cut-off.json", "--rollback"]);
    assert_eq!(
        (&view["output"], &happened(&view, "checkpoint")[0]["earlier"]),
        (&json!({ "withdrawn": ["j-1"] }), &json!(true))
    );
    tried.json(&[&INPUT[..], &["--no-wait", "--save", "step.json"]].concat());
    tried.jobs.will_be("j-1", json!({ "state": "done", "artifact": "a", "seconds": 4 }));
    let view = tried.json(&["--resume", "step.json", "--save", "step.json"]);
    assert_eq!((&view["ended"], &view["output"]["seconds"]), (&json!("done"), &json!(4)));
    assert_eq!(happened(&view, "called")[0]["function"], "resume, by its timer");
    let view = tried.json(&["--resume", "step.json", "--rollback"]);
    assert_eq!(view["output"], json!({ "withdrawn": ["j-1"] }), "{view}");
    assert_eq!(tried.jobs.seen("DELETE /v1/jobs/j-1").len(), 2);
    // The keys of both operations differ, and the first is what `find` looks for.
    let view = tried.json(&["--resume", "step.json", "--find"]);
    assert_eq!(view["ended"], "not_found");

    let over = tried.run(&["--resume", "step.json"]);
    assert!(over.code == Some(2) && over.stderr.contains("waits for nothing"), "{over:?}");
    // A rollback has to be one of something.
    let nothing = tried.run(&[&INPUT[..], &["--rollback"]].concat());
    assert!(nothing.code == Some(2) && nothing.stderr.contains("say what is to be rolled back"), "{nothing:?}");
    let output = ["--rollback", "--output", r#"{"id":"j-1","artifact":"a","seconds":4}"#];
    let unknown = tried.run(&[&INPUT[..], &output].concat());
    assert!(unknown.code == Some(0) && unknown.stderr.contains("`--resume FILE` has them"), "{unknown:?}");
    let other = tried.run(&["--resume", "step.json", "--cancel"]);
    assert!(other.code == Some(2) && other.stderr.contains("has no `cancel`"), "{other:?}");
}

#[test]
fn it_is_rolled_back_at_once_where_that_is_asked_for() {
    let tried = Tried::new();
    tried.jobs.will_end(json!({ "state": "done", "artifact": "a", "seconds": 4 }));
    let view = tried.json(&[&INPUT[..], &["--then-rollback"]].concat());
    assert_eq!(
        (&view["output"]["id"], &view["rolled_back"]),
        (&json!("j-1"), &json!({ "withdrawn": ["j-1"] })),
        "{view}"
    );
    assert_eq!(view["usage"]["calls"], 3);
    let ran = tried.run(&[&INPUT[..], &["--then-rollback"]].concat());
    let output: Value = serde_json::from_str(&ran.stdout).expect("the output of the action is JSON alone");
    assert_eq!(output["id"], "j-1", "{ran:?}");
    assert!(ran.stderr.contains(r#"rolled back: {"withdrawn":["j-1"]}"#), "{ran:?}");
}

#[test]
fn what_never_ends_is_not_waited_for_for_ever() {
    let tried = Tried::new();
    let ran = tried.run(&[&INPUT[..], &["--timeout", "5s", "--save", "step.json"]].concat());
    assert!(ran.code == Some(2) && ran.stderr.contains("it still waits after 5s"), "{ran:?}");
    assert!(
        ran.stderr.ends_with("`--resume step.json` goes on with it, `--resume step.json --rollback` takes it back\n"),
        "{ran:?}"
    );
    let back = tried.run(&[&INPUT[..], &["--timeout", "1s", "--then-rollback"]].concat());
    assert!(
        back.code == Some(2) && back.stderr.contains("it took too long, and was rolled back: {\"withdrawn\""),
        "{back:?}"
    );
    assert!(!back.stderr.contains("still there"), "{back:?}");
    tried.jobs.will_be("j-1", json!({ "state": "done", "artifact": "a", "seconds": 4 }));
    let view = tried.json(&["--resume", "step.json"]);
    assert_eq!(view["ended"], "done", "{view}");
}

#[test]
fn the_service_calls_back() {
    let tried = Tried::new();
    let input = ["--with", r#"{"title":"index","notify":true}"#];
    tried.jobs.will_end(json!({ "state": "done", "artifact": "a", "seconds": 4 }));
    tried.jobs.will_call_back();
    let view = tried.json(&[&input[..], &["--callbacks", "127.0.0.1:0"]].concat());
    assert_eq!(view["ended"], "done", "{view}");
    assert_eq!(happened(&view, "called")[1]["function"], "resume, by a callback");
    assert!(happened(&view, "callback_made")[0]["url"].as_str().expect("an address").ends_with("/callbacks/topic-1"));

    // Without a place where callbacks are taken, the plugin says so itself.
    let none = tried.run(&input);
    assert!(none.code == Some(1) && none.stderr.contains("no-callback-url"), "{none:?}");
    assert!(none.stderr.contains("a person has to look first"), "{none:?}");
}

#[test]
fn a_dry_run_and_a_credential_are_as_in_a_release() {
    let tried = Tried::new();
    let dry = tried.run(&[&INPUT[..], &["--dry-run"]].concat());
    assert_eq!(dry.code, Some(0), "as in a release, that is no failure: {dry:?}");
    let output: serde_json::Value = serde_json::from_str(&dry.stdout).expect("an output of its schema");
    assert!(output["id"].is_string(), "{dry:?}");
    assert!(
        dry.stderr.contains("would POST http") && dry.stderr.contains(r#"{"priority":"normal","title":"index"}"#),
        "{dry:?}"
    );
    // There is nothing to take back.
    let back = tried.run(&[&INPUT[..], &["--dry-run", "--then-rollback"]].concat());
    assert!(back.code == Some(0) && !back.stderr.contains("rolled back"), "{back:?}");
    assert!(dry.stderr.contains("dry run") && tried.jobs.seen("POST /v1/jobs").is_empty(), "{dry:?}");

    let secret = "swordfish-1234";
    let mut command = tried.site.command(&["plugin", "run", jobs(), "--connection", &tried.connection]);
    command.args(INPUT).args(["--no-wait", "--save", "step.json", "--credential", "jobs=bearer:env:JOBS_TOKEN"]);
    let ran = command.env("JOBS_TOKEN", secret).output().expect("windlass starts");
    assert!(ran.status.success(), "{ran:?}");
    assert_eq!(tried.jobs.seen("POST /v1/jobs")[0].header("authorization"), Some("Bearer swordfish-1234"));
    let said = [ran.stdout, ran.stderr, std::fs::read(tried.site.path("step.json")).expect("it was kept")].concat();
    assert!(!String::from_utf8_lossy(&said).contains(secret));
}

#[test]
fn what_cannot_be_tried_says_what_could_be() {
    let tried = Tried::new();
    for (arguments, expected) in [
        (&["submitt"][..], "no action `submitt`; it has `submit`"),
        (&["--with", "{"], "`--with` gives is no JSON"),
        (&["--with", "@none.json"], "none.json cannot be read"),
        (&["--with", "{}"], r#""title":"dry-run"}'"#),
        (&["--with", r#"{"title":"a","titel":1}"#], "titel"),
        (&["--resume", "none.json"], "none.json cannot be read"),
        (&["--connection", "job=http://a"], "no role `job`; it has `jobs`"),
    ] {
        let ran = tried.run(&[&INPUT[..usize::from(!arguments.contains(&"--with")) * 2], arguments].concat());
        assert!(ran.code == Some(2) && ran.stderr.contains(expected), "{expected:?}: {ran:?}");
    }
    let unbound = tried.site.run(&["plugin", "run", jobs(), "--with", INPUT[1]]);
    assert!(unbound.code == Some(2) && unbound.stderr.contains("--connection jobs=URL"), "{unbound:?}");
    let none = tried.site.run(&["plugin", "run", "none.wasm"]);
    assert!(none.code == Some(2) && none.stderr.contains("there is no file or folder none.wasm"), "{none:?}");

    let rejected = tried.run(&["--with", r#"{"title":"bad"}"#]);
    assert_eq!(rejected.code, Some(1), "{rejected:?}");
    for expected in ["job-rejected (rejected)", "trying it again is of no use", "title: bad"] {
        assert!(rejected.stderr.contains(expected), "{expected:?}: {rejected:?}");
    }
}

#[test]
fn a_component_is_measured() {
    let site = Site::empty();
    let view = site.json(&["plugin", "bench", jobs(), "--calls", "3"]);
    assert_eq!((&view["called"], &view["calls"]), (&json!("manifest"), &json!(3)));
    assert_eq!(view["bytes"], std::fs::metadata(rust()).expect("the file").len());
    for measured in ["compile_cpu_s", "load_cpu_ms", "first_call_cpu_ms", "memory_peak_bytes"] {
        assert!(view[measured].as_f64().is_some_and(|it| it > 0.0), "{measured}: {view}");
    }
    let one = ["plugin", "bench", jobs(), "submit", "--rollback", "--calls", "1"];
    let view = site.json(&[&one[..], &INPUT, &["--connection", "jobs=https://jobs.test"]].concat());
    assert_eq!(view["called"], "submit: rollback");
    // What fails is no measurement.
    let failed =
        site.run(&["plugin", "bench", jobs(), "submit", "--with", INPUT[1], "--connection", "jobs=http://127.0.0.1:1"]);
    assert!(failed.code == Some(2) && failed.stderr.contains("not-connected"), "{failed:?}");
}

#[test]
fn the_doctor_says_what_is_there_and_how_to_get_what_is_not() {
    let site = Site::empty();
    let health = |view: &Value, what: &str| -> Vec<String> {
        let all = view.as_array().expect("a list").iter().filter(|it| it["what"] == what);
        all.map(|it| it["health"].as_str().expect("a health").to_owned()).collect()
    };
    // Nothing but Windlass itself is needed, and nothing is made by looking.
    let without_tools = |arguments: &[&str]| {
        let mut command = site.command(arguments);
        let ran = command.env("PATH", "/nowhere").env("HOME", "/nowhere").env_remove("KUBECONFIG").output();
        let ran = ran.expect("windlass starts");
        (ran.status.code(), serde_json::from_slice::<Value>(&ran.stdout).expect("JSON"))
    };
    let (code, view) = without_tools(&["--json", "doctor"]);
    assert_eq!(code, Some(0), "{view}");
    assert_eq!(health(&view, "Go: go"), ["aside"]);
    assert_eq!((health(&view, "helm"), health(&view, "cluster")), (vec!["aside".to_owned()], vec!["aside".to_owned()]));
    assert!(!site.state().exists());
    // A language that is named is needed.
    let (code, view) = without_tools(&["--json", "doctor", "--lang", "go", "--lang", "c"]);
    assert_eq!(
        (code, health(&view, "Go: go"), health(&view, "C: Zig")),
        (Some(1), vec!["bad".to_owned()], vec!["bad".to_owned()])
    );
    let remedies = view.to_string();
    assert!(remedies.contains("https://go.dev/dl") && remedies.contains("pip install ziglang=="), "{remedies}");
    // So is that of a plugin in this folder.
    site.write("go.mod", "module x");
    let (code, _) = without_tools(&["--json", "doctor"]);
    assert_eq!(code, Some(1));
    std::fs::remove_file(site.path("go.mod")).expect("it was there");

    // A state directory that others can look into is told, and who answers.
    std::fs::create_dir(site.state()).expect("a folder");
    std::fs::set_permissions(site.state(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("its mode");
    let open = site.run(&["doctor"]);
    assert!(open.code == Some(1) && open.stdout.contains("chmod 700 state"), "{open:?}");
    std::fs::set_permissions(site.state(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("its mode");
    let quiet = site.json(&["doctor"]);
    assert_eq!(
        (health(&quiet, "process"), health(&quiet, "state directory")),
        (vec!["aside".to_owned()], vec!["good".to_owned()])
    );
    let _serving = site.serve();
    let answered = site.good(&["doctor"]);
    assert!(
        answered.stdout.contains("the process that runs in") && answered.stdout.contains("is durable after"),
        "{answered:?}"
    );
}

#[test]
fn what_is_built_beside_a_plugin_changes_nothing_of_it() {
    let bytes = |file: &std::path::Path| std::fs::read(file).expect("a component");
    // Built with all others, of which some ask for more of the crates that it has in common with them; and alone.
    assert!(bytes(&component("noop")) == bytes(noop()), "other bytes");
}
