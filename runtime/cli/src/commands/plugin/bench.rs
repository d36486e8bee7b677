//! `windlass plugin bench`

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;
use windlass_model::event::Operation;
use windlass_sandbox::cassette::Tape;
use windlass_sandbox::measure::{Measured, Quiet, cost};
use windlass_sandbox::{CallKind, CallRequest, Sandbox};

use super::{kib, run};
use crate::author::check;
use crate::author::trial::binding::{self, Bindings};
use crate::commands::Context;
use crate::output::{DIM, STRONG, styled};

#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// A component's file, or the folder of a plugin, which is built first
    plugin: PathBuf,
    /// An action whose `start` is called; without one, `manifest` is, which every plugin has and which reaches nothing
    action: Option<String>,
    /// Its input
    #[arg(long, value_name = "JSON|@FILE", requires = "action")]
    with: Option<String>,
    /// A connection for a role
    #[arg(long = "connection", value_name = "ROLE=URL", requires = "action")]
    connections: Vec<String>,
    /// How to authenticate there, as for `plugin run`
    #[arg(long = "credential", value_name = "ROLE=KIND:…", requires = "action")]
    credentials: Vec<String>,
    /// Call `rollback` instead of `start`; one of what was never done often needs no service
    #[arg(long, requires = "action")]
    rollback: bool,
    /// So many calls after the first
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    calls: u32,
}

#[derive(Serialize)]
struct View {
    plugin: String,
    version: String,
    called: String,
    calls: u32,
    bytes: u64,
    compile_cpu_s: f64,
    load_cpu_ms: f64,
    first_call_cpu_ms: f64,
    call_cpu_ms: f64,
    call_p50_ms: f64,
    call_p99_ms: f64,
    memory_peak_bytes: u64,
}

pub(crate) async fn bench(args: BenchArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let file = run::component(&args.plugin, &check::sandbox()?, context.output).await?;
    let bytes = std::fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    let manifest = Sandbox::inspect(&bytes).with_context(|| file.display().to_string())?.manifest;
    let cache = tempfile::tempdir().context("a folder for compiled code")?;
    let mut called = "manifest".to_owned();
    let cost = match args.action.as_deref() {
        None => cost(&bytes, args.calls, cache.path(), Measured::Manifest).await,
        Some(named) => {
            let (name, action) = run::action(&manifest, Some(named), None)?;
            let input = Arc::new(run::input(args.with.as_deref(), action)?);
            let (connections, credentials) = (args.connections, args.credentials);
            let bindings = Bindings { connections, credentials, ..Bindings::default() };
            let access = Arc::new(binding::access(&bindings, action)?);
            let (kind, operation) = match args.rollback {
                true => (CallKind::Rollback, Operation::Rollback),
                false => (CallKind::Start, Operation::Start),
            };
            called = format!("{name}: {}", if args.rollback { "rollback" } else { "start" });
            let mut request = || CallRequest {
                kind: kind.clone(),
                operation,
                action: name.clone(),
                release: "bench-1".to_owned(),
                step: name.to_string(),
                attempt: 1,
                idempotency_key: "0123456789abcdef0123456789abcdef".to_owned(),
                deadline: None,
                dry_run: false,
                input: Arc::clone(&input),
                output: None,
                context: Vec::new(),
                access: Arc::clone(&access),
                host: Arc::new(Quiet),
                tape: Tape::Off,
            };
            cost(&bytes, args.calls, cache.path(), Measured::Call(&mut request)).await
        }
    }?;
    let millis = |it: std::time::Duration| (it.as_secs_f64() * 1e5).round() / 100.0;
    let view = View {
        plugin: manifest.name.to_string(),
        version: manifest.version.to_string(),
        called,
        calls: args.calls,
        bytes: bytes.len() as u64,
        compile_cpu_s: (cost.compile.as_secs_f64() * 100.0).round() / 100.0,
        load_cpu_ms: millis(cost.load),
        first_call_cpu_ms: millis(cost.first_call),
        call_cpu_ms: millis(cost.call),
        call_p50_ms: millis(cost.call_wall.p50),
        call_p99_ms: millis(cost.call_wall.p99),
        memory_peak_bytes: cost.memory_peak_bytes,
    };
    context.output.data(&view, shown);
    Ok(0)
}

fn shown(it: &View) -> String {
    let lines = [
        ("component", kib(it.bytes), "as it is handed on"),
        ("compile", format!("{:.2} s", it.compile_cpu_s), "of processor, once for each machine"),
        ("load", format!("{:.2} ms", it.load_cpu_ms), "of processor, at each start of the host"),
        ("first call", format!("{:.2} ms", it.first_call_cpu_ms), "of processor"),
        ("call", format!("{:.2} ms", it.call_cpu_ms), "of processor: a new instance, the call, its drop"),
        ("", format!("{:.2} ms", it.call_p50_ms), "half of the calls were faster"),
        ("", format!("{:.2} ms", it.call_p99_ms), "99 of 100 were"),
        ("memory", kib(it.memory_peak_bytes), "of an instance at most"),
    ];
    let mut text = format!("{} {}, {} calls of {}\n", styled(STRONG, &it.plugin), it.version, it.calls, it.called);
    for (name, value, words) in lines {
        text.push_str(&format!("  {name:<11}{value:>10}  {}\n", styled(DIM, words)));
    }
    text
}
