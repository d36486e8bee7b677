//! ServiceNow: changes from their creation to their closing, their tasks, evidence, approvals and conflicts.
//!
//! **Invariant:** every action may be called again after an attempt whose end is unknown. What is created carries the
//! step's idempotency key as `correlation_id` and is looked for first; notes carry a mark; moves and fields say what
//! is to be, not what is to be done.

mod approvals;
mod conflicts;
mod create_change;
mod evidence;
mod instance;
mod read_change;
mod record;
mod states;
mod tasks;
mod update_change;

use approvals::{AwaitApproval, ReadApprovals};
use conflicts::CheckConflicts;
use create_change::CreateChange;
use evidence::AttachEvidence;
use read_change::ReadChange;
use tasks::{CloseTask, CreateTask, UpdateTask};
use update_change::{CloseChange, MoveChange, UpdateChange};

windlass_sdk::plugin! {
    name: "servicenow",
    description: "Creates, moves and closes changes in ServiceNow, with tasks, evidence, approvals and conflicts.",
    actions: [
        CreateChange: find + rollback,
        UpdateChange,
        MoveChange,
        CloseChange,
        CreateTask: find + rollback,
        UpdateTask,
        CloseTask,
        AttachEvidence,
        ReadApprovals,
        AwaitApproval,
        CheckConflicts,
        ReadChange,
    ],
}
