//! What a failed attempt says; data for the journal, never a chain of sources.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Span;

/// What kind of failure, for the retry policy. The contract's `failure-class`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// Worth another try as it is.
    Transient,
    /// The other side asks for fewer requests.
    RateLimited,
    /// No answer or no end in time.
    TimedOut,
    /// Credentials missing, wrong or expired.
    Unauthenticated,
    /// The credentials or the grant do not allow it.
    Forbidden,
    /// What the input names does not exist.
    NotFound,
    /// Something else stands in the way now.
    Conflict,
    /// The input is wrong.
    Invalid,
    /// The work was done and the answer is no.
    Rejected,
    /// Somebody stopped it.
    Canceled,
    /// Something nobody understands.
    Internal,
}

impl FailureClass {
    /// Every class with its name.
    pub const ALL: [(FailureClass, &'static str); 11] = [
        (FailureClass::Transient, "transient"),
        (FailureClass::RateLimited, "rate_limited"),
        (FailureClass::TimedOut, "timed_out"),
        (FailureClass::Unauthenticated, "unauthenticated"),
        (FailureClass::Forbidden, "forbidden"),
        (FailureClass::NotFound, "not_found"),
        (FailureClass::Conflict, "conflict"),
        (FailureClass::Invalid, "invalid"),
        (FailureClass::Rejected, "rejected"),
        (FailureClass::Canceled, "canceled"),
        (FailureClass::Internal, "internal"),
    ];

    /// Its name as written in workflow files and journals.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find_map(|(class, name)| (class == self).then_some(name)).expect("every class is in ALL")
    }

    /// The class of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(class, it)| (it == name).then_some(class))
    }

    /// Whether the other side gave its answer, so that another attempt is a new logical call. After
    /// the other classes the effect may have happened, and the next attempt must look for it. Who is
    /// not let in learns nothing about what an earlier request did: a credential can expire between
    /// the request that starts a build and the one that asks how it is.
    pub fn is_definite(self) -> bool {
        match self {
            Self::NotFound | Self::Conflict | Self::Invalid | Self::Rejected | Self::Canceled => true,
            Self::Unauthenticated
            | Self::Forbidden
            | Self::Transient
            | Self::RateLimited
            | Self::TimedOut
            | Self::Internal => false,
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the plugin thinks of another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAdvice {
    /// As the policy says.
    #[default]
    ByPolicy,
    /// Not before this long.
    After(Span),
    /// No attempt with this input can succeed.
    Never,
    /// A person has to look first.
    Pause,
}

/// Who says that the attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureOrigin {
    /// The plugin declared it.
    Plugin,
    /// The host stopped or refused it: a trap, a limit, a denial, a broken contract.
    Host,
    /// The engine: a timeout, an expression that failed, an unknown end after a crash.
    Engine,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepError {
    /// Who says so.
    pub origin: FailureOrigin,
    /// What kind.
    pub class: FailureClass,
    /// Stable, for programs.
    pub code: String,
    /// For a person.
    pub message: String,
    /// What the plugin thinks of another attempt.
    #[serde(default)]
    pub advice: RetryAdvice,
    /// More, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<(String, String)>,
    /// Whether the host is sure that the call which failed changed nothing: it was not made, or nothing was done for it that
    /// could change something. Calls of the same attempt before it may have. Never what a plugin says of itself.
    #[serde(default, skip_serializing_if = "is_false")]
    pub without_effect: bool,
}

fn is_false(it: &bool) -> bool {
    !it
}

const EXPRESSION_FAILED: &str = "expression-failed";

impl StepError {
    /// A failure that the engine itself found.
    pub fn engine(class: FailureClass, code: &str, message: impl Into<String>) -> Self {
        Self {
            origin: FailureOrigin::Engine,
            class,
            code: code.to_owned(),
            message: message.into(),
            advice: RetryAdvice::ByPolicy,
            details: Vec::new(),
            without_effect: false,
        }
    }

    /// An expression of the step has no value. What expressions read does not change any more once a
    /// step may start, so no other attempt can succeed.
    pub fn expression(message: impl Into<String>) -> Self {
        let error = Self::engine(FailureClass::Invalid, EXPRESSION_FAILED, message);
        Self { advice: RetryAdvice::Never, ..error }
    }

    /// Whether the step failed before any call of its plugin, for want of an expression's value.
    pub fn is_of_expression(&self) -> bool {
        self.origin == FailureOrigin::Engine && self.code == EXPRESSION_FAILED
    }

    /// A failure that the host found: a trap, a limit, a denial.
    pub fn host(class: FailureClass, code: &str, message: impl Into<String>) -> Self {
        Self { origin: FailureOrigin::Host, ..Self::engine(class, code, message) }
    }

    /// A failure that the host found before anything was called.
    pub fn not_called(class: FailureClass, code: &str, message: impl Into<String>) -> Self {
        Self { without_effect: true, ..Self::host(class, code, message) }
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.code, self.class, self.message)
    }
}
