//! The moving parts: what carries inputs to the engine and its commands to the world.
//!
//! One process owns a state directory. It drives every open release ([`driver`]), answers a small HTTP
//! API on a Unix socket ([`api`]), takes callbacks from the network if it is told to ([`callbacks`]) and keeps
//! what operators declare ([`catalog`]). Commands use the same API whether it is another process that
//! answers or this one ([`client`]).
//!
//! **Invariant:** what the engine decided is in the store before anything is done about it.
//! **Invariant:** a release is shown by one type, [`view::ReleaseView`], wherever it is shown.

pub mod admission;
pub mod alerts;
pub mod api;
pub mod backup;
pub mod breakers;
pub mod callbacks;
pub mod catalog;
mod circle;
pub mod client;
pub mod clock;
pub mod components;
pub mod driver;
pub mod going_back;
pub mod people;
pub mod plans;
pub mod rehearsal;
mod repin;
pub mod runtime;
pub mod schedules;
pub mod services;
pub mod state_directory;
pub mod step_host;
pub mod step_log;
pub mod upkeep;
pub mod view;
mod within;

mod attendance;
mod begin;
mod call;
pub mod dry_run;
mod nested;
mod parking;
pub mod recordings;
mod supervise;
mod topic;
mod triggers;
pub mod winding_down;

pub use attendance::Attended;
pub use client::Client;
pub use runtime::{Runtime, RuntimeError, RuntimeOptions};
pub use state_directory::StateDirectory;
