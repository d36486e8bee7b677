//! What a dry run keeps of a step.

use minicbor::{Decode, Encode};

#[derive(Debug, Encode, Decode)]
pub struct DryRun<'a> {
    #[b(0)]
    pub would: Vec<Would<'a>>,
    #[n(1)]
    pub omitted: u64,
    #[b(2)]
    pub origin: Origin<'a>,
    #[b(3)]
    pub note: Option<&'a str>,
}

#[derive(Debug, Encode, Decode)]
pub struct Would<'a> {
    #[b(0)]
    pub what: &'a str,
    #[b(1)]
    pub body: &'a str,
    #[n(2)]
    pub body_bytes: u64,
}

#[derive(Debug, Encode, Decode)]
pub enum Origin<'a> {
    #[n(0)]
    Plugin,
    #[n(1)]
    Release {
        #[b(0)]
        workflow: &'a str,
        #[n(1)]
        number: u64,
    },
    #[n(2)]
    Schema,
}
