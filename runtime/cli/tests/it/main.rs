//! End-to-end tests: the `windlass` command as people run it, with the plugins of this repository as
//! components, against simulated counterparts.
//!
//! **Invariant:** no test waits for a time to pass; it waits for a condition, until a deadline.

mod alerts;
mod artifact;
mod author;
mod author_loop;
mod backup;
mod breaker;
mod callback;
mod cassette;
mod certify;
mod circles;
mod concurrency;
mod contract_page;
mod cookbook;
mod crash;
mod crash_helm;
mod dry_run;
mod ending;
mod every_position;
mod fan_out;
mod first_plugin;
mod fuzz;
mod hostile;
mod https;
mod intervention;
mod languages;
mod nested;
mod parking;
mod rehearsal;
mod rollback;
mod schedules;
mod services;
mod store;
mod support;
mod surface;
mod winding_down;
