//! Why the host ended a call: every limit, trap and refusal as the error that the journal keeps.
//!
//! **Invariant:** the codes in here are stable; workflows and programs match on them.

use windlass_model::failure::{FailureClass, StepError};
use windlass_model::manifest::EffectiveLimits;

use crate::shared::ENTRY_BYTES;

/// An error of the host on its way through wasmtime.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Stop(pub(crate) StepError);

/// A limit of [`EffectiveLimits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Cpu,
    Wall,
    Memory,
    Output,
    Log,
    State,
    HttpRequests,
    RequestBytes,
    ResponseBytes,
    ToolCalls,
}

impl Limit {
    fn code(self) -> &'static str {
        match self {
            Self::Cpu => "cpu-limit",
            Self::Wall => "wall-limit",
            Self::Memory => "memory-limit",
            Self::Output => "output-limit",
            Self::Log => "log-limit",
            Self::State => "state-limit",
            Self::HttpRequests => "http-requests-limit",
            Self::RequestBytes => "http-request-bytes-limit",
            Self::ResponseBytes => "http-response-bytes-limit",
            Self::ToolCalls => "tool-calls-limit",
        }
    }

    fn setting(self) -> &'static str {
        match self {
            Self::Cpu => "cpu_ms",
            Self::Wall => "wall_ms",
            Self::Memory => "memory_bytes",
            Self::Output => "output_bytes",
            Self::Log => "log_bytes",
            Self::State => "state_bytes",
            Self::HttpRequests => "http_requests",
            Self::RequestBytes => "request_bytes",
            Self::ResponseBytes => "response_bytes",
            Self::ToolCalls => "tool_calls",
        }
    }

    /// Its value among `limits`.
    pub(crate) fn of(self, limits: &EffectiveLimits) -> u64 {
        match self {
            Self::Cpu => limits.cpu_ms,
            Self::Wall => limits.wall_ms,
            Self::Memory => limits.memory_bytes,
            Self::Output => limits.output_bytes,
            Self::Log => limits.log_bytes,
            Self::State => limits.state_bytes,
            Self::HttpRequests => limits.http_requests,
            Self::RequestBytes => limits.request_bytes,
            Self::ResponseBytes => limits.response_bytes,
            Self::ToolCalls => limits.tool_calls,
        }
    }

    fn said(self, value: u64) -> String {
        match self {
            Self::Cpu => format!("the call used more than {value} ms of processor time"),
            Self::Wall => format!("the call took longer than {value} ms, host calls included"),
            Self::Memory => format!("the plugin asked for more than {value} bytes of memory and tables"),
            Self::Output => format!("the plugin's answer is larger than {value} bytes"),
            Self::Log => {
                format!(
                    "the plugin wrote more than {value} bytes of log, progress and standard output and error, {ENTRY_BYTES} of them for each line"
                )
            }
            Self::State => format!("the suspension's state is larger than {value} bytes"),
            Self::HttpRequests => format!("the plugin made more than {value} HTTP requests in one call"),
            Self::RequestBytes => format!("the plugin sent more than {value} bytes in HTTP requests in one call"),
            Self::ResponseBytes => format!("the plugin read more than {value} bytes of HTTP responses in one call"),
            Self::ToolCalls => format!("the plugin ran more than {value} tools in one call"),
        }
    }
}

/// The error of a call that hit `limit`, with what would raise it.
pub(crate) fn limit_hit(limit: Limit, limits: &EffectiveLimits, bound: &EffectiveLimits) -> StepError {
    let (value, highest, setting) = (limit.of(limits), limit.of(bound), limit.setting());
    let remedy = if value < highest {
        format!(
            "the action's manifest raises it with `\"limits\": {{\"{setting}\": …}}`, up to the operator's bound of {highest}"
        )
    } else {
        format!("that is the operator's bound `{setting}`")
    };
    let class = match limit {
        Limit::Wall => FailureClass::TimedOut,
        _ => FailureClass::Internal,
    };
    let mut error = StepError::host(class, limit.code(), format!("{}; {remedy}", limit.said(value)));
    error.details.push(("limit".to_owned(), setting.to_owned()));
    error.details.push(("value".to_owned(), value.to_string()));
    error
}

/// An error of the plugin's own making, in the host's words.
pub(crate) fn broken(code: &str, message: impl Into<String>) -> StepError {
    StepError::host(FailureClass::Internal, code, message)
}
