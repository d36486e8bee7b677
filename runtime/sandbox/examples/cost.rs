//! What components cost: size, compiling, loading, a call, memory. For the table in `sdk/README.md`.
//!
//! ```sh
//! cargo run --release -p windlass-sandbox --example cost -- jobs-0.1.0.wasm …
//! ```
//!
//! The components are those of the SDKs' example; the call is a rollback of what was never submitted, which asks for a
//! checkpoint and answers, without a request; it includes making the instance and dropping it. All times are the processor's,
//! so that what else the machine does is not in them.
#![allow(clippy::print_stdout, reason = "an example prints")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::json;
use windlass_model::connection::Connection;
use windlass_model::event::Operation;
use windlass_sandbox::cassette::Tape;
use windlass_sandbox::measure::instantiate_call_drop;
use windlass_sandbox::{
    Access, CallKind, CallRequest, Callback, Exchange, LogLine, Plugin, Sandbox, SandboxOptions, StepHost,
};

const CALLS: usize = 300;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("| component | KiB | compile s | load ms | first call ms | call ms | memory MiB |");
    println!("|---|---|---|---|---|---|---|");
    for file in std::env::args().skip(1) {
        cost(Path::new(&file)).await;
    }
}

async fn cost(file: &Path) {
    let bytes = std::fs::read(file).expect("a component's file");
    let cache = tempfile::tempdir().expect("a folder");
    let clock = cpu_time();
    // Compiles into the cache; the sandbox is another one afterwards, as after a start of the host.
    drop(prepare(&bytes, cache.path()).await);
    let compile = cpu_time() - clock;
    let clock = cpu_time();
    let (sandbox, plugin) = prepare(&bytes, cache.path()).await;
    let load = cpu_time() - clock;
    let clock = cpu_time();
    let report = sandbox.call(&plugin, request()).await;
    let first = cpu_time() - clock;
    report.result.expect("it works");
    let clock = cpu_time();
    instantiate_call_drop(&sandbox, &plugin, CALLS, request).await.expect("all work");
    let calls = cpu_time() - clock;
    println!(
        "| {} | {} | {:.1} | {:.1} | {:.2} | {:.2} | {:.1} |",
        file.display(),
        bytes.len() / 1024,
        compile.as_secs_f64(),
        millis(load),
        millis(first),
        millis(calls) / CALLS as f64,
        report.usage.memory_peak_bytes as f64 / 1_048_576.0,
    );
}

async fn prepare(bytes: &[u8], cache: &Path) -> (Sandbox, Arc<Plugin>) {
    let options = SandboxOptions { cache_dir: Some(cache.to_owned()), instances_max: 100, ..SandboxOptions::default() };
    let sandbox = Sandbox::new(options).expect("a sandbox");
    let plugin = sandbox.prepare(bytes).await.expect("a plugin");
    (sandbox, plugin)
}

fn request() -> CallRequest {
    CallRequest {
        kind: CallKind::Rollback,
        operation: Operation::Rollback,
        action: "submit".parse().expect("a name"),
        release: "payments-7".to_owned(),
        step: "submit".to_owned(),
        attempt: 1,
        idempotency_key: "0123456789abcdef0123456789abcdef".to_owned(),
        deadline: None,
        dry_run: false,
        tape: Tape::Off,
        input: Arc::new(json!({ "title": "index" })),
        output: None,
        context: Vec::new(),
        access: Arc::new(Access {
            connections: [("jobs".parse().expect("a role"), connection())].into(),
            ..Access::default()
        }),
        host: Arc::new(Nothing),
    }
}

fn connection() -> Connection {
    let connection = json!({ "name": "server", "base_url": "https://jobs.test" });
    serde_json::from_value(connection).expect("a connection")
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Processor time of this process with all its threads.
fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).expect("less than a second"))
}

/// A host that has recorded nothing.
struct Nothing;

impl StepHost for Nothing {
    fn log(&self, line: LogLine) {
        println!("{}", line.message);
    }
    fn status(&self, _text: String) {}
    fn percent(&self, _percent: u8) {}
    fn link(&self, _title: String, _url: String) {}
    fn checkpoint(&self, _name: &str) -> Option<Vec<u8>> {
        None
    }
    fn record_checkpoint(&self, _name: String, _value: Vec<u8>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn create_callback(&self) -> BoxFuture<'_, Result<Callback, String>> {
        Box::pin(std::future::ready(Err("there are none".to_owned())))
    }
    fn has_callback(&self, _topic: &str) -> bool {
        false
    }
    fn trace(&self, _exchange: Exchange) {}
}
