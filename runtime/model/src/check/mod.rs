//! Whether a workflow makes sense: by itself ([`alone`]), and with what is installed ([`against`]).
//!
//! **Invariant:** checks only read; each says all that it finds, and none relies on another's result.

mod copies;
mod expression;
mod given;
mod input;
mod order;
mod plugins;
pub(crate) mod schema;
mod triggers;

use crate::parse::Draft;
use crate::problem::Report;

pub use copies::{Copies, OnCopies, check_copies};
pub use given::check_inputs_given;
pub(crate) use plugins::against;
pub use plugins::{Catalog, InnerWorkflow, Installed, PluginLookup};
pub use schema::{InputProblem, input_problems};
pub use triggers::check_triggers;

/// Checks all that follows from the file alone.
pub(crate) fn alone(draft: &Draft, report: &mut Report<'_>) {
    let order = order::check(draft, report);
    expression::check(draft, &order, &|_| None, expression::Thoroughness::Everything, report);
}
