//! What a release needs before it begins, and how it stands in its queues.

use minicbor::{Decode, Encode};

#[derive(Debug, Encode, Decode)]
pub struct Claim<'a> {
    #[b(0)]
    pub group: Option<Group<'a>>,
    #[b(1)]
    pub tenant: &'a str,
    #[n(2)]
    pub priority: Priority,
}

#[derive(Debug, Encode, Decode)]
pub struct Group<'a> {
    #[b(0)]
    pub name: &'a str,
    #[n(1)]
    pub order: QueueOrder,
    #[n(2)]
    pub limit: u32,
}

#[derive(Debug, Clone, Copy, Encode, Decode)]
#[cbor(index_only)]
pub enum QueueOrder {
    #[n(0)]
    Unordered,
    #[n(1)]
    OldestFirst,
    #[n(2)]
    NewestFirst,
    #[n(3)]
    LatestOnly,
}

#[derive(Debug, Clone, Copy, Encode, Decode)]
#[cbor(index_only)]
pub enum Priority {
    #[n(0)]
    Urgent,
    #[n(1)]
    Normal,
    #[n(2)]
    Low,
}

#[derive(Debug, Encode, Decode)]
pub struct Standing<'a> {
    #[b(0)]
    pub claim: Claim<'a>,
    #[n(1)]
    pub admitted: bool,
    #[n(2)]
    pub counted: bool,
}
