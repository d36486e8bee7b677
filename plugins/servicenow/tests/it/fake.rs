//! A ServiceNow in memory: tables, the normal change's moves, attachments. Simulated, and only what the tests need.

use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use windlass_plugin_servicenow::plugin;
use windlass_sdk::http::TransportErrorKind;
use windlass_sdk::testing::{MockHost, Reply, SeenRequest, TestStep};
use windlass_sdk::{Failure, Method};

/// What the instance holds, for a test to look at and to change.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) rows: BTreeMap<String, Vec<Map<String, Value>>>,
    pub(crate) attachments: Vec<Value>,
    pub(crate) kinds: Vec<String>,
    /// Answers to so many writes get lost after they had their effect.
    pub(crate) lose_answers: u32,
    /// What detecting conflicts comes to, after so many reads of the change.
    pub(crate) conflicts_after: Option<u32>,
}

pub(crate) struct Fake {
    pub(crate) host: MockHost,
    pub(crate) tables: Rc<RefCell<Tables>>,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let tables = Rc::new(RefCell::new(Tables::default()));
        let served = Rc::clone(&tables);
        let host = MockHost::new()
            .connection("servicenow", "https://sn.test")
            .serve(move |request| served.borrow_mut().answer(request));
        Self { host, tables }
    }

    /// With change `CHG1` in a state.
    pub(crate) fn with_change(state: &str, approval: &str) -> Self {
        let fake = Self::new();
        fake.tables.borrow_mut().insert(
            "change_request",
            json!({ "state": state, "approval": approval, "type": "normal", "short_description": "Deploy" })
                .as_object()
                .expect("an object")
                .clone(),
        );
        fake
    }

    pub(crate) fn run(&self, action: &str, input: Value) -> Result<Value, Failure> {
        TestStep::new(plugin(), action, input).run(&self.host)
    }

    pub(crate) fn insert(&self, table: &str, row: Value) -> String {
        self.tables.borrow_mut().insert(table, row.as_object().expect("an object").clone())
    }

    /// A field of the first row.
    pub(crate) fn field(&self, table: &str, field: &str) -> Value {
        self.tables.borrow().rows[table][0].get(field).cloned().unwrap_or_default()
    }

    pub(crate) fn set(&self, table: &str, field: &str, value: Value) {
        self.tables.borrow_mut().rows.get_mut(table).expect("the table")[0].insert(field.to_owned(), value);
    }

    pub(crate) fn count(&self, table: &str) -> usize {
        self.tables.borrow().rows.get(table).map_or(0, Vec::len)
    }

    pub(crate) fn writes(&self) -> usize {
        self.host.requests().iter().filter(|request| request.method != Method::Get).count()
    }
}

impl Tables {
    fn insert(&mut self, table: &str, mut row: Map<String, Value>) -> String {
        let rows = self.rows.entry(table.to_owned()).or_default();
        let prefix = if table == "change_task" { "CTASK" } else { "CHG" };
        let sys_id = format!("{:032x}", 0xa000 + rows.len() + table.len() * 256);
        row.insert("sys_id".to_owned(), json!(sys_id));
        row.entry("number").or_insert_with(|| json!(format!("{prefix}{}", rows.len() + 1)));
        row.entry("state").or_insert_with(|| json!("-5"));
        rows.push(row);
        sys_id
    }

    fn answer(&mut self, request: &SeenRequest) -> Option<Reply> {
        let path: Vec<&str> = request.path.split('/').skip(1).collect();
        let reply = match (request.method, path.as_slice()) {
            (Method::Get, ["api", "now", "table", table]) => self.query(table, &request.query["sysparm_query"]),
            (Method::Get, ["api", "now", "table", table, sys_id]) => {
                self.detect(table);
                match self.row(table, sys_id) {
                    Some(row) => Reply::json(200, json!({ "result": shown(row) })),
                    None => Reply::json(
                        404,
                        json!({ "error": { "message": "No Record found", "detail": "Record doesn't exist or ACL restricts the record retrieval" }, "status": "failure" }),
                    ),
                }
            }
            (Method::Post, ["api", "now", "table", table]) => self.create(table, request.json()),
            (Method::Post, ["api", "sn_chg_rest", "change", _, "conflict"]) => {
                Reply::json(200, json!({ "result": { "state": { "value": 0 } } }))
            }
            (Method::Post, ["api", "sn_chg_rest", "change", kind @ ..]) => {
                self.kinds.push(kind.join("/"));
                self.create("change_request", request.json())
            }
            (Method::Patch, ["api", "now", "table", table, sys_id]) => self.patch(table, sys_id, request.json()),
            (Method::Get, ["api", "sn_chg_rest", "change", _, "nextstate"]) => Reply::status(404),
            (Method::Get, ["api", "sn_chg_rest", "change", sys_id, "nextstates"]) => {
                let state = self.row("change_request", sys_id)?["state"].as_str()?.to_owned();
                Reply::json(200, json!({ "result": next_states(&state) }))
            }
            (Method::Get, ["api", "now", "attachment"]) => Reply::json(200, json!({ "result": self.attachments })),
            (Method::Post, ["api", "now", "attachment", "file"]) => {
                let attachment = json!({
                    "sys_id": format!("{:032x}", self.attachments.len() + 1), "file_name": request.query["file_name"],
                    "size_bytes": request.body.len().to_string(), "content_type": request.header("content-type"),
                    "table_sys_id": request.query["table_sys_id"],
                });
                self.attachments.push(attachment.clone());
                Reply::json(201, json!({ "result": attachment }))
            }
            _ => return None,
        };
        if request.method != Method::Get && self.lose_answers > 0 {
            self.lose_answers -= 1;
            return Some(Reply::error(TransportErrorKind::Interrupted));
        }
        Some(reply)
    }

    fn row(&self, table: &str, sys_id: &str) -> Option<&Map<String, Value>> {
        self.rows.get(table)?.iter().find(|row| row["sys_id"] == sys_id)
    }

    fn query(&mut self, table: &str, query: &str) -> Reply {
        if matches!(table, "conflict" | "task_ci") && !self.rows.contains_key(table) {
            return Reply::json(400, json!({ "error": { "message": format!("Invalid table {table}") } }));
        }
        self.detect(table);
        let (field, value) = query.split_once('=').expect("an equality");
        let rows = self.rows.get(table).into_iter().flatten();
        let found: Vec<Value> =
            rows.filter(|row| row.get(field).is_some_and(|there| *there == json!(value))).map(shown).collect();
        Reply::json(200, json!({ "result": found }))
    }

    /// Lets a running conflict detection end after some reads.
    fn detect(&mut self, table: &str) {
        if table != "change_request" {
            return;
        }
        match self.conflicts_after {
            Some(0) => {
                self.conflicts_after = None;
                let change = &mut self.rows.get_mut("change_request").expect("the table")[0];
                change.insert("conflict_status".to_owned(), json!("Conflict"));
                change.insert("conflict_last_run".to_owned(), json!("2026-01-05 09:00:10"));
            }
            Some(reads) => self.conflicts_after = Some(reads - 1),
            None => {}
        }
    }

    fn create(&mut self, table: &str, row: Map<String, Value>) -> Reply {
        let sys_id = self.insert(table, row);
        Reply::json(201, json!({ "result": self.row(table, &sys_id).map(shown) }))
    }

    fn patch(&mut self, table: &str, sys_id: &str, fields: Map<String, Value>) -> Reply {
        let Some(row) = self.rows.get_mut(table).and_then(|rows| rows.iter_mut().find(|row| row["sys_id"] == sys_id))
        else {
            return Reply::status(404);
        };
        if table == "change_request" && fields.get("state") == Some(&json!("3")) && fields.get("close_code").is_none() {
            return Reply::json(
                403,
                json!({ "error": { "message": "Operation Failed", "detail": "Data Policy Exception: close_code is mandatory" } }),
            );
        }
        for (name, value) in fields {
            if name == "work_notes" {
                let before = row.get("work_notes").and_then(Value::as_str).unwrap_or_default().to_owned();
                row.insert(name, json!(format!("{}\n{before}", value.as_str().unwrap_or_default())));
            } else {
                row.insert(name, value);
            }
        }
        Reply::json(200, json!({ "result": shown(row) }))
    }
}

fn shown(row: &Map<String, Value>) -> Value {
    let fields = row.iter().map(|(name, value)| (name.clone(), json!({ "value": value, "display_value": value })));
    Value::Object(fields.collect())
}

fn next_states(state: &str) -> Value {
    let next: &[&str] = match state {
        "-5" => &["-4", "4"],
        "-4" => &["-5", "4"],
        "-2" => &["-1", "4"],
        "-1" => &["0", "4"],
        "0" => &["3", "-1"],
        _ => &[],
    };
    let mut available = next.to_vec();
    available.push(state);
    json!({
        "available_states": available,
        "state_label": { "-5": "New", "-4": "Assess", "-1": "Implement", "0": "Review", "3": "Closed", "4": "Canceled" },
        "state_transitions": [[{
            "from_state": "-4", "to_state": "-3", "transition_available": false, "automatic_transition": true,
            "conditions": [{ "passed": false, "condition": { "name": "Approved", "description": null, "sys_id": "x" } }],
        }]],
    })
}
