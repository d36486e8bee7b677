//! What changes something needs something that rolls it back, where an operator said so.

use windlass_model::check::check_triggers;
use windlass_model::parse::Planned;

use crate::runtime::{Runtime, RuntimeError};

impl Runtime {
    /// Refuses what would change something where a rollback trigger is needed, and has none.
    pub(crate) fn check_triggers(&self, planned: &Planned) -> Result<(), RuntimeError> {
        let problem = check_triggers(&planned.plan, &planned.inner, &self.catalog());
        problem.map_or(Ok(()), |it| Err(RuntimeError::NoRollbackTrigger(it)))
    }
}
