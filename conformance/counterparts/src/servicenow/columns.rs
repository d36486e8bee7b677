//! The dictionary: which tables there are, their columns, and what a value is called on screen.
//!
//! As in ServiceNow, a field which is not in the dictionary is ignored when it is written and when it is asked
//! for in a query. Columns whose name begins with `u_` (made by customers) are taken for any table.

/// What a column holds. Values are kept as text, as the Table API shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnType {
    Text,
    Integer,
    Boolean,
    DateTime,
    /// Entries are added, never replaced; shown only as display value.
    Journal,
    /// The `sys_id` of a record of that table.
    Reference(&'static str),
}

use ColumnType::{Boolean, DateTime, Integer, Journal, Reference, Text};

type Column = (&'static str, ColumnType);

const SYSTEM: &[Column] = &[
    ("sys_id", Text),
    ("sys_created_on", DateTime),
    ("sys_created_by", Text),
    ("sys_updated_on", DateTime),
    ("sys_updated_by", Text),
    ("sys_mod_count", Integer),
    ("sys_tags", Text),
];

const TASK: &[Column] = &[
    ("number", Text),
    ("short_description", Text),
    ("description", Text),
    ("state", Integer),
    ("active", Boolean),
    ("approval", Text),
    ("approval_set", DateTime),
    ("approval_history", Text),
    ("upon_approval", Text),
    ("upon_reject", Text),
    ("assigned_to", Reference("sys_user")),
    ("assignment_group", Reference("sys_user_group")),
    ("priority", Integer),
    ("impact", Integer),
    ("urgency", Integer),
    ("escalation", Integer),
    ("opened_at", DateTime),
    ("opened_by", Reference("sys_user")),
    ("closed_at", DateTime),
    ("closed_by", Reference("sys_user")),
    ("close_notes", Text),
    ("comments", Journal),
    ("work_notes", Journal),
    ("comments_and_work_notes", Journal),
    ("correlation_id", Text),
    ("correlation_display", Text),
    ("cmdb_ci", Reference("cmdb_ci")),
    ("business_service", Reference("cmdb_ci")),
    ("service_offering", Reference("cmdb_ci")),
    ("parent", Reference("task")),
    ("due_date", DateTime),
    ("expected_start", DateTime),
    ("work_start", DateTime),
    ("work_end", DateTime),
    ("contact_type", Text),
    ("watch_list", Text),
    ("work_notes_list", Text),
    ("group_list", Text),
    ("company", Text),
    ("location", Text),
    ("knowledge", Boolean),
    ("made_sla", Boolean),
    ("order", Integer),
    ("reassignment_count", Integer),
    ("task_effective_number", Text),
    ("sys_class_name", Text),
    ("sys_domain", Text),
    ("sys_domain_path", Text),
];

const CHANGE_REQUEST: &[Column] = &[
    ("type", Text),
    ("category", Text),
    ("reason", Text),
    ("risk", Integer),
    ("risk_value", Text),
    ("risk_impact_analysis", Text),
    ("scope", Integer),
    ("phase", Text),
    ("phase_state", Text),
    ("start_date", DateTime),
    ("end_date", DateTime),
    ("implementation_plan", Text),
    ("backout_plan", Text),
    ("test_plan", Text),
    ("change_plan", Text),
    ("justification", Text),
    ("close_code", Text),
    ("cab_required", Boolean),
    ("cab_date", DateTime),
    ("cab_date_time", DateTime),
    ("cab_delegate", Reference("sys_user")),
    ("cab_recommendation", Text),
    ("requested_by", Reference("sys_user")),
    ("requested_by_date", DateTime),
    ("on_hold", Boolean),
    ("on_hold_reason", Text),
    ("on_hold_task", Text),
    ("production_system", Boolean),
    ("outside_maintenance_schedule", Boolean),
    ("unauthorized", Boolean),
    ("conflict_status", Text),
    ("conflict_last_run", DateTime),
    ("review_comments", Text),
    ("review_date", DateTime),
    ("review_status", Text),
    ("std_change_producer_version", Reference("std_change_producer_version")),
    ("chg_model", Text),
];

const CHANGE_TASK: &[Column] = &[
    ("change_request", Reference("change_request")),
    ("change_task_type", Text),
    ("planned_start_date", DateTime),
    ("planned_end_date", DateTime),
    ("close_code", Text),
    ("on_hold", Boolean),
    ("on_hold_reason", Text),
];

const INCIDENT: &[Column] = &[
    ("caller_id", Reference("sys_user")),
    ("category", Text),
    ("subcategory", Text),
    ("severity", Integer),
    ("incident_state", Integer),
    ("close_code", Text),
    ("resolved_at", DateTime),
    ("resolved_by", Reference("sys_user")),
    ("caused_by", Reference("change_request")),
    ("rfc", Reference("change_request")),
];

const APPROVER: &[Column] = &[
    ("sysapproval", Reference("task")),
    ("document_id", Reference("task")),
    ("source_table", Text),
    ("approver", Reference("sys_user")),
    ("group", Reference("sysapproval_group")),
    ("state", Text),
    ("comments", Journal),
    ("due_date", DateTime),
    ("expected_start", DateTime),
    ("approval_journal_column", Text),
];

const APPROVAL_GROUP: &[Column] =
    &[("parent", Reference("task")), ("assignment_group", Reference("sys_user_group")), ("approval", Text)];

const USER: &[Column] = &[
    ("user_name", Text),
    ("name", Text),
    ("first_name", Text),
    ("last_name", Text),
    ("email", Text),
    ("title", Text),
    ("active", Boolean),
];

const GROUP: &[Column] = &[
    ("name", Text),
    ("description", Text),
    ("email", Text),
    ("manager", Reference("sys_user")),
    ("active", Boolean),
    ("type", Text),
];

const MEMBER: &[Column] = &[("user", Reference("sys_user")), ("group", Reference("sys_user_group"))];

const CI: &[Column] = &[
    ("name", Text),
    ("short_description", Text),
    ("sys_class_name", Text),
    ("operational_status", Integer),
    ("install_status", Integer),
    ("environment", Text),
    ("correlation_id", Text),
    ("support_group", Reference("sys_user_group")),
];

const STANDARD_TEMPLATE: &[Column] = &[("name", Text), ("version", Integer), ("active", Boolean)];

const ATTACHMENT: &[Column] = &[
    ("file_name", Text),
    ("table_name", Text),
    ("table_sys_id", Text),
    ("content_type", Text),
    ("size_bytes", Integer),
    ("size_compressed", Integer),
    ("chunk_size_bytes", Integer),
    ("compressed", Boolean),
    ("hash", Text),
    ("state", Text),
    ("average_image_color", Text),
    ("image_height", Text),
    ("image_width", Text),
    ("encryption_context", Text),
];

/// A table: its name, what the name is on screen, the prefix of its numbers, and its columns.
pub(crate) struct TableDefinition {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) number_prefix: Option<&'static str>,
    own: &'static [Column],
    is_task: bool,
}

const fn table(
    name: &'static str,
    label: &'static str,
    number_prefix: Option<&'static str>,
    own: &'static [Column],
) -> TableDefinition {
    TableDefinition { name, label, number_prefix, own, is_task: number_prefix.is_some() }
}

/// All tables there are.
pub(crate) const TABLES: &[TableDefinition] = &[
    table("change_request", "Change Request", Some("CHG"), CHANGE_REQUEST),
    table("change_task", "Change Task", Some("CTASK"), CHANGE_TASK),
    table("incident", "Incident", Some("INC"), INCIDENT),
    table("sysapproval_approver", "Approval", None, APPROVER),
    table("sysapproval_group", "Group approval", None, APPROVAL_GROUP),
    table("sys_user", "User", None, USER),
    table("sys_user_group", "Group", None, GROUP),
    table("sys_user_grmember", "Group Member", None, MEMBER),
    table("cmdb_ci", "Configuration Item", None, CI),
    table("std_change_producer_version", "Standard Change Template Version", None, STANDARD_TEMPLATE),
    table("sys_attachment", "Attachment", None, ATTACHMENT),
];

/// The tables whose records are tasks, which a reference to `task` may mean.
pub(crate) fn task_tables() -> impl Iterator<Item = &'static str> {
    TABLES.iter().filter(|table| table.is_task).map(|table| table.name)
}

/// Finds a table.
pub(crate) fn definition(table: &str) -> Option<&'static TableDefinition> {
    TABLES.iter().find(|it| it.name == table)
}

impl TableDefinition {
    pub(crate) fn is_task(&self) -> bool {
        self.is_task
    }

    /// All columns of the table.
    pub(crate) fn columns(&self) -> impl Iterator<Item = Column> {
        let task = if self.is_task { TASK } else { &[] };
        SYSTEM.iter().chain(task).chain(self.own).copied()
    }

    /// What a column holds; none when there is no such column.
    pub(crate) fn column(&self, name: &str) -> Option<ColumnType> {
        let known = self.columns().find(|(it, _)| *it == name).map(|(_, kind)| kind);
        known.or_else(|| name.starts_with("u_").then_some(Text))
    }
}

/// What a value is called on screen, for choices.
pub(crate) fn choice_label(table: &str, column: &str, value: &str) -> Option<&'static str> {
    Some(match (table, column, value) {
        ("change_request", "state", "-5") => "New",
        ("change_request", "state", "-4") => "Assess",
        ("change_request", "state", "-3") => "Authorize",
        ("change_request", "state", "-2") => "Scheduled",
        ("change_request", "state", "-1") => "Implement",
        ("change_request", "state", "0") => "Review",
        ("change_request", "state", "3") => "Closed",
        ("change_request", "state", "4") => "Canceled",
        ("change_request", "type", "normal") => "Normal",
        ("change_request", "type", "standard") => "Standard",
        ("change_request", "type", "emergency") => "Emergency",
        ("change_request", "risk", "2") => "High",
        ("change_request", "risk", "3") => "Moderate",
        ("change_request", "risk", "4") => "Low",
        ("change_request" | "change_task", "close_code", "successful") => "Successful",
        ("change_request" | "change_task", "close_code", "successful_issues") => "Successful with issues",
        ("change_request" | "change_task", "close_code", "unsuccessful") => "Unsuccessful",
        ("change_task", "state", "-5") => "Pending",
        ("change_task", "state", "1") => "Open",
        ("change_task", "state", "2") => "In Progress",
        ("change_task", "state", "3") => "Closed",
        ("change_task", "state", "4") => "Canceled",
        ("incident", "state" | "incident_state", "1") => "New",
        ("incident", "state" | "incident_state", "2") => "In Progress",
        ("incident", "state" | "incident_state", "3") => "On Hold",
        ("incident", "state" | "incident_state", "6") => "Resolved",
        ("incident", "state" | "incident_state", "7") => "Closed",
        ("incident", "state" | "incident_state", "8") => "Canceled",
        ("sysapproval_approver", "state", "requested") | (_, "approval", "requested") => "Requested",
        ("sysapproval_approver", "state", "approved") | (_, "approval", "approved") => "Approved",
        ("sysapproval_approver", "state", "rejected") | (_, "approval", "rejected") => "Rejected",
        ("sysapproval_approver", "state", "not requested") | (_, "approval", "not requested") => "Not Yet Requested",
        ("sysapproval_approver", "state", "not_required") => "No Longer Required",
        ("sysapproval_approver", "state", "cancelled") => "Cancelled",
        (_, "priority", "1") => "1 - Critical",
        (_, "priority", "2") => "2 - High",
        (_, "priority", "3") => "3 - Moderate",
        (_, "priority", "4") => "4 - Low",
        (_, "impact" | "urgency", "1") => "1 - High",
        (_, "impact" | "urgency", "2") => "2 - Medium",
        (_, "impact" | "urgency", "3") => "3 - Low",
        (_, "sys_class_name", name) => return definition(name).map(|table| table.label),
        _ => return None,
    })
}
