//! The Change Management API: `/api/sn_chg_rest/change/…`.
//!
//! Paths, the shape of values (`{display_value, value}`, numbers with a point) and of `nextstates` follow the
//! vendor's reference; what conflicts and approvals answer is written from its descriptions.

use super::change;
use super::columns::{TableDefinition, definition};
use super::query::Query;
use super::table_api::{body, fields, window};
use super::tables::{Display, Record, View, timestamp, value};
use super::write::Written;
use super::{Caller, ServiceNow, error, method_not_supported, no_record, result};
use crate::http::{Reply, Request};
use hyper::StatusCode;
use serde_json::{Map, Value, json};

/// How many changes come back when no limit is given.
const LIMIT_DEFAULT: usize = 500;

impl ServiceNow {
    pub(super) fn change_api(&mut self, rest: &[&str], request: &Request, caller: &mut Caller<'_>) -> Reply {
        let (Some(changes), Some(tasks)) = (definition("change_request"), definition("change_task")) else {
            return no_record();
        };
        match (request.method.as_str(), rest) {
            ("GET", []) => self.list_changes(changes, request, None),
            ("GET", [kind @ ("normal" | "standard" | "emergency")]) => {
                self.list_changes(changes, request, Some(("type", kind)))
            }
            ("POST", [kind @ ("normal" | "emergency")]) => self.create_change(kind, None, request, caller),
            ("GET", ["standard", "template"]) => match definition("std_change_producer_version") {
                Some(templates) => self.list_changes(templates, request, None),
                None => no_record(),
            },
            ("POST", ["standard", template]) => self.create_change("standard", Some(template), request, caller),
            (_, ["normal" | "standard" | "emergency", sys_id]) => self.one_change(sys_id, request, caller),
            (_, [sys_id]) => self.one_change(sys_id, request, caller),
            (method, [sys_id, rest @ ..]) => {
                let Some(change) = self.tables.get(changes.name, sys_id).cloned() else {
                    return no_record();
                };
                match (method, rest) {
                    ("GET", ["nextstates"]) => result(StatusCode::OK, &change::next_states(&change)),
                    ("GET", ["task"]) => self.list_changes(tasks, request, Some(("change_request", sys_id))),
                    ("POST", ["task"]) => {
                        let mut given = match given(request) {
                            Ok(given) => given,
                            Err(reply) => return *reply,
                        };
                        given.insert("change_request".to_owned(), json!(sys_id));
                        let written = self.create(tasks, &given, caller);
                        self.typed(tasks, &written, request)
                    }
                    (method, ["task", task]) => {
                        let belongs = self
                            .tables
                            .get(tasks.name, task)
                            .is_some_and(|record| value(record, "change_request") == *sys_id);
                        if !belongs {
                            return no_record();
                        }
                        self.one(tasks, task, method, request, caller)
                    }
                    ("POST", ["conflict"]) => self.start_conflicts(sys_id, &change, caller),
                    ("GET", ["conflict"]) => self.conflicts(&change),
                    ("PATCH", ["approvals"]) => self.answer_approval(sys_id, request, caller),
                    _ => method_not_supported(),
                }
            }
            _ => method_not_supported(),
        }
    }

    fn one_change(&mut self, sys_id: &str, request: &Request, caller: &mut Caller<'_>) -> Reply {
        let method = request.method.clone();
        match definition("change_request") {
            Some(changes) => self.one(changes, sys_id, method.as_str(), request, caller),
            None => no_record(),
        }
    }

    fn one(
        &mut self,
        table: &'static TableDefinition,
        sys_id: &str,
        method: &str,
        request: &Request,
        caller: &mut Caller<'_>,
    ) -> Reply {
        let unchanged = Written { sys_id: sys_id.to_owned(), ignored: Vec::new() };
        match method {
            "GET" => self.typed(table, &unchanged, request),
            "PATCH" => match given(request) {
                Ok(given) => match self.update(table, sys_id, &given, caller) {
                    Ok(written) => self.typed(table, &written, request),
                    Err(failure) => failure.reply(),
                },
                Err(reply) => *reply,
            },
            "DELETE" => {
                let reply = self.typed(table, &unchanged, request);
                self.delete(table, sys_id, caller);
                reply
            }
            _ => method_not_supported(),
        }
    }

    fn create_change(
        &mut self,
        kind: &str,
        template: Option<&str>,
        request: &Request,
        caller: &mut Caller<'_>,
    ) -> Reply {
        let Some(changes) = definition("change_request") else { return no_record() };
        let mut given = match given(request) {
            Ok(given) => given,
            Err(reply) => return *reply,
        };
        if let Some(template) = template {
            if self.tables.get("std_change_producer_version", template).is_none() {
                return error(StatusCode::NOT_FOUND, "Standard change template not found", Some(template));
            }
            given.insert("std_change_producer_version".to_owned(), json!(template));
        }
        given.insert("type".to_owned(), json!(kind));
        let written = self.create(changes, &given, caller);
        self.typed(changes, &written, request)
    }

    /// A record as this API shows one, with the fields that were not taken.
    fn typed(&self, table: &'static TableDefinition, written: &Written, request: &Request) -> Reply {
        let Some(record) = self.tables.get(table.name, &written.sys_id) else { return no_record() };
        let mut shown = self.tables.show(table.name, record, &self.typed_view(fields(request)));
        shown["__meta"] = json!({ "ignoredFields": written.ignored });
        result(StatusCode::OK, &shown)
    }

    fn typed_view(&self, fields: Vec<String>) -> View<'_> {
        View { url: &self.url, display: Display::Typed, reference_links: false, fields }
    }

    /// A list; its last element says which conditions of the query counted.
    fn list_changes(&self, table: &'static TableDefinition, request: &Request, only: Option<(&str, &str)>) -> Reply {
        let text = request.query_value("sysparm_query").unwrap_or_default();
        let mut query = Query::parse(table.name, text);
        if let Some((field, wanted)) = only {
            query.also_equal(table.name, field, wanted);
        }
        let (limit, offset) = window(request, LIMIT_DEFAULT);
        let view = self.typed_view(fields(request));
        let found = query.run(table.name, &self.tables);
        let mut page: Vec<Value> =
            found.iter().skip(offset).take(limit).map(|record| self.tables.show(table.name, record, &view)).collect();
        page.push(json!({
            "__meta": {
                "encodedQuery": text,
                "fields": { "applied": query.applied, "ignored": query.ignored },
            },
        }));
        result(StatusCode::OK, &json!(page)).with("x-total-count", found.len().to_string())
    }

    /// Looks for other open changes of the same configuration item at the same time. The simulator is done at
    /// once, where the real check runs in the background.
    fn start_conflicts(&mut self, sys_id: &str, change: &Record, caller: &mut Caller<'_>) -> Reply {
        for column in ["cmdb_ci", "start_date", "end_date"] {
            if value(change, column).is_empty() {
                let message = "Configuration item, planned start date and planned end date are required";
                return error(StatusCode::BAD_REQUEST, message, Some(column));
            }
        }
        let status = if self.conflicting(change).is_empty() { "No Conflict" } else { "Conflict" };
        if let Some(record) = self.tables.get_mut("change_request", sys_id) {
            record.insert("conflict_status".to_owned(), status.to_owned());
            record.insert("conflict_last_run".to_owned(), timestamp(caller.now_ms));
        }
        let detail = json!({ "sys_id": sys_id, "status": status });
        self.effect("change_request", sys_id, "conflict.checked", detail, caller);
        let change = self.tables.get("change_request", sys_id).cloned().unwrap_or_default();
        self.conflicts(&change)
    }

    fn conflicts(&self, change: &Record) -> Reply {
        let ran = !value(change, "conflict_last_run").is_empty();
        let found: Vec<Value> = if ran {
            self.conflicting(change)
                .into_iter()
                .map(|other| json!({ "change": other, "type": "ci_already_scheduled" }))
                .collect()
        } else {
            Vec::new()
        };
        let (state, label) = if ran { (3, "Complete") } else { (1, "Waiting") };
        result(
            StatusCode::OK,
            &json!({
                "type": "conflict",
                "state": { "display_value": label, "value": state },
                "conflict_status": value(change, "conflict_status"),
                "conflict_last_run": value(change, "conflict_last_run"),
                "conflicts": found,
                "messages": { "errorMessages": [], "warningMessages": [], "infoMessages": [] },
            }),
        )
    }

    /// The numbers of the changes that overlap.
    fn conflicting(&self, change: &Record) -> Vec<String> {
        self.tables
            .ids("change_request", |other| {
                value(other, "sys_id") != value(change, "sys_id")
                    && value(other, "active") == "true"
                    && value(other, "cmdb_ci") == value(change, "cmdb_ci")
                    && !value(other, "start_date").is_empty()
                    && value(other, "start_date") < value(change, "end_date")
                    && value(change, "start_date") < value(other, "end_date")
            })
            .iter()
            .map(|id| self.number("change_request", id))
            .collect()
    }

    /// Answers the caller's own open approval.
    fn answer_approval(&mut self, sys_id: &str, request: &Request, caller: &mut Caller<'_>) -> Reply {
        let given = match given(request) {
            Ok(given) => given,
            Err(reply) => return *reply,
        };
        if !matches!(given.get("state").and_then(Value::as_str), Some("approved" | "rejected")) {
            let message = "Invalid approval state: approved or rejected";
            return error(StatusCode::BAD_REQUEST, message, None);
        }
        let me = self.tables.resolve("sys_user", &caller.user);
        let mine = self.tables.ids("sysapproval_approver", |record| {
            value(record, "sysapproval") == sys_id
                && value(record, "approver") == me
                && value(record, "state") == "requested"
        });
        match (mine.first(), definition("sysapproval_approver")) {
            (Some(id), Some(table)) => match self.update(table, id, &given, caller) {
                Ok(written) => self.typed(table, &written, request),
                Err(failure) => failure.reply(),
            },
            _ => error(
                StatusCode::NOT_FOUND,
                "No pending approval",
                Some("The current user has no approval to answer for this change"),
            ),
        }
    }
}

/// The fields given: in the body, or in the URL.
fn given(request: &Request) -> Result<Map<String, Value>, Box<Reply>> {
    let mut given = body(request)?;
    for (name, value) in &request.query {
        if !name.starts_with("sysparm_") {
            given.entry(name.clone()).or_insert_with(|| json!(value));
        }
    }
    Ok(given)
}
