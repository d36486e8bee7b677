//! Printing: the only place where anything is written to the terminal.

use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use windlass_server::client::ClientError;

use crate::hint;

/// Where and how to print.
pub(crate) struct Output {
    json: bool,
}

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const WAIT: Style = AnsiColor::Yellow.on_default();
pub(crate) const BUSY: Style = AnsiColor::Cyan.on_default();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const STRONG: Style = Style::new().bold();

/// `text` in a style, for streams that take styles out where they do not belong.
pub(crate) fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether programs read it.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a person reads it and lines can be drawn anew.
    pub(crate) fn is_live(&self) -> bool {
        !self.json && std::io::stdout().is_terminal()
    }

    /// Data: as JSON, or as people read it.
    pub(crate) fn data<T: Serialize>(&self, value: &T, people: impl FnOnce(&T) -> String) {
        let text = if self.json { serde_json::to_string_pretty(value).unwrap_or_default() } else { people(value) };
        self.text(&text);
    }

    /// Text to standard output, with one line end at its end.
    pub(crate) fn text(&self, text: &str) {
        let mut out = anstream::stdout().lock();
        let end = if text.ends_with('\n') { "" } else { "\n" };
        // A reader that went away is no fault of ours.
        let _ = write!(out, "{text}{end}");
        let _ = out.flush();
    }

    /// What is going on, to standard error; not for programs.
    pub(crate) fn note(&self, text: impl std::fmt::Display) {
        if !self.json {
            let _ = writeln!(anstream::stderr().lock(), "{text}");
        }
    }

    /// Asks a question on the terminal; none when nobody is there to answer.
    pub(crate) async fn ask(&self, question: &str) -> anyhow::Result<Option<String>> {
        if self.json || !std::io::stdin().is_terminal() {
            return Ok(None);
        }
        let _ = write!(anstream::stderr(), "{question}");
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map(|read| (read > 0).then_some(line))
        });
        Ok(line.await??)
    }

    /// Problems of a file, as they were rendered.
    pub(crate) fn problems(&self, rendered: &str) {
        if !self.json {
            let _ = write!(anstream::stderr().lock(), "{rendered}");
        }
    }

    /// Whether problems are to be rendered in colours.
    pub(crate) fn has_color(&self) -> bool {
        !self.json && std::io::stderr().is_terminal()
    }

    /// What could not be done.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        if self.json {
            let problems = error.downcast_ref::<ClientError>().and_then(|it| match it {
                ClientError::Refused { body, .. } => body.problems.as_ref().map(|it| it.problems.clone()),
                ClientError::Runtime(_) | ClientError::NoAnswer { .. } | ClientError::Unreadable(_) => None,
            });
            let body = serde_json::json!({"error": format!("{error:#}"), "problems": problems});
            self.text(&body.to_string());
            return;
        }
        let mut stream = anstream::stderr().lock();
        let _ = writeln!(stream, "{}: {error:#}", styled(BAD, "error"));
        if let Some(hint) = hint::of(error) {
            let _ = writeln!(stream, "{}: {hint}", styled(STRONG, "hint"));
        }
    }
}
