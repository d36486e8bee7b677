//! A step of a plugin under test: it makes the calls that the host would make.

use super::MockHost;
use super::mock_host::AskedTool;
use crate::call::{Call, Operation, RawOutcome};
use crate::failure::Failure;
use crate::outcome::{Event, Outcome, Suspension, Wake};
use crate::plugin::Plugin;
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::Write;
use std::time::UNIX_EPOCH;

/// More wakes than any test needs: a step that goes on longer never ends.
const WAKES_MAX: usize = 10_000;

/// What a call came to: the output, or a suspension with its state readable.
pub type Tested = Result<Outcome<Value, Value>, Failure>;

/// One step: an action with its input, and the attempt that it is in.
pub struct TestStep {
    plugin: Plugin,
    action: String,
    description: Value,
    input: Value,
    attempt: u32,
    /// Pieces of work that `start` has begun.
    starts: u32,
    dry_run: bool,
}

impl TestStep {
    /// A step's first attempt. Panics if the plugin has no such action, or its names are wrong.
    pub fn new(plugin: Plugin, action: &str, input: Value) -> Self {
        assert_eq!(plugin.problems(), Vec::<String>::new());
        let manifest = plugin.manifest();
        let description = manifest["actions"][action].clone();
        let known: Vec<&str> =
            manifest["actions"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        assert!(description.is_object(), "the plugin has no action `{action}`; it has {}", known.join(", "));
        Self { plugin, action: action.to_owned(), description, input, attempt: 1, starts: 1, dry_run: false }
    }

    /// The same step in another attempt.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// The same step in a dry run: what writes is denied, as a host denies it. GET and HEAD pass, and commands of
    /// tools in a form that the manifest declares to change nothing.
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// The same step in an attempt of `start` after one that got a definite answer: under another idempotency key.
    pub fn start_anew(mut self) -> Self {
        self.attempt += 1;
        self.starts += 1;
        self
    }

    /// The idempotency key of the `n`th piece of work that `start` begins, from 1.
    pub fn start_key(n: u32) -> String {
        let first = Self::key(Operation::Start);
        if n == 1 { first.to_owned() } else { format!("{n:08x}{}", &first[8..]) }
    }

    /// The idempotency key of an operation; another for each, as in the host.
    pub fn key(operation: Operation) -> &'static str {
        match operation {
            Operation::Start => "0123456789abcdef0123456789abcdef",
            Operation::Cancel => "cccccccccccccccccccccccccccccccc",
            Operation::Rollback => "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
        }
    }

    /// Tells `windlass plugin test` which operations of which actions the tests call.
    fn tell(&self, called: &str) {
        let Some(file) = std::env::var_os("WINDLASS_TESTED") else { return };
        let manifest = self.plugin.manifest();
        let actions = manifest["actions"].as_object().into_iter().flatten();
        let declared: serde_json::Map<String, Value> = actions
            .map(|(name, action)| {
                let optional = ["cancel", "rollback", "find"].into_iter().filter(|it| action[*it] == true);
                (name.clone(), ["start"].into_iter().chain(optional).collect())
            })
            .collect();
        let line = serde_json::json!({ "action": self.action, "called": called, "declared": declared });
        let file = OpenOptions::new().create(true).append(true).open(file);
        // One write: tests run beside each other.
        file.and_then(|mut it| it.write_all(format!("{line}\n").as_bytes())).expect("the file of WINDLASS_TESTED");
    }

    /// Calls `start`.
    pub fn start(&self, host: &MockHost) -> Tested {
        self.tell("start");
        let call = self.call(host, Operation::Start, None);
        self.checked(self.plugin.start(host, &call))
    }

    /// Calls `resume` of the action itself.
    pub fn resume(&self, host: &MockHost, suspension: &Suspension<Value>, event: Event) -> Tested {
        let call = self.call(host, Operation::Start, None);
        self.checked(self.plugin.resume(host, &call, &bytes(suspension), event))
    }

    /// Starts, and resumes at each timer with the clock moved there, until it ends.
    pub fn run(&self, host: &MockHost) -> Result<Value, Failure> {
        let outcome = self.start(host)?;
        self.follow(host, outcome, Operation::Start, None)
    }

    /// Resumes a suspension at each timer until it ends.
    pub fn finish(&self, host: &MockHost, suspension: Suspension<Value>) -> Result<Value, Failure> {
        self.follow(host, Outcome::Suspended(suspension), Operation::Start, None)
    }

    /// Cancels, and follows the cancel to its end.
    pub fn cancel(&self, host: &MockHost, suspension: Option<&Suspension<Value>>) -> Result<Value, Failure> {
        self.tell("cancel");
        let call = self.call(host, Operation::Cancel, None);
        let state = suspension.map(bytes);
        let outcome = parsed(self.plugin.cancel(host, &call, state.as_deref())?);
        self.follow(host, outcome, Operation::Cancel, None)
    }

    /// Rolls back, and follows the rollback to its end.
    pub fn rollback(&self, host: &MockHost, output: Option<&Value>) -> Result<Value, Failure> {
        self.tell("rollback");
        let call = self.call(host, Operation::Rollback, output);
        let outcome = parsed(self.plugin.rollback(host, &call)?);
        self.follow(host, outcome, Operation::Rollback, output)
    }

    /// Calls `find`.
    pub fn find(&self, host: &MockHost) -> Result<Option<Outcome<Value, Value>>, Failure> {
        self.tell("find");
        let call = self.call(host, Operation::Start, None);
        match self.plugin.find(host, &call)? {
            Some(outcome) => self.checked(Ok(outcome)).map(Some),
            None => Ok(None),
        }
    }

    fn follow(
        &self,
        host: &MockHost,
        mut outcome: Outcome<Value, Value>,
        operation: Operation,
        output: Option<&Value>,
    ) -> Result<Value, Failure> {
        for _ in 0..WAKES_MAX {
            let suspension = match outcome {
                Outcome::Done(output) => return Ok(output),
                Outcome::Suspended(suspension) => suspension,
            };
            sleep_until_woken(host, &suspension);
            let call = self.call(host, operation, output);
            let answer = self.plugin.resume(host, &call, &bytes(&suspension), Event::Timer);
            outcome = match operation {
                Operation::Start => self.checked(answer)?,
                Operation::Cancel | Operation::Rollback => parsed(answer?),
            };
        }
        panic!("`{}` was woken {WAKES_MAX} times and has not ended", self.action)
    }

    fn call(&self, host: &MockHost, operation: Operation, output: Option<&Value>) -> Call {
        validate(&self.description["input"], &self.input, "input");
        let mut grants = std::collections::BTreeMap::new();
        for (role, asked) in self.description["connections"].as_object().into_iter().flatten() {
            let mut pairs = Vec::new();
            for request in asked["requests"].as_array().into_iter().flatten() {
                let path = request["path"].as_str().unwrap_or_default();
                for method in request["methods"].as_array().into_iter().flatten() {
                    pairs.push((method.as_str().unwrap_or_default().to_owned(), path.to_owned()));
                }
            }
            grants.insert(role.clone(), pairs);
        }
        *host.grants.borrow_mut() = grants;
        let tools = self.description["tools"].as_object().into_iter().flatten();
        let words = |list: &Value| {
            let all = list.as_array().into_iter().flatten();
            all.filter_map(|it| it.as_str().map(str::to_owned)).collect()
        };
        let asked =
            |tool: &Value| AskedTool { subcommands: words(&tool["subcommands"]), dry_run: words(&tool["dry_run"]) };
        *host.tools_asked.borrow_mut() = Some(tools.map(|(name, it)| (name.clone(), asked(it))).collect());
        host.dry_run.set(self.dry_run);
        let start_keys: Vec<String> = (1..=self.starts).map(Self::start_key).collect();
        Call {
            action: self.action.clone(),
            operation,
            release: "payments-1.2.3".to_owned(),
            step: "step".to_owned(),
            attempt: self.attempt,
            idempotency_key: match operation {
                Operation::Start => Self::start_key(self.starts),
                other => Self::key(other).to_owned(),
            },
            deadline: None,
            dry_run: self.dry_run,
            input: self.input.to_string(),
            output: output.map(Value::to_string),
            context: vec![("start-keys".to_owned(), start_keys.join(" "))],
        }
    }

    fn checked(&self, answer: Result<RawOutcome, Failure>) -> Tested {
        let outcome = parsed(answer?);
        if let Outcome::Done(output) = &outcome {
            validate(&self.description["output"], output, "output");
        }
        Ok(outcome)
    }
}

fn parsed(outcome: RawOutcome) -> Outcome<Value, Value> {
    match outcome {
        RawOutcome::Done(output) => Outcome::Done(serde_json::from_str(&output).expect("the SDK writes JSON")),
        RawOutcome::Suspended(Suspension { state, wakes, status }) => {
            let state = serde_json::from_slice(&state).expect("the SDK writes JSON");
            Outcome::Suspended(Suspension { state, wakes, status })
        }
    }
}

fn bytes(suspension: &Suspension<Value>) -> Vec<u8> {
    suspension.state.to_string().into_bytes()
}

fn sleep_until_woken(host: &MockHost, suspension: &Suspension<Value>) {
    use crate::host::Host;
    let now = host.now();
    let waits = suspension.wakes.iter().filter_map(|wake| match wake {
        Wake::After(wait) => Some(*wait),
        Wake::At(time) => {
            let since = |time: std::time::SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
            Some(since(*time).saturating_sub(since(now)))
        }
        Wake::Callback(_) => None,
    });
    let wait = waits.min().unwrap_or_else(|| panic!("`{}` is woken by no timer", suspension.status));
    host.advance(wait);
}

fn validate(schema: &Value, value: &Value, what: &str) {
    let validator = jsonschema::draft202012::new(schema)
        .unwrap_or_else(|error| panic!("the manifest's {what} schema is wrong: {error}"));
    let problems: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(problems.is_empty(), "the {what} is not as the manifest says: {problems:?}\n{value:#}");
}
