//! How a call that did not fail ended: done, or waiting.

use std::time::{Duration, SystemTime};

/// An operation's end, or its wait.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<Output, State> {
    /// The operation is complete.
    Done(Output),
    /// The operation goes on outside; the host drops this instance and wakes the step later.
    Suspended(Suspension<State>),
}

impl<Output, State> Outcome<Output, State> {
    /// The operation is complete.
    #[must_use = "an outcome ends a call where it is returned: `Ok(…)`"]
    pub fn done(output: Output) -> Self {
        Self::Done(output)
    }
}

/// What an action's `start` and `resume` answer.
pub type Answer<A> = Result<Outcome<<A as crate::Action>::Output, <A as crate::Action>::State>, crate::Failure>;

/// A wait: what to remember, what ends it, what people read meanwhile.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspension<State> {
    /// Given back to `resume`, at most 64 KiB when written. Never put a secret into it.
    pub state: State,
    /// The first to happen wakes the step.
    pub wakes: Vec<Wake>,
    /// What a person reads while it waits.
    pub status: String,
}

/// What ends a wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wake {
    /// This long after the host has recorded the suspension.
    After(Duration),
    /// At this time, or at once when it is past.
    At(SystemTime),
    /// When this callback topic is called.
    Callback(String),
}

/// Why a suspended step is resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A time was reached.
    Timer,
    /// A callback arrived.
    Callback(CallbackEvent),
}

/// A request that came in for a callback topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackEvent {
    /// The topic that was called.
    pub topic: String,
    /// The request's headers.
    pub headers: Vec<(String, String)>,
    /// The request's body.
    pub body: Vec<u8>,
}

impl CallbackEvent {
    /// Reads the body as JSON.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, crate::Failure> {
        crate::decode::json(&self.body).map_err(|problem| {
            crate::Failure::invalid("callback-body", format!("the callback's body is not what was expected: {problem}"))
        })
    }
}

/// Begins a suspension; [`Suspending::status`] ends it.
///
/// ```
/// # use windlass_sdk::{suspend, Outcome};
/// # use std::time::Duration;
/// let outcome: Outcome<(), u32> = suspend(7).after(Duration::from_secs(2)).status("build #7 is in the queue");
/// ```
pub fn suspend<State>(state: State) -> Suspending<State> {
    Suspending { state, wakes: Vec::new() }
}

/// A suspension in the making.
#[derive(Debug)]
#[must_use = "a suspension ends with `.status(…)`"]
pub struct Suspending<State> {
    state: State,
    wakes: Vec<Wake>,
}

impl<State> Suspending<State> {
    /// Wakes this long after the host has recorded the suspension.
    pub fn after(mut self, wait: Duration) -> Self {
        self.wakes.push(Wake::After(wait));
        self
    }

    /// Wakes at this time.
    pub fn at(mut self, time: SystemTime) -> Self {
        self.wakes.push(Wake::At(time));
        self
    }

    /// Wakes when this topic (from [`crate::Context::callback`]) is called.
    pub fn callback(mut self, topic: impl Into<String>) -> Self {
        self.wakes.push(Wake::Callback(topic.into()));
        self
    }

    /// Says what people read while it waits, and ends the sentence.
    pub fn status<Output>(self, status: impl Into<String>) -> Outcome<Output, State> {
        Outcome::Suspended(Suspension { state: self.state, wakes: self.wakes, status: status.into() })
    }
}
