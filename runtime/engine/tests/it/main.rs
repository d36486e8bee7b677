//! The engine, through one fake world: see `world.rs`.

mod alert;
mod approval;
mod bounds;
mod breaker;
mod callback;
mod decision;
mod dry_run;
mod effects;
mod ending;
mod fan_out;
mod flow;
mod hold;
mod intervention;
mod meddling;
mod prefixes;
mod preview;
mod queue;
mod rehearsal;
mod rollback;
mod simulated;
mod workflows;
mod world;
