//! A deterministic simulation of the engine: more bad days than any user will have.
//!
//! From one number come a workflow, a world that fails, a store that fails, processes that end, people
//! who answer or meddle, and a clock that jumps; all in one thread and in a time of its own, so the
//! same number always tells the same story. After every durable record a [`witness`] judges it.
//!
//! **Invariant:** nothing here asks the machine for the time, for chance or for anything else.

pub mod counts;
pub mod dice;
mod driving;
mod dry_run;
pub mod people;
pub mod seeds;
pub mod simulation;
pub mod violation;
pub mod witness;
pub mod workflows;
pub mod world;

pub use simulation::{Detail, Ran, run};
