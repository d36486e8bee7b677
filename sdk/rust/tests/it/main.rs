//! A small plugin through the SDK: manifest, operations, suspensions, tools, checkpoints, HTTP.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use windlass_sdk::host::{ToolCommand, ToolError};
use windlass_sdk::testing::{MockHost, Reply, TestStep};
use windlass_sdk::{
    Action, Answer, Call, CallbackAddress, CallbackEvent, Cancel, Context, Effect, Ended, Event, Failure, FailureClass,
    Find, Found, HumanDuration, Level, Limits, Method, Operation, Outcome, Plugin, RetryAdvice, Role, Rollback,
    Suspension, Tool, ToolOutput, Wake, suspend,
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CookInput {
    /// What to cook.
    dish: Dish,
    #[serde(default)]
    wait: Option<HumanDuration>,
    #[serde(default)]
    trouble: Trouble,
}

#[derive(Deserialize, JsonSchema)]
struct Dish {
    name: String,
    #[serde(default)]
    portions: u32,
}

#[derive(Default, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Trouble {
    #[default]
    None,
    HugeState,
    NoWake,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Cooked {
    /// Who said so.
    by: Option<String>,
    portions: u32,
}

#[derive(Serialize, Deserialize)]
struct Cooking {
    topic: String,
    ballast: String,
}

struct Cook;

impl Action for Cook {
    const NAME: &'static str = "cook";
    const DESCRIPTION: &'static str = "Cooks.";
    const EFFECT: Effect = Effect::IdempotentWrite;
    type Input = CookInput;
    type Output = Cooked;
    type State = Cooking;

    fn connections() -> Vec<Role> {
        vec![
            Role::required("kitchen", "Where.")
                .allow(&[Method::Get], "/menu/**")
                .allow(&[Method::Post, Method::Put], "/orders"),
            Role::optional("garden", "More."),
        ]
    }

    fn tools() -> Vec<Tool> {
        vec![Tool::new("oven", "Heats.", &["bake"])]
    }

    fn limits() -> Limits {
        Limits::default().wall(Duration::from_secs(5)).tool_calls(2)
    }

    fn start(ctx: &Context, input: CookInput) -> Answer<Self> {
        let callback = ctx.callback();
        ctx.progress().status("heating").percent(200).link("recipe", "https://recipes.test");
        ctx.log().field("dish", &input.dish.name).warn("hot");
        let state = Cooking {
            topic: callback.topic.clone(),
            ballast: "x".repeat(if input.trouble == Trouble::HugeState { 70_000 } else { 0 }),
        };
        let mut wait = suspend(state);
        if input.trouble != Trouble::NoWake {
            wait = wait.callback(callback.topic).after(input.wait.map_or(Duration::from_secs(60), Duration::from));
        }
        Ok(wait.status("in the oven"))
    }

    fn resume(_: &Context, input: CookInput, state: Cooking, event: Event) -> Answer<Self> {
        #[derive(Deserialize)]
        struct Ready {
            by: String,
        }
        let portions = input.dish.portions;
        match event {
            Event::Timer => Ok(Outcome::done(Cooked { by: None, portions })),
            Event::Callback(callback) if callback.topic == state.topic => {
                let Ready { by } = callback.json()?;
                Ok(Outcome::done(Cooked { by: Some(by), portions }))
            }
            Event::Callback(other) => Err(Failure::internal("topic", format!("what is {}?", other.topic))),
        }
    }
}

impl Cancel for Cook {
    type CancelState = u32;

    fn cancel(_: &Context, _: CookInput, state: Option<Cooking>) -> Ended<u32> {
        match state {
            Some(_) => Ok(suspend(3).after(Duration::from_secs(1)).status("cooling")),
            None => Ok(Outcome::done(json!("cold"))),
        }
    }

    fn resume_cancel(_: &Context, _: CookInput, state: u32, _: Event) -> Ended<u32> {
        if state == 0 {
            Ok(Outcome::done(json!("cooled")))
        } else {
            Ok(suspend(state - 1).after(Duration::from_secs(1)).status("cooling"))
        }
    }
}

impl Rollback for Cook {
    type RollbackState = ();

    fn rollback(ctx: &Context, _: CookInput, output: Option<Cooked>) -> Ended<()> {
        assert_eq!(ctx.operation(), Operation::Rollback);
        Ok(Outcome::done(json!({ "thrown_away": output.map(|output| output.portions) })))
    }
}

impl Find for Cook {
    fn find(ctx: &Context, input: CookInput) -> Found<Self> {
        let menu = ctx.http("kitchen")?.get("/menu/today").query("key", ctx.idempotency_key()).accept(404).send()?;
        if menu.status() == 404 {
            return Ok(None);
        }
        Ok(Some(Outcome::done(Cooked { by: None, portions: input.dish.portions })))
    }
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

/// Uses a tool and a checkpoint, and has no optional operation.
struct Bake;

impl Action for Bake {
    const NAME: &'static str = "bake";
    const DESCRIPTION: &'static str = "Bakes.";
    const EFFECT: Effect = Effect::Read;
    type Input = Nothing;
    type Output = String;
    type State = ();

    fn connections() -> Vec<Role> {
        vec![Role::required("kitchen", "Where.").allow(&[Method::Get], "/menu/**")]
    }

    fn tools() -> Vec<Tool> {
        vec![Tool::new("oven", "Heats.", &["bake"])]
    }

    fn start(ctx: &Context, _: Nothing) -> Answer<Self> {
        let text = ctx.checkpoint("bake", || {
            let run = ctx
                .tool("oven")
                .args(["bake", "--hot"])
                .file("dough.txt", "flour")
                .connection("kitchen")
                .stdin("go")
                .limit(12);
            Ok(run.run_logged()?.success()?.stdout_text())
        })?;
        Ok(Outcome::done(text))
    }
}

windlass_sdk::plugin! {
    name: "kitchen",
    description: "Cooks and bakes.",
    actions: [Cook: cancel + rollback + find, Bake],
}

fn cook(input: Value) -> TestStep {
    TestStep::new(plugin(), "cook", input)
}

fn soup() -> TestStep {
    cook(json!({ "dish": { "name": "soup", "portions": 4 } }))
}

fn kitchen() -> MockHost {
    MockHost::new().connection("kitchen", "https://kitchen.test/api")
}

fn suspended(outcome: Outcome<Value, Value>) -> Suspension<Value> {
    match outcome {
        Outcome::Suspended(suspension) => suspension,
        Outcome::Done(output) => panic!("it is done: {output}"),
    }
}

#[test]
fn the_manifest_says_it_all() {
    let manifest = plugin().manifest();
    let expected = json!({
        "name": "kitchen", "version": env!("CARGO_PKG_VERSION"), "contract": "0.1", "description": "Cooks and bakes.",
        "actions": {
            "cook": {
                "description": "Cooks.", "effect": "idempotent_write", "cancel": true, "rollback": true, "find": true,
                "input": {
                    "type": "object", "additionalProperties": false, "required": ["dish"],
                    "properties": {
                        "dish": {
                            "description": "What to cook.", "type": "object", "required": ["name"],
                            "properties": {
                                "name": { "type": "string" },
                                "portions": { "type": "integer", "format": "uint32", "minimum": 0, "default": 0 },
                            },
                        },
                        "wait": {
                            "type": ["string", "null"], "pattern": r"^(\d+(d|h|m|s|ms))+$",
                            "description": "a length of time: 500ms, 2s, 15m, 1h30m, 2d",
                            "default": null,
                        },
                        "trouble": { "type": "string", "enum": ["none", "huge_state", "no_wake"] },
                    },
                },
                "output": {
                    "type": "object", "required": ["by", "portions"],
                    "properties": {
                        "by": { "description": "Who said so.", "type": ["string", "null"] },
                        "portions": { "type": "integer", "format": "uint32", "minimum": 0 },
                    },
                },
                "connections": {
                    "kitchen": {
                        "description": "Where.", "required": true,
                        "requests": [
                            { "methods": ["GET"], "path": "/menu/**" },
                            { "methods": ["POST", "PUT"], "path": "/orders" },
                        ],
                    },
                    "garden": { "description": "More.", "required": false, "requests": [] },
                },
                "tools": { "oven": { "description": "Heats.", "subcommands": ["bake"] } },
                "limits": { "wall_ms": 5000, "tool_calls": 2 },
            },
            "bake": manifest["actions"]["bake"],
        },
    });
    assert_eq!(manifest, expected, "{manifest:#}");
    let bake = &manifest["actions"]["bake"];
    assert_eq!((&bake["cancel"], &bake["rollback"], &bake["find"]), (&json!(false), &json!(false), &json!(false)));
    assert!(!manifest.to_string().contains("$ref"), "subschemas are inlined");
    assert_eq!(plugin().problems(), Vec::<String>::new());
}

#[test]
fn names_are_those_that_a_host_takes() {
    let problems = |name| Plugin::new(name, "1.0.0", "Tests.").problems();
    for good in ["a", "create-change", "eu_1"] {
        assert_eq!(problems(good), Vec::<String>::new());
    }
    for bad in ["", "1a", "_a", "Build", "a b", "ä"] {
        assert_eq!(problems(bad), [format!("`{bad}` is no name: write [a-z][a-z0-9_-]{{0,62}}")]);
    }
}

#[test]
fn a_suspension_keeps_its_state_and_wakes() {
    let host = kitchen();
    let suspension = suspended(
        cook(json!({ "dish": { "name": "soup", "portions": 4 }, "wait": "1m30s" })).start(&host).expect("it waits"),
    );
    assert_eq!(suspension.wakes, [Wake::Callback("topic-1".to_owned()), Wake::After(Duration::from_secs(90))]);
    assert_eq!((suspension.status.as_str(), &suspension.state["topic"]), ("in the oven", &json!("topic-1")));
    assert_eq!((host.last_status().as_deref(), host.last_percent()), (Some("heating"), Some(100)));
    let line = &host.log_lines()[0];
    assert_eq!((line.level, line.message.as_str(), line.fields[0].1.as_str()), (Level::Warn, "hot", "soup"));

    let step = soup();
    let callback = |topic: &str, body: &str| {
        Event::Callback(CallbackEvent { topic: topic.to_owned(), headers: Vec::new(), body: body.into() })
    };
    let done = step.resume(&host, &suspension, callback("topic-1", r#"{"by":"Ana"}"#)).expect("it is ready");
    assert_eq!(done, Outcome::Done(json!({ "by": "Ana", "portions": 4 })));
    assert_eq!(step.finish(&host, suspension.clone()).expect("the timer ends it")["by"], Value::Null);
    let failure = step.resume(&host, &suspension, callback("topic-1", r#"{"by":7}"#)).expect_err("the body is wrong");
    assert_eq!(failure.class, FailureClass::Invalid);
    assert!(failure.message.contains("by: invalid type"), "{failure}");

    let broken = Suspension { state: json!({ "topic": 1 }), ..suspension };
    assert_eq!(step.resume(&host, &broken, Event::Timer).expect_err("the state is wrong").code, "state");
}

#[test]
fn an_address_without_url_is_a_failure_that_waits_for_the_operator() {
    let address = |url: Option<&str>| CallbackAddress { topic: "topic-1".to_owned(), url: url.map(str::to_owned) };
    assert_eq!(address(Some("https://x")).required_url().expect("there is one"), "https://x");
    let failure = address(None).required_url().expect_err("there is none").clone();
    assert_eq!((failure.code.as_str(), failure.retry), ("no-callback-url", RetryAdvice::Pause));
    assert!(!failure.message.contains("topic-1"), "{failure}");
}

#[test]
fn what_a_host_would_refuse_is_a_failure_here() {
    let host = kitchen();
    for (trouble, code) in [("huge_state", "state-too-large"), ("no_wake", "no-wakes")] {
        let failure = cook(json!({ "dish": { "name": "soup" }, "trouble": trouble })).start(&host).expect_err(code);
        assert_eq!(
            (failure.class, failure.code.as_str(), failure.retry),
            (FailureClass::Internal, code, RetryAdvice::Never)
        );
    }
}

#[test]
fn every_operation_reaches_its_function() {
    let host = kitchen();
    let step = soup();
    let suspension = suspended(step.start(&host).expect("it waits"));
    assert_eq!(step.cancel(&host, Some(&suspension)).expect("it is cooled"), json!("cooled"));
    assert_eq!(step.cancel(&host, None).expect("it is cold"), json!("cold"));
    assert_eq!(
        step.rollback(&host, Some(&json!({ "by": null, "portions": 4 }))).expect("it is gone")["thrown_away"],
        4
    );
    assert_eq!(step.rollback(&host, None).expect("it is gone")["thrown_away"], Value::Null);
    assert_eq!(
        step.rollback(&host, Some(&json!({ "portions": "four" }))).expect_err("that is no output").code,
        "output"
    );
    host.reply("GET /menu/today", Reply::status(404));
    assert_eq!(step.find(&host).expect("it looks"), None);
    host.reply("GET /menu/today", Reply::status(200));
    assert!(step.find(&host).expect("it looks").is_some());
    assert_eq!(host.requests()[0].query["key"], TestStep::key(Operation::Start));
}

#[test]
fn what_nobody_announced_is_refused() {
    let host = kitchen();
    let call = |action: &str| Call {
        action: action.to_owned(),
        operation: Operation::Start,
        release: "r".to_owned(),
        step: "s".to_owned(),
        attempt: 1,
        idempotency_key: String::new(),
        deadline: None,
        dry_run: false,
        input: "{}".to_owned(),
        output: None,
        context: Vec::new(),
    };
    let failure = plugin().start(&host, &call("fry")).expect_err("there is no such action");
    assert_eq!(failure.message, "`kitchen` has no action `fry`; it has cook, bake");
    for failure in [
        plugin().cancel(&host, &call("bake"), None).expect_err("no cancel"),
        plugin().rollback(&host, &call("bake")).expect_err("no rollback"),
        plugin().find(&host, &call("bake")).expect_err("no find"),
    ] {
        assert_eq!(failure.code, "unknown-operation");
    }
    let resumed = plugin().resume(&host, &call("bake"), b"null", Event::Timer).expect_err("it never suspends");
    assert_eq!(resumed.code, "never-suspends");
    for (input, expected) in [
        (r#"{"dish":{"name":7}}"#, "the input of `cook`: dish.name: invalid type: integer `7`, expected a string"),
        (r#"{"dish":{"name":"a"},"wiat":"1s"}"#, "the input of `cook`: wiat: unknown field `wiat`"),
        ("{", "the input of `cook`: EOF"),
        (r#"{"dish":{"name":"a"}} x"#, "the input of `cook`: trailing characters"),
    ] {
        let failure = plugin().start(&host, &Call { input: input.to_owned(), ..call("cook") }).expect_err(input);
        assert!(failure.message.starts_with(expected), "{failure}");
    }
}

#[test]
fn a_missing_connection_says_what_to_do() {
    let failure = soup().find(&MockHost::new()).expect_err("there is none");
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Invalid, "connection-missing"));
    assert!(failure.message.ends_with("a test gives its host one"), "{failure}");
}

mod misspelt {
    use super::{Answer, Context, Effect, Nothing, Role};

    pub(crate) struct Serve;

    impl windlass_sdk::Action for Serve {
        const NAME: &'static str = "serve";
        const DESCRIPTION: &'static str = "Serves.";
        const EFFECT: Effect = Effect::Read;
        type Input = Nothing;
        type Output = String;
        type State = ();

        fn connections() -> Vec<Role> {
            vec![Role::required("kitchen", "Where."), Role::optional("garden", "More.")]
        }

        fn start(ctx: &Context, _: Nothing) -> Answer<Self> {
            ctx.http("kitchn")?;
            unreachable!("there is no such role")
        }
    }

    windlass_sdk::plugin! { name: "misspelt", description: "Serves.", actions: [Serve] }
}

#[test]
fn a_misspelt_role_names_those_that_the_action_declares() {
    let failure = TestStep::new(misspelt::plugin(), "serve", json!({})).run(&kitchen()).expect_err("a typing error");
    assert_eq!(failure.message, "the action has no role `kitchn`; it declares `kitchen`, `garden`");
}

#[test]
fn a_tool_runs_once_and_its_lines_are_logged() {
    let run = |answer: Result<ToolOutput, ToolError>| {
        let host = kitchen().tools(move |command| {
            let expected = ToolCommand {
                tool: "oven".to_owned(),
                arguments: vec!["bake".to_owned(), "--hot".to_owned()],
                connection: Some("kitchen".to_owned()),
                files: vec![("dough.txt".to_owned(), b"flour".to_vec())],
                stdin: b"go".to_vec(),
            };
            assert_eq!(*command, expected);
            answer.clone()
        });
        let step = TestStep::new(plugin(), "bake", json!({}));
        let first = step.run(&host);
        (first, step.run(&host), host)
    };
    let output = |exit_code, stdout: &str, stderr: &str| {
        Ok(ToolOutput { exit_code, stdout: stdout.into(), stderr: stderr.into(), ..ToolOutput::default() })
    };

    let (first, second, host) = run(output(0, "brown\ncrusty bread\n", "warm\r\nhot"));
    assert_eq!(first.expect("it bakes"), json!("brown\ncrusty"));
    assert_eq!(second.expect("it is remembered"), json!("brown\ncrusty"));
    assert_eq!(host.log_text(), "warm\nhot\nbrown\ncrusty bread\n");

    let (first, second, host) = run(output(2, "", "burnt"));
    let failure = first.expect_err("it burns");
    assert_eq!(
        (failure.class, failure.message.as_str()),
        (FailureClass::Rejected, "`oven` ended with exit code 2: burnt")
    );
    assert!(second.is_err(), "a failure is not remembered");
    assert_eq!(host.log_lines().len(), 2);

    for (error, class, code) in [
        (ToolError::Denied("grant it".to_owned()), FailureClass::Forbidden, "tool-denied"),
        (ToolError::NotStarted("digest".to_owned()), FailureClass::Internal, "tool-not-started"),
        (ToolError::TimedOut, FailureClass::TimedOut, "tool-timed-out"),
        (ToolError::OutputLimit, FailureClass::Internal, "tool-output-limit"),
        (ToolError::Killed("SIGKILL".to_owned()), FailureClass::Transient, "tool-killed"),
    ] {
        let failure = run(Err(error)).0.expect_err(code);
        assert_eq!((failure.class, failure.code.as_str()), (class, code));
    }
}

/// An action that runs tools as its input says.
mod undeclared {
    use windlass_sdk::{Action, Answer, Context, Effect, Method, Outcome, Role, Tool};

    struct Runs;

    impl Action for Runs {
        const NAME: &'static str = "runs";
        const DESCRIPTION: &'static str = "Runs.";
        const EFFECT: Effect = Effect::Read;
        type Input = Vec<String>;
        type Output = ();
        type State = ();

        fn connections() -> Vec<Role> {
            vec![Role::required("kitchen", "Where.").allow(&[Method::Post], "/orders")]
        }

        fn tools() -> Vec<Tool> {
            vec![Tool::new("oven", "Heats.", &["bake", "grill"]).dry_run(&["grill --cold"])]
        }

        fn start(ctx: &Context, input: Vec<String>) -> Answer<Self> {
            if input.is_empty() {
                ctx.http("kitchen")?.post("/orders").send()?;
                return Ok(Outcome::done(()));
            }
            ctx.tool(&input[0]).args(input[1].split(' ')).connection(&input[2]).run()?;
            Ok(Outcome::done(()))
        }
    }

    windlass_sdk::plugin! { name: "undeclared", description: "Runs.", actions: [Runs] }
}

#[test]
fn a_tool_that_the_manifest_does_not_name_is_denied_in_tests_too() {
    let run = |words: [&str; 3]| {
        let host = kitchen().tools(|_| Ok(ToolOutput::default()));
        TestStep::new(undeclared::plugin(), "runs", json!(words)).run(&host)
    };
    run(["oven", "grill", "kitchen"]).expect("it is declared");
    for (words, told) in [
        (["pan", "bake", "kitchen"], "names no tool `pan`"),
        (["oven", "smoke", "kitchen"], "no subcommand `smoke` of the tool `oven`, but `bake`, `grill`"),
        (["oven", "bake", "cellar"], "the credential of `cellar`, which the action has no role for"),
    ] {
        let failure = run(words).expect_err("it is not declared");
        assert!(failure.code == "tool-denied" && failure.message.contains(told), "{failure}");
    }
}

#[test]
fn what_writes_is_denied_in_a_dry_run() {
    let run = |command: &str| {
        let host = kitchen().tools(|_| Ok(ToolOutput::default()));
        TestStep::new(undeclared::plugin(), "runs", json!(["oven", command, "kitchen"])).dry_run().run(&host)
    };
    run("grill --cold --long").expect("it changes nothing");
    let failure = run("grill --hot").expect_err("it changes something");
    assert!(failure.message.contains("`oven grill --hot` is in no dry-run form"), "{failure}");
    let orders = || TestStep::new(undeclared::plugin(), "runs", json!([]));
    let host = kitchen();
    host.reply("POST /orders", Reply::status(200));
    orders().run(&host).expect("it is ordered");
    let failure = orders().dry_run().run(&host).expect_err("it orders");
    assert_eq!((failure.code.as_str(), host.count("POST /orders")), ("request-denied", 1));
}

#[test]
fn a_tool_without_an_end_does_not_fill_the_log() {
    let line = format!("{}\n", "é".repeat(100));
    let host = kitchen().tools(move |_| {
        let printed = ["x".repeat(60_000), line.repeat(20_000)].join("\n");
        Ok(ToolOutput { stdout: printed.into_bytes(), ..ToolOutput::default() })
    });
    TestStep::new(plugin(), "bake", json!({})).run(&host).expect("it is baked");
    let lines = host.log_lines();
    let bytes: usize = lines.iter().map(|it| it.message.len()).sum();
    // The last line is the one that says so.
    assert!((200_000..=263_000).contains(&(bytes + 256 * lines.len())), "{bytes} bytes in {} lines", lines.len());
    assert_eq!(lines.last().expect("lines").message, "`oven` prints more; 256 KiB of it are in the log");
    assert!(lines.iter().all(|it| it.message.len() <= 8_192) && lines[0].message.ends_with('…'), "a line is cut");
}
