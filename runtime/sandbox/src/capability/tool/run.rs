//! Starting a tool, looking after it, and ending it with its children.
//!
//! A tool runs in the process group of a watchdog: a shell that waits for the end of a pipe which only
//! this process holds. However this process ends, `kill -9` included, the pipe ends with it and the
//! watchdog kills its group, the tool's children among it. (A death signal of the kernel would reach
//! the tool alone, and depend on the thread that started it.)
//!
//! **Invariant:** the group is killed while its leader, the watchdog, is not reaped, so that its number
//! cannot belong to anybody else.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot, watch};
use tokio::task::JoinHandle;
use windlass_model::connection::Tool;

use super::files::Folders;
use super::stream::ToolStream;
use crate::cassette::Slot;
use crate::host::{LogLevel, LogSource};
use crate::shared::Shared;
use crate::stdio::Lines;

/// The shell that is the watchdog.
const SHELL: &str = "/bin/sh";

/// Where tools look for other programs.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// How long the output of a killed tool is read on: something that left its group may hold the pipe.
const LAST_OUTPUT_TIME_MAX: Duration = Duration::from_secs(2);

/// How ends are written down that have no code of their own.
pub(super) const TIMED_OUT: &str = "timed out";
pub(super) const OUTPUT_LIMIT: &str = "output limit";

/// How a tool ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    Exited(i32),
    TimedOut,
    OutputLimit,
    Signalled(String),
}

/// A tool that was started. Dropping it kills it.
pub(super) struct Process {
    pub(super) stdout: Option<ToolStream>,
    pub(super) stderr: Option<ToolStream>,
    pub(super) ended: watch::Receiver<Option<Ended>>,
    /// Its other end hears when this is dropped.
    pub(super) _alive: oneshot::Sender<()>,
}

/// What is to be started, and what goes with it.
pub(super) struct Ready {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) stdin: Vec<u8>,
    pub(super) folders: Folders,
    pub(super) permit: OwnedSemaphorePermit,
    /// Where it is written down, if it is.
    pub(super) slot: Option<Slot>,
}

pub(super) async fn start(shared: &Arc<Shared>, tool: &Tool, ready: Ready) -> Result<Process, String> {
    let Ready { program, arguments, stdin, folders, permit, slot } = ready;
    if arguments.iter().any(|it| it.contains('\0')) {
        return Err("an argument holds a NUL character".to_owned());
    }
    let work = folders.work.path();
    let mut environment = vec![
        ("PATH", PATH.into()),
        ("HOME", work.to_owned()),
        ("TMPDIR", work.join(".tmp")),
        ("LANG", "C.UTF-8".into()),
    ];
    environment.extend(folders.kubeconfig().map(|it| ("KUBECONFIG", it)));
    let job = Job { program, arguments, environment, folder: work.to_owned() };
    let mut started = launch(job).map_err(|error| format!("its program does not start: {}", error.kind()))?;
    let output = Output {
        shared: Arc::clone(shared),
        source: LogSource::Tool(tool.name.as_str().to_owned()),
        spent: AtomicU64::new(0),
        bytes_max: tool.output_bytes,
        exceeded: AtomicBool::new(false),
        full: Notify::new(),
        slot,
    };
    let output = Arc::new(output);
    let mut pumps = Vec::new();
    let stdout = started.tool.stdout.take().map(|it| pump(it, None, &output, &mut pumps));
    let stderr = started.tool.stderr.take().map(|it| pump(it, Some(LogLevel::Info), &output, &mut pumps));
    if let Some(mut pipe) = started.tool.stdin.take() {
        // A tool that does not read to the end of its input breaks the pipe, as it may.
        pumps.push(tokio::spawn(async move {
            let _ = pipe.write_all(&stdin).await;
        }));
    }
    let (alive, dropped) = oneshot::channel();
    let (ended, ended_receiver) = watch::channel(None);
    let wall = Duration::from_millis(tool.wall_ms);
    let guardian = tokio::spawn(async move {
        let end = guard(started, dropped, wall, &output, pumps).await;
        output.record_end(&end);
        drop(folders);
        drop(permit);
        let _ = ended.send(Some(end));
    });
    shared.add_tool(guardian);
    Ok(Process { stdout, stderr, ended: ended_receiver, _alive: alive })
}

/// Waits for the end of a tool, or makes it.
async fn guard(
    started: Started,
    dropped: oneshot::Receiver<()>,
    wall: Duration,
    output: &Output,
    pumps: Vec<JoinHandle<()>>,
) -> Ended {
    let Started { mut tool, mut watchdog, group } = started;
    let cause = tokio::select! {
        biased;
        _ = tool.wait() => None,
        () = output.full.notified() => Some(Ended::OutputLimit),
        () = tokio::time::sleep(wall) => Some(Ended::TimedOut),
        _ = dropped => Some(Ended::Signalled("dropped by the plugin".to_owned())),
    };
    if let Some(group) = group {
        // It fails only when all of the group has ended.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let status = tool.wait().await;
    // What it came to says nothing about the tool.
    let _ = watchdog.wait().await;
    let aborts: Vec<_> = pumps.iter().map(JoinHandle::abort_handle).collect();
    if tokio::time::timeout(LAST_OUTPUT_TIME_MAX, futures::future::join_all(pumps)).await.is_err() {
        aborts.iter().for_each(tokio::task::AbortHandle::abort);
    }
    if output.exceeded.load(Ordering::Relaxed) {
        return Ended::OutputLimit;
    }
    match (cause, status) {
        (Some(cause), _) => cause,
        (None, Ok(status)) => match (status.code(), status.signal()) {
            (Some(code), _) => Ended::Exited(code),
            (None, signal) => Ended::Signalled(format!("signal {}", signal.unwrap_or_default())),
        },
        (None, Err(error)) => Ended::Signalled(format!("its end could not be seen: {}", error.kind())),
    }
}

/// Where a tool's output goes and how much of it there may be.
struct Output {
    shared: Arc<Shared>,
    source: LogSource,
    spent: AtomicU64,
    bytes_max: u64,
    exceeded: AtomicBool,
    full: Notify,
    /// Where the tool is written down, if it is.
    slot: Option<Slot>,
}

impl Output {
    fn record(&self, is_error: bool, data: &[u8]) {
        if let Some(recorder) = self.shared.recorder() {
            recorder.tool_printed(self.slot, is_error, data);
        }
    }

    fn record_end(&self, ended: &Ended) {
        if let Some(recorder) = self.shared.recorder() {
            let end = match ended {
                Ended::Exited(code) => Ok(*code),
                Ended::TimedOut => Err(TIMED_OUT.to_owned()),
                Ended::OutputLimit => Err(OUTPUT_LIMIT.to_owned()),
                Ended::Signalled(signal) => Err(signal.clone()),
            };
            recorder.tool_ended(self.slot, end);
        }
    }

    /// Counts output; false when there is too much.
    fn take(&self, bytes: usize) -> bool {
        let spent = self.spent.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if spent > self.bytes_max {
            self.exceeded.store(true, Ordering::Relaxed);
            self.full.notify_one();
        }
        spent <= self.bytes_max
    }
}

fn pump(
    pipe: impl AsyncRead + Send + Unpin + 'static,
    level: Option<LogLevel>,
    output: &Arc<Output>,
    pumps: &mut Vec<JoinHandle<()>>,
) -> ToolStream {
    let (chunks, receiver) = tokio::sync::mpsc::unbounded_channel();
    pumps.push(tokio::spawn(read_all(pipe, level, Arc::clone(output), chunks)));
    ToolStream::new(receiver)
}

async fn read_all(
    mut pipe: impl AsyncRead + Unpin,
    level: Option<LogLevel>,
    output: Arc<Output>,
    chunks: UnboundedSender<Bytes>,
) {
    let mut scrubber = output.shared.scrubber().stream();
    let mut lines = Lines::default();
    let mut buffer = vec![0; 16 * 1024];
    // What a tool prints is data for the plugin, which logs what people should see of it; it may hold
    // what nobody should (a cluster's Secrets). What it says beside that is for people.
    let log = |line: String| {
        if let Some(level) = level {
            output.shared.log(level, line, Vec::new(), output.source.clone());
        }
    };
    loop {
        let read = match pipe.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        if !output.take(read) {
            return;
        }
        let clean = scrubber.push(&buffer[..read]);
        output.record(level.is_some(), &clean);
        lines.push(&clean, log);
        // The guest need not read it.
        let _ = chunks.send(Bytes::copy_from_slice(&clean));
    }
    let rest = scrubber.finish();
    output.record(level.is_some(), &rest);
    lines.push(&rest, log);
    if let Some(line) = lines.finish() {
        log(line);
    }
    if !rest.is_empty() {
        let _ = chunks.send(rest.into());
    }
}

/// What is to be started.
struct Job {
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(&'static str, PathBuf)>,
    folder: PathBuf,
}

/// A tool and the watchdog whose group it is in.
struct Started {
    tool: Child,
    watchdog: Child,
    group: Option<Pid>,
}

fn launch(job: Job) -> std::io::Result<Started> {
    let Job { program, arguments, environment, folder } = job;
    // Not killed on drop: when it is dropped its pipe is closed, and it kills the group.
    let watchdog = Command::new(SHELL)
        .args(["-c", "read -r _; kill -KILL 0"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let group = watchdog.id().and_then(|it| i32::try_from(it).ok());
    let group = group.ok_or_else(|| std::io::Error::other("the watchdog ended at once"))?;
    let tool = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(group)
        .kill_on_drop(true)
        .spawn()?;
    Ok(Started { tool, watchdog, group: Pid::from_raw(group) })
}
