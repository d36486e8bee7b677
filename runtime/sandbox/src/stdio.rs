//! A guest's standard output and error, line by line into the release's log.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::host::{LogLevel, LogSource};
use crate::shared::{LINE_BYTES_MAX, Shared};

/// One of the two; all its streams write to the same lines.
#[derive(Clone)]
pub(crate) struct CapturedOutput {
    shared: Arc<Shared>,
    lines: Arc<Mutex<Lines>>,
    source: LogSource,
}

impl CapturedOutput {
    pub(crate) fn new(shared: Arc<Shared>, source: LogSource) -> Self {
        Self { shared, lines: Arc::default(), source }
    }

    fn take(&self, line: String) {
        let level = match self.source {
            LogSource::Stderr => {
                self.shared.keep_stderr(&line);
                LogLevel::Warn
            }
            _ => LogLevel::Info,
        };
        self.shared.log(level, line, Vec::new(), self.source.clone());
    }
}

impl Drop for CapturedOutput {
    fn drop(&mut self) {
        // The streams that a guest holds share the lines; the last to go gives the unfinished one.
        if Arc::strong_count(&self.lines) == 1 {
            let rest = self.lines.lock().unwrap_or_else(PoisonError::into_inner).finish();
            if let Some(line) = rest {
                self.take(line);
            }
        }
    }
}

impl IsTerminal for CapturedOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for CapturedOutput {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for it, which is not linked.
        Box::new(tokio::io::sink())
    }
}

#[async_trait]
impl Pollable for CapturedOutput {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for CapturedOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let entries = bytes.iter().filter(|it| **it == b'\n').count();
        self.shared.spend_log(entries, bytes.len()).map_err(|stop| StreamError::Trap(stop.into()))?;
        let mut lines = Vec::new();
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(&bytes, |line| lines.push(line));
        for line in lines {
            self.take(line);
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 * 1024)
    }
}

/// Cuts bytes into lines of at most [`LINE_BYTES_MAX`].
#[derive(Default)]
pub(crate) struct Lines {
    unfinished: Vec<u8>,
}

impl Lines {
    /// Takes bytes and hands out the lines that they finish.
    pub(crate) fn push(&mut self, bytes: &[u8], mut line: impl FnMut(String)) {
        for part in bytes.split_inclusive(|&it| it == b'\n') {
            let (text, ended) = match part.strip_suffix(b"\n") {
                Some(text) => (text.strip_suffix(b"\r").unwrap_or(text), true),
                None => (part, false),
            };
            for piece in text.chunks(LINE_BYTES_MAX) {
                self.unfinished.extend_from_slice(piece);
                if self.unfinished.len() >= LINE_BYTES_MAX {
                    line(self.cut());
                }
            }
            if ended {
                line(self.cut());
            }
        }
    }

    /// The line that was not finished.
    pub(crate) fn finish(&mut self) -> Option<String> {
        (!self.unfinished.is_empty()).then(|| self.cut())
    }

    fn cut(&mut self) -> String {
        let line = std::mem::take(&mut self.unfinished);
        String::from_utf8(line).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_lines() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for chunk in ["a", "b\r\nc\n\n", "d"] {
            lines.push(chunk.as_bytes(), |it| seen.push(it));
        }
        seen.extend(lines.finish());
        assert_eq!(seen, ["ab", "c", "", "d"]);
        assert_eq!(lines.finish(), None);
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        lines.push(&vec![b'x'; 3 * LINE_BYTES_MAX + 1], |it| seen.push(it.len()));
        assert_eq!(seen, [LINE_BYTES_MAX; 3]);
        assert_eq!(lines.finish().as_deref(), Some("x"));
    }
}
