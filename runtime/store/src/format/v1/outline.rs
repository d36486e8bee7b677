//! What is kept of a release beside its journal.

use minicbor::{Decode, Encode};

use super::Standing;

#[derive(Debug, Encode, Decode)]
pub struct Outline<'a> {
    #[b(0)]
    pub workflow: &'a str,
    #[n(1)]
    pub number: u64,
    #[b(2)]
    pub state: &'a str,
    #[n(3)]
    pub since: u64,
    #[n(4)]
    pub created_at: u64,
    #[n(5)]
    pub updated_at: u64,
    #[b(6)]
    pub requested_by: &'a str,
    #[b(7)]
    pub headline: &'a str,
    #[n(8)]
    pub open: bool,
    #[n(9)]
    pub rest: Option<Rest>,
    #[b(10)]
    pub standing: Option<Standing<'a>>,
    #[n(12)]
    pub promises: Option<bool>,
    #[n(13)]
    pub rehearsal: Option<bool>,
    #[n(14)]
    pub review: Option<bool>,
    #[n(15)]
    pub dry_run: Option<bool>,
}

#[derive(Debug, Clone, Copy, Encode, Decode)]
pub enum Rest {
    #[n(0)]
    Until(#[n(0)] u64),
    #[n(1)]
    ForInput,
    #[n(2)]
    ForBreaker(#[n(0)] Option<u64>),
}
