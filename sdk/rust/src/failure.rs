//! What a plugin says when an operation does not succeed.

use std::fmt;
use std::time::Duration;

/// What kind of failure, for the workflow's retry policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// Worth another try as it is: a lost connection, a 503.
    Transient,
    /// The other side asks for fewer requests: a 429.
    RateLimited,
    /// The other side did not answer or finish in time.
    TimedOut,
    /// Credentials are missing, wrong or expired: a 401.
    Unauthenticated,
    /// The credentials, or the host's grant, do not allow it.
    Forbidden,
    /// What the input names does not exist.
    NotFound,
    /// Something else stands in the way now: a lock, a concurrent edit.
    Conflict,
    /// The input is wrong.
    Invalid,
    /// The other side did the work and the answer is no: a failed build, a rejected change.
    Rejected,
    /// Somebody stopped it on the other side.
    Canceled,
    /// The plugin met something that it does not understand.
    Internal,
}

impl FailureClass {
    /// Tells whether the same request may well succeed a little later: what a step that polls should sit out.
    pub fn passes(self) -> bool {
        matches!(self, Self::Transient | Self::RateLimited | Self::TimedOut)
    }
}

/// What the plugin thinks of another attempt; the workflow's policy bounds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAdvice {
    /// As the workflow's retry policy says for the class.
    ByPolicy,
    /// Another attempt, not before this long.
    After(Duration),
    /// No attempt of the same input can succeed.
    Never,
    /// A person has to look at it first.
    Pause,
}

/// A failure: its class for the policy, a stable code for programs, a message for people.
///
/// ```
/// use windlass_sdk::Failure;
/// let failure = Failure::rejected("build-failed", "build #812 of payments failed").detail("url", "https://ci/812");
/// assert_eq!(failure.code, "build-failed");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// What kind of failure.
    pub class: FailureClass,
    /// Stable and the plugin's own: `queue-item-cancelled`.
    pub code: String,
    /// For a person: what happened, to what, what to do.
    pub message: String,
    /// What the plugin thinks of another attempt.
    pub retry: RetryAdvice,
    /// More, by name.
    pub details: Vec<(String, String)>,
}

macro_rules! constructors {
    ($( $(#[$doc:meta])* $name:ident => $class:ident; )*) => {
        $( $(#[$doc])*
        #[must_use = "a failure ends a call where it is returned: `Err(…)`"]
        pub fn $name(code: impl Into<String>, message: impl Into<String>) -> Self {
            Self::new(FailureClass::$class, code, message)
        } )*
    };
}

impl Failure {
    /// A failure of a class, retried as the workflow's policy says.
    #[must_use = "a failure ends a call where it is returned: `Err(…)`"]
    pub fn new(class: FailureClass, code: impl Into<String>, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self { class, code, message, retry: RetryAdvice::ByPolicy, details: Vec::new() }
    }

    constructors! {
        /// Worth another try as it is.
        transient => Transient;
        /// The other side asks for fewer requests.
        rate_limited => RateLimited;
        /// The other side did not answer or finish in time.
        timed_out => TimedOut;
        /// Credentials are missing, wrong or expired.
        unauthenticated => Unauthenticated;
        /// The credentials, or the host's grant, do not allow it.
        forbidden => Forbidden;
        /// What the input names does not exist.
        not_found => NotFound;
        /// Something else stands in the way now.
        conflict => Conflict;
        /// The input is wrong.
        invalid => Invalid;
        /// The other side did the work and the answer is no.
        rejected => Rejected;
        /// Somebody stopped it on the other side.
        canceled => Canceled;
        /// The plugin met something that it does not understand.
        internal => Internal;
    }

    /// Advises against any attempt of the same input.
    #[must_use = "a failure ends a call where it is returned: `Err(…)`"]
    pub fn never(mut self) -> Self {
        self.retry = RetryAdvice::Never;
        self
    }

    /// Advises to wait for a person.
    #[must_use = "a failure ends a call where it is returned: `Err(…)`"]
    pub fn pause(mut self) -> Self {
        self.retry = RetryAdvice::Pause;
        self
    }

    /// Advises another attempt, not before this long.
    #[must_use = "a failure ends a call where it is returned: `Err(…)`"]
    pub fn after(mut self, wait: Duration) -> Self {
        self.retry = RetryAdvice::After(wait);
        self
    }

    /// Adds a detail.
    #[must_use = "a failure ends a call where it is returned: `Err(…)`"]
    pub fn detail(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.details.push((name.into(), value.to_string()));
        self
    }

    /// Puts what was being done in front of the message: `reading the change: the server answered 503`.
    #[must_use = "a failure ends a call where it is returned: `Err(…)`"]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for Failure {}
