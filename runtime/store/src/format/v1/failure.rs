//! Why an attempt failed.

use minicbor::{Decode, Encode};

use super::Pair;

#[derive(Debug, Encode, Decode)]
pub struct StepError<'a> {
    #[n(0)]
    pub origin: FailureOrigin,
    #[n(1)]
    pub class: FailureClass,
    #[b(2)]
    pub code: &'a str,
    #[b(3)]
    pub message: &'a str,
    #[n(4)]
    pub advice: RetryAdvice,
    #[b(5)]
    pub details: Vec<Pair<'a>>,
    #[n(6)]
    pub without_effect: Option<bool>,
}

#[derive(Debug, Clone, Copy, Encode, Decode)]
#[cbor(index_only)]
pub enum FailureOrigin {
    #[n(0)]
    Plugin,
    #[n(1)]
    Host,
    #[n(2)]
    Engine,
}

#[derive(Debug, Clone, Copy, Encode, Decode)]
#[cbor(index_only)]
pub enum FailureClass {
    #[n(0)]
    Transient,
    #[n(1)]
    RateLimited,
    #[n(2)]
    TimedOut,
    #[n(3)]
    Unauthenticated,
    #[n(4)]
    Forbidden,
    #[n(5)]
    NotFound,
    #[n(6)]
    Conflict,
    #[n(7)]
    Invalid,
    #[n(8)]
    Rejected,
    #[n(9)]
    Canceled,
    #[n(10)]
    Internal,
}

#[derive(Debug, Clone, Copy, Encode, Decode)]
pub enum RetryAdvice {
    #[n(0)]
    ByPolicy,
    #[n(1)]
    After(#[n(0)] u64),
    #[n(2)]
    Never,
    #[n(3)]
    Pause,
}
