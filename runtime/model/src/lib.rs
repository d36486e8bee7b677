//! What a workflow, a plugin, a grant and a release's events *are*.
//!
//! Data and the rules that hold for it, and the reading of workflow files; no IO, no clock, no async.
//!
//! **Invariant:** a name or an id is checked when it is made, so nobody checks it again.
//! **Invariant:** petgraph stays inside [`graph`]; others ask for parents and children.
//! **Invariant:** nothing here knows how anything is written to disk; see the store's `format`.

pub mod actor;
pub mod alert;
pub mod artifact;
pub mod breaker;
pub mod cause;
pub mod check;
pub mod compare;
pub mod concurrency;
pub mod connection;
pub mod decision;
pub mod digest;
pub mod draw;
pub mod dry_run;
pub mod event;
pub mod example;
pub mod expression;
pub mod failure;
pub mod fan_out;
pub mod grant;
pub mod graph;
pub mod manifest;
pub mod name;
pub mod parse;
pub mod plan;
pub mod problem;
pub mod review;
pub mod schedule;
pub mod schema_cost;
pub mod service;
pub mod template;
pub mod text;
pub mod time;
pub mod workflow;
