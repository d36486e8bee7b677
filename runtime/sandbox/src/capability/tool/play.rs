//! Tools of a call that is played again: none is started.

use tokio::sync::{oneshot, watch};
use windlass_bindings::windlass::plugin::tools::ToolError;

use super::run::{Ended, OUTPUT_LIMIT, Process, TIMED_OUT};
use super::stream::ToolStream;
use crate::cassette::ToolRan;

/// What a tool came to when it was recorded, as if it had run just now.
pub(super) fn process(ran: ToolRan) -> Result<Process, ToolError> {
    match ran {
        ToolRan::Ended { stdout, stderr, end } => {
            let ended = match end {
                Ok(code) => Ended::Exited(code),
                Err(how) if how == TIMED_OUT => Ended::TimedOut,
                Err(how) if how == OUTPUT_LIMIT => Ended::OutputLimit,
                Err(signal) => Ended::Signalled(signal),
            };
            Ok(Process {
                stdout: Some(ToolStream::of(stdout.bytes().unwrap_or_default())),
                stderr: Some(ToolStream::of(stderr.bytes().unwrap_or_default())),
                ended: watch::channel(Some(ended)).1,
                _alive: oneshot::channel().0,
            })
        }
        ToolRan::NotStarted(why) => Err(ToolError::NotStarted(why)),
        ToolRan::Denied(why) => Err(ToolError::Denied(why)),
    }
}
