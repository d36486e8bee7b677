//! Alerts.

use minicbor::{Decode, Encode};

use super::Pair;

#[derive(Debug, Encode, Decode)]
pub struct Alert<'a> {
    #[b(0)]
    pub fingerprint: &'a str,
    #[n(1)]
    pub starts_at: u64,
    #[b(2)]
    pub labels: Vec<Pair<'a>>,
    #[b(3)]
    pub annotations: Vec<Pair<'a>>,
    #[b(4)]
    pub source: &'a str,
}

#[derive(Debug, Clone, Copy, Encode, Decode)]
#[cbor(index_only)]
pub enum OnAlert {
    #[n(0)]
    Rollback,
    #[n(1)]
    AfterConfirmation,
}
