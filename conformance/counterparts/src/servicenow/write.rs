//! Making and changing records: what is taken, what is refused, and what follows.
//!
//! **Invariant:** a write that is refused changes nothing; a write that changes nothing has no effect.

use super::change::{self, Refusal};
use super::columns::{ColumnType, TableDefinition, definition};
use super::tables::{Record, timestamp, value};
use super::{Caller, ServiceNow};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What `POST /_sim/approve` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApprovalAnswer {
    /// The `sys_id` or number of a change.
    change: String,
    /// The user name, name or `sys_id` of who answers; else the first who was asked.
    #[serde(default)]
    by: String,
    approved: bool,
    #[serde(default)]
    comments: String,
    /// Answer only what is asked now, not what the answer leads to.
    #[serde(default)]
    stage_only: bool,
}

/// A record that was written, with the fields that were not taken.
pub(crate) struct Written {
    pub(crate) sys_id: String,
    pub(crate) ignored: Vec<String>,
}

/// Why a write failed.
pub(crate) enum Failure {
    NoRecord,
    Refused(Refusal),
}

/// Columns nobody writes.
const READ_ONLY: &[&str] = &[
    "sys_id",
    "sys_created_on",
    "sys_created_by",
    "sys_updated_on",
    "sys_updated_by",
    "sys_mod_count",
    "sys_class_name",
    "number",
    "task_effective_number",
    "comments_and_work_notes",
];

impl ServiceNow {
    /// Takes from a body what the table has columns for.
    fn taken(
        &self,
        table: &'static TableDefinition,
        fields: &Map<String, Value>,
    ) -> (Vec<(String, ColumnType, String)>, Vec<String>) {
        let mut taken = Vec::new();
        let mut ignored = Vec::new();
        for (name, given) in fields {
            let column = table.column(name).filter(|_| !READ_ONLY.contains(&name.as_str()));
            let Some(kind) = column else {
                ignored.push(name.clone());
                continue;
            };
            let text = match given {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                // As the Change Management API shows values, so may they come back.
                Value::Object(both) => match both.get("value") {
                    Some(Value::String(text)) => text.clone(),
                    Some(other) => other.to_string(),
                    None => String::new(),
                },
                Value::Number(number) => match number.as_f64() {
                    Some(float) if float.fract() == 0.0 && kind == ColumnType::Integer => {
                        format!("{float:.0}")
                    }
                    _ => number.to_string(),
                },
                other => other.to_string(),
            };
            let text = match kind {
                ColumnType::Reference(target) => self.tables.resolve(target, &text),
                _ => text,
            };
            taken.push((name.clone(), kind, text));
        }
        (taken, ignored)
    }

    /// Makes a record. The state of a new change is always New, whatever was given.
    pub(crate) fn create(
        &mut self,
        table: &'static TableDefinition,
        fields: &Map<String, Value>,
        caller: &mut Caller<'_>,
    ) -> Written {
        let (taken, mut ignored) = self.taken(table, fields);
        let mut record = Record::new();
        let now = timestamp(caller.now_ms);
        let user = self.tables.resolve("sys_user", &caller.user);
        if table.is_task() {
            for (name, default) in [
                ("active", "true"),
                ("approval", "not requested"),
                ("priority", "4"),
                ("impact", "3"),
                ("urgency", "3"),
                ("escalation", "0"),
                ("upon_approval", "proceed"),
                ("upon_reject", "cancel"),
                ("knowledge", "false"),
                ("made_sla", "true"),
                ("reassignment_count", "0"),
                ("sys_domain", "global"),
                ("sys_domain_path", "/"),
                ("opened_at", now.as_str()),
                ("opened_by", user.as_str()),
                ("sys_class_name", table.name),
            ] {
                record.insert(name.to_owned(), default.to_owned());
            }
        }
        let defaults: &[(&str, &str)] = match table.name {
            "change_request" => &[
                ("state", change::NEW),
                ("type", "normal"),
                ("risk", "3"),
                ("scope", "3"),
                ("category", "Other"),
                ("phase", "requested"),
                ("phase_state", "open"),
                ("conflict_status", "Not Run"),
                ("cab_required", "false"),
                ("on_hold", "false"),
                ("production_system", "false"),
                ("outside_maintenance_schedule", "false"),
                ("unauthorized", "false"),
            ],
            "change_task" => &[("state", "-5"), ("change_task_type", "planning"), ("on_hold", "false")],
            "incident" => &[("state", "1"), ("incident_state", "1"), ("severity", "3")],
            "sysapproval_approver" => &[("state", "requested")],
            _ => &[],
        };
        for (name, default) in defaults {
            record.insert((*name).to_owned(), (*default).to_owned());
        }
        if table.name == "change_request" {
            record.insert("requested_by".to_owned(), user.clone());
        }
        let mut journal = Vec::new();
        for (name, kind, text) in taken {
            if table.name == "change_request" && name == "state" {
                ignored.push(name);
            } else if kind == ColumnType::Journal {
                journal.push((name, text));
            } else {
                record.insert(name, text);
            }
        }
        if let Some(kind) = record.get_mut("type").filter(|_| table.name == "change_request") {
            *kind = kind.to_lowercase();
        }
        // A task of a change hangs below it, whichever of the two columns was given.
        if table.name == "change_task" {
            let of = |name: &str| value(&record, name).to_owned();
            let (change, parent) = (of("change_request"), of("parent"));
            if change.is_empty() {
                record.insert("change_request".to_owned(), parent);
            } else if parent.is_empty() {
                record.insert("parent".to_owned(), change);
            }
        }
        if let Some(prefix) = table.number_prefix {
            let number = self.tables.next_number(prefix);
            record.insert("task_effective_number".to_owned(), number.clone());
            record.insert("number".to_owned(), number);
        }
        for (name, text) in journal {
            note(&mut record, &name, &text, &caller.user, &now);
        }
        let sys_id = self.tables.insert(table.name, record, &caller.user, caller.now_ms);
        let kind = format!("{}.created", effect_subject(table.name));
        self.effect(table.name, &sys_id, &kind, json!({ "sys_id": sys_id }), caller);
        Written { sys_id, ignored }
    }

    /// Changes a record.
    pub(crate) fn update(
        &mut self,
        table: &'static TableDefinition,
        sys_id: &str,
        fields: &Map<String, Value>,
        caller: &mut Caller<'_>,
    ) -> Result<Written, Failure> {
        let before = self.tables.get(table.name, sys_id).cloned().ok_or(Failure::NoRecord)?;
        let (taken, ignored) = self.taken(table, fields);
        let now = timestamp(caller.now_ms);
        let mut after = before.clone();
        for (name, kind, text) in taken {
            if kind == ColumnType::Journal {
                note(&mut after, &name, &text, &caller.user, &now);
            } else {
                after.insert(name, text);
            }
        }
        let changed: Vec<String> =
            after.keys().filter(|name| value(&after, name) != value(&before, name)).cloned().collect();
        let written = Written { sys_id: sys_id.to_owned(), ignored };
        if changed.is_empty() {
            return Ok(written);
        }
        if table.name == "change_request" {
            change::check_move(&before, &after).map_err(Failure::Refused)?;
        }
        let mut detail = json!({ "sys_id": sys_id, "fields": changed });
        let moved = value(&before, "state") != value(&after, "state");
        if moved {
            detail["state"] = json!({ "from": value(&before, "state"), "to": value(&after, "state") });
        }
        self.store(table.name, sys_id, after, caller);
        let answered = table.name == "sysapproval_approver" && moved;
        let kind =
            if answered { "approval.answered".to_owned() } else { format!("{}.updated", effect_subject(table.name)) };
        self.effect(table.name, sys_id, &kind, detail, caller);
        match table.name {
            "change_request" if moved => self.arrived(sys_id, caller),
            "sysapproval_approver" if moved => self.weigh(sys_id, caller),
            "change_task" if moved => self.task_moved(sys_id, caller),
            _ => {}
        }
        Ok(written)
    }

    /// Removes a record and what hangs on it.
    pub(crate) fn delete(&mut self, table: &'static TableDefinition, sys_id: &str, caller: &mut Caller<'_>) -> bool {
        if self.tables.get(table.name, sys_id).is_none() {
            return false;
        }
        let kind = format!("{}.deleted", effect_subject(table.name));
        self.effect(table.name, sys_id, &kind, json!({ "sys_id": sys_id }), caller);
        self.tables.remove(table.name, sys_id);
        self.files.remove(sys_id);
        if table.name == "change_request" {
            for (other, column) in [("sysapproval_approver", "sysapproval"), ("change_task", "change_request")] {
                for id in self.tables.ids(other, |record| value(record, column) == sys_id) {
                    self.tables.remove(other, &id);
                }
            }
        }
        true
    }

    fn store(&mut self, table: &str, sys_id: &str, mut after: Record, caller: &Caller<'_>) {
        let count: u64 = value(&after, "sys_mod_count").parse().unwrap_or(0);
        after.insert("sys_mod_count".to_owned(), (count + 1).to_string());
        after.insert("sys_updated_on".to_owned(), timestamp(caller.now_ms));
        after.insert("sys_updated_by".to_owned(), caller.user.clone());
        if let Some(record) = self.tables.get_mut(table, sys_id) {
            *record = after;
        }
    }

    /// What follows from a change coming into its state.
    fn arrived(&mut self, sys_id: &str, caller: &mut Caller<'_>) {
        let Some(change) = self.tables.get("change_request", sys_id).cloned() else { return };
        let mut after = change.clone();
        let mut set = |name: &str, text: &str| {
            after.insert(name.to_owned(), text.to_owned());
        };
        let now = timestamp(caller.now_ms);
        match value(&change, "state") {
            change::NEW => set("approval", "not requested"),
            change::IMPLEMENT if value(&change, "work_start").is_empty() => set("work_start", &now),
            change::REVIEW if value(&change, "work_end").is_empty() => set("work_end", &now),
            change::CLOSED | change::CANCELED => {
                set("active", "false");
                set("closed_at", &now);
                set("closed_by", &self.tables.resolve("sys_user", &caller.user));
            }
            change::SCHEDULED if value(&change, "type") == "standard" => set("approval", "approved"),
            _ => {}
        }
        let approving = change::approving_group(&change);
        if approving.is_some() {
            set("approval", "requested");
        } else if matches!(value(&change, "state"), change::NEW | change::CANCELED) {
            self.close_requests(sys_id, "cancelled", caller);
        }
        if let Some(record) = self.tables.get_mut("change_request", sys_id) {
            *record = after;
        }
        let Some(approving) = approving else { return };
        let assigned = value(&change, "assignment_group");
        let group = match approving {
            change::Approving::AssignmentGroup if !assigned.is_empty() => assigned.to_owned(),
            _ => self.tables.resolve("sys_user_group", approving.group_name()),
        };
        self.ask_group(sys_id, &group, caller);
    }

    /// Asks all members of a group to approve a change.
    fn ask_group(&mut self, change: &str, group: &str, caller: &Caller<'_>) {
        let members: Vec<String> = self
            .tables
            .rows("sys_user_grmember")
            .filter(|record| value(record, "group") == group)
            .map(|record| value(record, "user").to_owned())
            .collect();
        let text = |text: &str| text.to_owned();
        let asked = self.tables.insert(
            "sysapproval_group",
            Record::from([
                (text("parent"), text(change)),
                (text("assignment_group"), text(group)),
                (text("approval"), text("requested")),
            ]),
            "system",
            caller.now_ms,
        );
        for member in members {
            let record = Record::from([
                (text("sysapproval"), text(change)),
                (text("document_id"), text(change)),
                (text("source_table"), text("change_request")),
                (text("approver"), member),
                (text("group"), asked.clone()),
                (text("state"), text("requested")),
            ]);
            self.tables.insert("sysapproval_approver", record, "system", caller.now_ms);
        }
    }

    fn close_requests(&mut self, change: &str, state: &str, caller: &Caller<'_>) {
        let open = self.tables.ids("sysapproval_approver", |record| {
            value(record, "sysapproval") == change && value(record, "state") == "requested"
        });
        for id in open {
            let Some(mut record) = self.tables.get("sysapproval_approver", &id).cloned() else { continue };
            record.insert("state".to_owned(), state.to_owned());
            self.store("sysapproval_approver", &id, record, caller);
        }
    }

    /// What an answered request for approval means for its change: one answer of a group decides.
    fn weigh(&mut self, approver: &str, caller: &mut Caller<'_>) {
        let Some(record) = self.tables.get("sysapproval_approver", approver) else { return };
        let change_id = value(record, "sysapproval").to_owned();
        let answer = value(record, "state").to_owned();
        let Some(change) = self.tables.get("change_request", &change_id).cloned() else { return };
        let asked = change::approving_group(&change).is_some();
        let to = match answer.as_str() {
            "approved" if asked => change::approved_state(&change),
            "rejected" if asked => Some(change::NEW),
            _ => None,
        };
        let Some(to) = to else { return };
        self.close_requests(&change_id, "not_required", caller);
        let mut after = change.clone();
        after.insert("approval".to_owned(), answer.clone());
        after.insert("approval_set".to_owned(), timestamp(caller.now_ms));
        after.insert("state".to_owned(), to.to_owned());
        self.store("change_request", &change_id, after, caller);
        let detail = json!({
            "sys_id": change_id,
            "state": { "from": value(&change, "state"), "to": to },
            "because": format!("approval {answer}"),
        });
        self.effect("change_request", &change_id, "change.advanced", detail, caller);
        self.arrived(&change_id, caller);
        // A change sent back to New says why.
        if answer == "rejected"
            && let Some(record) = self.tables.get_mut("change_request", &change_id)
        {
            record.insert("approval".to_owned(), answer);
        }
    }

    /// A closed task is not active; when it was the last one of a change being implemented, the change goes on.
    fn task_moved(&mut self, sys_id: &str, caller: &mut Caller<'_>) {
        let Some(task) = self.tables.get_mut("change_task", sys_id) else { return };
        let closed = matches!(value(task, "state"), "3" | "4");
        task.insert("active".to_owned(), (!closed).to_string());
        let change_id = value(task, "change_request").to_owned();
        if closed {
            task.insert("closed_at".to_owned(), timestamp(caller.now_ms));
        }
        let open = self
            .tables
            .rows("change_task")
            .any(|record| value(record, "change_request") == change_id && value(record, "active") == "true");
        let Some(change) = self.tables.get("change_request", &change_id).cloned() else { return };
        if !closed || open || value(&change, "state") != change::IMPLEMENT {
            return;
        }
        let mut after = change.clone();
        after.insert("state".to_owned(), change::REVIEW.to_owned());
        if change::check_move(&change, &after).is_err() {
            return;
        }
        self.store("change_request", &change_id, after, caller);
        let detail = json!({
            "sys_id": change_id,
            "state": { "from": change::IMPLEMENT, "to": change::REVIEW },
            "because": "no active change tasks",
        });
        self.effect("change_request", &change_id, "change.advanced", detail, caller);
        self.arrived(&change_id, caller);
    }

    /// Answers the open requests for approval of a change, as people would.
    pub(crate) fn approve(
        &mut self,
        answer: &ApprovalAnswer,
        now_ms: i64,
        effects: &mut crate::effect::EffectLog,
    ) -> Result<Value, String> {
        let change_id = self.tables.resolve("change_request", &answer.change);
        if self.tables.get("change_request", &change_id).is_none() {
            return Err(format!("there is no change {}", answer.change));
        }
        let table = definition("sysapproval_approver").ok_or("no table of approvals")?;
        let mut answered = Vec::new();
        // A normal change is approved at most twice: to be authorized, and to be scheduled.
        for _ in 0..2 {
            let open = self.tables.ids("sysapproval_approver", |record| {
                value(record, "sysapproval") == change_id && value(record, "state") == "requested"
            });
            let by = self.tables.resolve("sys_user", &answer.by);
            let approver_of =
                |id: &String| self.tables.get(table.name, id).map_or("", |record| value(record, "approver"));
            let Some(id) = open.iter().find(|id| approver_of(id) == by).or(open.first()).cloned() else {
                break;
            };
            let user = match self.tables.get("sys_user", approver_of(&id)) {
                Some(user) => value(user, "user_name").to_owned(),
                None => answer.by.clone(),
            };
            let mut fields = Map::new();
            let state = if answer.approved { "approved" } else { "rejected" };
            fields.insert("state".to_owned(), json!(state));
            if !answer.comments.is_empty() {
                fields.insert("comments".to_owned(), json!(answer.comments));
            }
            let mut caller = Caller { user: user.clone(), now_ms, effects };
            if self.update(table, &id, &fields, &mut caller).is_err() {
                return Err("the approval cannot be answered".to_owned());
            }
            answered.push(json!({ "sys_id": id, "by": user, "state": state }));
            if answer.stage_only || !answer.approved {
                break;
            }
        }
        if answered.is_empty() {
            return Err("nothing is to be approved".to_owned());
        }
        let change = self.tables.get("change_request", &change_id).cloned().unwrap_or_default();
        Ok(json!({
            "change": value(&change, "number"),
            "state": value(&change, "state"),
            "approval": value(&change, "approval"),
            "answered": answered,
        }))
    }

    /// Records an effect on a record.
    pub(crate) fn effect(&self, table: &'static str, sys_id: &str, kind: &str, detail: Value, caller: &mut Caller<'_>) {
        let Some(record) = self.tables.get(table, sys_id) else { return };
        let own = |record: &Record| {
            let key = value(record, "correlation_id");
            (!key.is_empty()).then(|| key.to_owned())
        };
        // What hangs on a change has the change's key, unless it has its own.
        let parent = ["change_request", "sysapproval", "table_sys_id"]
            .iter()
            .map(|column| value(record, column))
            .find_map(|id| self.tables.get("change_request", id));
        let key = own(record).or_else(|| parent.and_then(own));
        let target = ["number", "file_name", "name"]
            .iter()
            .map(|column| value(record, column))
            .find(|name| !name.is_empty())
            .or_else(|| parent.map(|change| value(change, "number")))
            .unwrap_or(sys_id)
            .to_owned();
        caller.effects.add(caller.now_ms, kind, target, key, detail);
    }
}

/// Adds an entry to a journal column, newest first, as it is shown.
fn note(record: &mut Record, column: &str, text: &str, user: &str, now: &str) {
    if text.is_empty() {
        return;
    }
    let title = if column == "work_notes" { "Work notes" } else { "Additional comments" };
    let entry = format!("{now} - {user} ({title})\n{text}\n\n");
    let journal = record.entry(column.to_owned()).or_default();
    journal.insert_str(0, &entry);
    if record.contains_key("number") {
        record.entry("comments_and_work_notes".to_owned()).or_default().insert_str(0, &entry);
    }
}

/// The first word of an effect's kind.
fn effect_subject(table: &str) -> &str {
    match table {
        "change_request" => "change",
        "change_task" => "task",
        "sysapproval_approver" => "approval",
        "sys_attachment" => "attachment",
        other => other,
    }
}
