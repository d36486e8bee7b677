//! The simulation's quick set, and every seed that once found something.

mod quick;
mod seeds;
