//! Native tools: what to run, and what came of it.

use std::borrow::Cow;

use crate::failure::Failure;
use crate::host::{Host, ToolCommand, ToolError, ToolStream};

const OUTPUT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A tool about to be run.
#[must_use = "a tool runs with `.run()`"]
pub struct ToolRun<'a> {
    host: &'a dyn Host,
    command: ToolCommand,
    limit: usize,
}

/// How a tool ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolOutput {
    /// The tool's name.
    pub tool: String,
    /// Exit code.
    pub exit_code: i32,
    /// Standard output, up to the limit.
    pub stdout: Vec<u8>,
    /// Standard error, up to the limit.
    pub stderr: Vec<u8>,
    /// Whether an output went on past the limit.
    pub truncated: bool,
}

impl<'a> ToolRun<'a> {
    pub(crate) fn new(host: &'a dyn Host, tool: &str) -> Self {
        Self {
            host,
            command: ToolCommand {
                tool: tool.to_owned(),
                arguments: Vec::new(),
                connection: None,
                files: Vec::new(),
                stdin: Vec::new(),
            },
            limit: OUTPUT_BYTES_MAX,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.command.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    pub fn args<Argument: Into<String>>(mut self, arguments: impl IntoIterator<Item = Argument>) -> Self {
        self.command.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Puts a file into the tool's working directory: a relative path without `..`.
    pub fn file(mut self, path: impl Into<String>, contents: impl Into<Vec<u8>>) -> Self {
        self.command.files.push((path.into(), contents.into()));
        self
    }

    /// The role whose credential the tool receives.
    pub fn connection(mut self, role: impl Into<String>) -> Self {
        self.command.connection = Some(role.into());
        self
    }

    /// Standard input.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.command.stdin = bytes.into();
        self
    }

    /// Keeps at most this much of each output (4 MiB if not said).
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Runs it to its end and keeps its output. An exit code other than 0 is no failure here; see
    /// [`ToolOutput::success`].
    pub fn run(self) -> Result<ToolOutput, Failure> {
        self.run_with(|_, _| ())
    }

    /// As [`run`](Self::run), and hands over each line as it comes, without its line end: for example to the log.
    pub fn run_with(self, mut line: impl FnMut(ToolStream, &str)) -> Result<ToolOutput, Failure> {
        let tool = self.command.tool.clone();
        let failed = |error| tool_failure(&tool, error);
        let mut process = self.host.run_tool(self.command).map_err(failed)?;
        let mut output = ToolOutput { tool: tool.clone(), ..ToolOutput::default() };
        let (mut stdout_lines, mut stderr_lines) = (Lines::default(), Lines::default());
        while let Some((stream, bytes)) = process.read() {
            let (kept, lines) = match stream {
                ToolStream::Stdout => (&mut output.stdout, &mut stdout_lines),
                ToolStream::Stderr => (&mut output.stderr, &mut stderr_lines),
            };
            let room = self.limit.saturating_sub(kept.len()).min(bytes.len());
            kept.extend_from_slice(&bytes[..room]);
            output.truncated |= room < bytes.len();
            lines.push(&bytes, |text| line(stream, text));
        }
        stdout_lines.end(|text| line(ToolStream::Stdout, text));
        stderr_lines.end(|text| line(ToolStream::Stderr, text));
        output.exit_code = process.wait().map_err(failed)?;
        Ok(output)
    }

    /// Runs it with each line of its standard output in the log at level debug: 256 KiB in all, and 8 KiB of a line, so that a
    /// tool that prints without end is no reason for the host to end the call. What it says on standard error is in the log
    /// however it is run; the host puts it there.
    pub fn run_logged(self) -> Result<ToolOutput, Failure> {
        self.logged(crate::Level::Debug)
    }

    /// As [`run_logged`](Self::run_logged), at level info: for tools that print for people.
    pub fn run_shown(self) -> Result<ToolOutput, Failure> {
        self.logged(crate::Level::Info)
    }

    fn logged(self, level: crate::Level) -> Result<ToolOutput, Failure> {
        let (host, tool) = (self.host, self.command.tool.clone());
        let fields = [("tool".to_owned(), tool.clone()), ("stream".to_owned(), "stdout".to_owned())];
        let (mut room, mut is_full) = (LOGGED_BYTES_MAX, false);
        self.run_with(|stream, text| {
            if stream == ToolStream::Stderr || is_full {
                return;
            }
            let shown = shortened(text);
            is_full = shown.len() + LINE_COST > room;
            if is_full {
                let kib = LOGGED_BYTES_MAX / 1024;
                host.log(crate::Level::Warn, &format!("`{tool}` prints more; {kib} KiB of it are in the log"), &fields);
            } else {
                room -= shown.len() + LINE_COST;
                host.log(level, &shown, &fields);
            }
        })
    }
}

/// What [`ToolRun::run_logged`] writes to the log at most: a quarter of what a host takes of a call unless the manifest says
/// more.
const LOGGED_BYTES_MAX: usize = 256 * 1024;

/// The same of one line.
const LOGGED_LINE_BYTES_MAX: usize = 8 * 1024;

/// What a host counts for each line, and each of its fields, beside the text, and the fields.
const LINE_COST: usize = 256;

/// A line as it is logged.
fn shortened(text: &str) -> Cow<'_, str> {
    if text.len() <= LOGGED_LINE_BYTES_MAX {
        return text.into();
    }
    format!("{}…", &text[..text.floor_char_boundary(LOGGED_LINE_BYTES_MAX - '…'.len_utf8())]).into()
}

impl ToolOutput {
    /// Standard output as text.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Reads standard output as JSON.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Failure> {
        crate::decode::json(&self.stdout).map_err(|problem| {
            let message = format!("`{}` wrote something unexpected: {problem}", self.tool);
            Failure::internal("tool-output", message)
        })
    }

    /// Itself if the exit code is 0, otherwise a failure with the end of standard error.
    pub fn success(self) -> Result<Self, Failure> {
        if self.exit_code == 0 {
            return Ok(self);
        }
        let stderr = self.stderr_text();
        let said = stderr.trim();
        let tail: String = said.chars().skip(said.chars().count().saturating_sub(2_000)).collect();
        let message = format!("`{}` ended with exit code {}: {tail}", self.tool, self.exit_code);
        Err(Failure::rejected("tool-failed", message).detail("exit_code", self.exit_code))
    }
}

/// Cuts chunks into lines.
#[derive(Default)]
struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&str)) {
        const LINE_BYTES_MAX: usize = 64 * 1024;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.partial.len() > LINE_BYTES_MAX {
                self.end(&mut line);
            }
        }
    }

    fn end(&mut self, mut line: impl FnMut(&str)) {
        if !self.partial.is_empty() {
            line(String::from_utf8_lossy(&self.partial).trim_end_matches(['\n', '\r']));
            self.partial.clear();
        }
    }
}

fn tool_failure(tool: &str, error: ToolError) -> Failure {
    match error {
        ToolError::Denied(grant) => {
            Failure::forbidden("tool-denied", format!("the tool `{tool}` is not granted: {grant}")).never()
        }
        ToolError::NotStarted(why) => {
            Failure::internal("tool-not-started", format!("the tool `{tool}` could not be started: {why}")).never()
        }
        ToolError::TimedOut => {
            Failure::timed_out("tool-timed-out", format!("the tool `{tool}` was killed at its time limit"))
        }
        ToolError::OutputLimit => {
            Failure::internal("tool-output-limit", format!("the tool `{tool}` was killed at its output limit")).never()
        }
        ToolError::Killed(signal) => {
            Failure::transient("tool-killed", format!("the tool `{tool}` was ended by {signal}"))
        }
    }
}
