//! What the tests share: the hostile guest, one sandbox, a host that records, a server.

pub(crate) mod guest;
pub(crate) mod made;
pub(crate) mod raw;
pub(crate) mod recorder;
pub(crate) mod server;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::OnceCell;
use windlass_model::connection::{Connection, SecretReference, Tool};
use windlass_model::event::Operation;
use windlass_sandbox::cassette::Tape;
use windlass_sandbox::{
    Access, CallKind, CallOutcome, CallReport, CallRequest, Plugin, Sandbox, SandboxOptions, Secret, SecretError,
    SecretSource,
};

use self::recorder::Recorder;

/// Secrets by the name of their environment variable.
#[derive(Default)]
pub(crate) struct FixedSecrets(Mutex<HashMap<String, String>>);

impl FixedSecrets {
    pub(crate) fn set(&self, name: &str, value: &str) {
        self.0.lock().expect("not poisoned").insert(name.to_owned(), value.to_owned());
    }
}

impl SecretSource for FixedSecrets {
    fn resolve(&self, reference: &SecretReference) -> Result<Secret, SecretError> {
        let SecretReference::Environment(name) = reference else { panic!("tests use variables") };
        self.0.lock().expect("not poisoned").get(name).map(|it| Secret::new(it.as_str())).ok_or_else(|| {
            SecretError::Unreadable { reference: reference.to_string(), why: "the variable is not set".to_owned() }
        })
    }
}

/// One sandbox with the hostile plugin, for all tests.
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) hostile: Arc<Plugin>,
    pub(crate) secrets: Arc<FixedSecrets>,
}

pub(crate) async fn world() -> &'static World {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    WORLD
        .get_or_init(async || {
            let secrets = Arc::new(FixedSecrets::default());
            let options = SandboxOptions { instances_max: 200, secrets: secrets.clone(), ..SandboxOptions::default() };
            let sandbox = Sandbox::new(options).expect("a sandbox");
            let component = guest::hostile();
            let manifest = sandbox.describe(&component).await.expect("a manifest");
            let component = windlass_sandbox::embed_manifest(&component, &manifest).expect("a component");
            let hostile = sandbox.prepare(&component).await.expect("a plugin");
            World { sandbox, hostile, secrets }
        })
        .await
}

/// What a test gives to a call; the rest is always the same.
pub(crate) struct Given {
    pub(crate) kind: CallKind,
    pub(crate) operation: Operation,
    pub(crate) attempt: u32,
    pub(crate) input: Value,
    pub(crate) output: Option<Value>,
    pub(crate) dry_run: bool,
    pub(crate) access: Access,
    pub(crate) tape: Tape,
    pub(crate) host: Arc<Recorder>,
}

/// Waits until the sandbox has let a call's host go.
pub(crate) async fn gone(host: &Weak<Recorder>) {
    let gone = async {
        while host.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("nothing is left of the call");
}

impl Default for Given {
    fn default() -> Self {
        Self {
            kind: CallKind::Start,
            operation: Operation::Start,
            attempt: 1,
            input: json!({}),
            output: None,
            dry_run: false,
            access: Access::default(),
            tape: Tape::Off,
            host: Arc::default(),
        }
    }
}

pub(crate) fn request(action: &str, given: Given) -> CallRequest {
    CallRequest {
        kind: given.kind,
        operation: given.operation,
        action: action.parse().expect("an action's name"),
        release: "payments-7".to_owned(),
        step: "deploy".to_owned(),
        attempt: given.attempt,
        idempotency_key: "0123456789abcdef0123456789abcdef".to_owned(),
        deadline: None,
        dry_run: given.dry_run,
        input: Arc::new(given.input),
        output: given.output.map(Arc::new),
        context: vec![("tenant".to_owned(), "acme".to_owned())],
        access: Arc::new(given.access),
        host: given.host,
        tape: given.tape,
    }
}

/// Calls an action of the hostile plugin.
pub(crate) async fn call(action: &str, given: Given) -> CallReport {
    let world = world().await;
    world.sandbox.call(&world.hostile, request(action, given)).await
}

/// Calls it with nothing but an input.
pub(crate) async fn call_with(action: &str, input: Value) -> CallReport {
    call(action, Given { input, ..Given::default() }).await
}

/// The output of a call that must be done.
pub(crate) fn done(report: CallReport) -> Value {
    match report.result {
        Ok(CallOutcome::Done(output)) => output,
        other => panic!("not done: {other:?}"),
    }
}

/// The code of a call that must have failed.
pub(crate) fn code(report: &CallReport) -> &str {
    match &report.result {
        Err(error) => &error.code,
        Ok(outcome) => panic!("no failure: {outcome:?}"),
    }
}

/// The message of a call that must have failed.
pub(crate) fn message(report: &CallReport) -> &str {
    match &report.result {
        Err(error) => &error.message,
        Ok(outcome) => panic!("no failure: {outcome:?}"),
    }
}

/// Another call of the same plugin works.
pub(crate) async fn others_go_on() {
    assert_eq!(done(call_with("noop", json!({"still": "here"})).await), json!({"still": "here"}));
}

/// A connection; `more` goes over what is usual in tests.
pub(crate) fn connection(url: &str, more: Value) -> Connection {
    let mut connection = json!({"name": "server", "base_url": url, "private_network": true});
    if let (Some(connection), Value::Object(more)) = (connection.as_object_mut(), more) {
        connection.extend(more);
    }
    serde_json::from_value(connection).expect("a connection")
}

/// Access to a connection under the role `target`.
pub(crate) fn target(url: &str, more: Value) -> Access {
    Access { connections: [("target".parse().expect("a role"), connection(url, more))].into(), ..Access::default() }
}

/// Access to a tool.
pub(crate) fn with_tool(mut access: Access, tool: Tool) -> Access {
    access.tools.insert(tool.name.clone(), tool);
    access
}
