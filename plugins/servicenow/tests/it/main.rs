//! The plugin against a small ServiceNow that lives in memory.

mod changes;
mod fake;
mod tasks_and_evidence;
mod waits;
