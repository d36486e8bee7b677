//! A deterministic simulation of the whole runtime: the real driver, several releases at once, and bad days.
//!
//! All of an installation – attendance, parking, drivers, breakers, nested releases – runs in one thread, in tokio's
//! paused time, on a store that fails and with a sandbox that lies. What becomes durable is read by others, who
//! judge it. From one number always comes the same story.
//!
//! **Invariant:** nothing here asks the machine for the time or for chance; the order of nothing depends on addresses
//! or on other threads.

mod breaking;
mod calls;
mod clock;
pub mod expected;
mod life;
mod people;
mod plans;
mod profile;
mod rounds;
mod run;
mod seen;
mod shared;
mod sharing;
mod store;

pub use run::{Place, Ran, run};
pub use shared::Detail;
