//! The console, streamed into the release's log poll by poll.

use crate::api::Jenkins;
use crate::job::JobName;
use serde::{Deserialize, Serialize};
use windlass_sdk::{Context, Failure};

/// The most that is read in one poll; what is further behind is left out, with a line that says so.
const READ_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The most that one poll logs: the host bounds a call's log at 1 MiB.
const LOG_BYTES_MAX: usize = 512 * 1024;
/// The longest beginning of a line that waits for its end.
const PARTIAL_BYTES_MAX: usize = 8 * 1024;

/// How much of the console is in the log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConsolePosition {
    /// Jenkins' offset, which counts bytes of its file: more than the text has where that holds annotations.
    offset: u64,
    /// The beginning of a line whose end is not written yet.
    partial: String,
}

/// What a poll brought.
pub(crate) struct Streamed {
    pub(crate) news: bool,
    /// Whether Jenkins may have more to give.
    pub(crate) more: bool,
}

impl ConsolePosition {
    /// Logs what is new.
    pub(crate) fn stream(
        &mut self,
        ctx: &Context,
        jenkins: &Jenkins,
        job: &JobName,
        number: u64,
    ) -> Result<Streamed, Failure> {
        let limit = usize::try_from(2 * READ_BYTES_MAX).unwrap_or(usize::MAX);
        let part = jenkins.console(job, number, self.offset, limit)?;
        let behind = part.end.map_or(0, |end| end.saturating_sub(self.offset));
        let log = ctx.log().field("source", "console").field("build", number);
        if behind > READ_BYTES_MAX {
            log.warn(format!("… {behind} bytes of the console are left out here; Jenkins has them"));
            self.offset = part.end.unwrap_or(self.offset);
            self.partial.clear();
            return Ok(Streamed { news: true, more: part.more });
        }
        let more = part.more;
        let end = part.end;
        let (bytes, _) = part.response.prefix()?;
        let news = !bytes.is_empty();
        self.offset = end.unwrap_or(self.offset + bytes.len() as u64);
        let text = std::mem::take(&mut self.partial) + &String::from_utf8_lossy(&bytes);
        let (lines, partial) = match text.rsplit_once('\n') {
            Some((lines, partial)) => (Some(lines), partial),
            None => (None, text.as_str()),
        };
        let mut room = LOG_BYTES_MAX;
        let (mut left_out, mut lines) = (0_usize, lines.into_iter().flat_map(str::lines));
        for line in lines.by_ref() {
            match room.checked_sub(line.len() + 64) {
                Some(rest) => {
                    room = rest;
                    log.info(line);
                }
                None => {
                    left_out = 1;
                    break;
                }
            }
        }
        left_out += lines.count();
        if left_out > 0 {
            log.warn(format!("… {left_out} lines of the console are left out here; Jenkins has them"));
        }
        if partial.len() > PARTIAL_BYTES_MAX {
            let shown: String = partial.chars().take(PARTIAL_BYTES_MAX).collect();
            log.info(shown);
        } else {
            self.partial = partial.to_owned();
        }
        Ok(Streamed { news, more })
    }

    /// Logs what is left of a last line without an end.
    pub(crate) fn end(&mut self, ctx: &Context, number: u64) {
        let partial = std::mem::take(&mut self.partial);
        if !partial.is_empty() {
            ctx.log().field("source", "console").field("build", number).info(partial);
        }
    }
}
