//! Lines for the release's log, and what people see while a call runs.
//!
//! **Invariant:** all of it counts against one limit, so that progress cannot flood what the log may
//! not.

use windlass_bindings::windlass::plugin::{log, progress};

use crate::host::{LogLevel, LogSource};
use crate::state::CallState;

impl log::Host for CallState {
    fn log(&mut self, level: log::Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        self.shared.target("log.log")?;
        let bytes = message.len() + fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        self.shared.spend_log(1 + fields.len(), bytes)?;
        let level = match level {
            log::Level::Trace => LogLevel::Trace,
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        self.shared.log(level, message, fields, LogSource::Plugin);
        Ok(())
    }
}

impl progress::Host for CallState {
    fn status(&mut self, text: String) -> wasmtime::Result<()> {
        self.shared.target("progress.status")?;
        self.shared.spend_log(1, text.len())?;
        self.shared.host.status(self.shared.scrubber().text(text));
        Ok(())
    }

    fn percent(&mut self, value: u8) -> wasmtime::Result<()> {
        self.shared.target("progress.percent")?;
        self.shared.spend_log(1, 0)?;
        self.shared.host.percent(value.min(100));
        Ok(())
    }

    fn link(&mut self, title: String, url: String) -> wasmtime::Result<()> {
        self.shared.target("progress.link")?;
        self.shared.spend_log(1, title.len() + url.len())?;
        if url.starts_with("https://") || url.starts_with("http://") {
            let scrubber = self.shared.scrubber();
            self.shared.host.link(scrubber.text(title), scrubber.text(url));
        }
        Ok(())
    }
}
