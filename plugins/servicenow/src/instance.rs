//! The part of ServiceNow's REST APIs that the plugin uses: Table, Change Management, Attachment.

use crate::record::{Fields, Record, is_sys_id};
use crate::states::NextStates;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_sdk::http::{Endpoint, path};
use windlass_sdk::{Context, Failure, FailureClass, Method, Role};

const ROLE: &str = "servicenow";

/// A table that the plugin works with.
pub(crate) const CHANGES: &str = "change_request";
/// A table that the plugin works with.
pub(crate) const TASKS: &str = "change_task";

/// The role with what every action needs: reading changes.
pub(crate) fn role() -> Role {
    Role::required(ROLE, "The ServiceNow instance; its base URL is `https://<instance>.service-now.com`.")
        .allow(&[Method::Get], "/api/now/table/change_request/**")
}

/// A ServiceNow instance.
pub(crate) struct Instance<'a> {
    http: Endpoint<'a>,
}

/// Every answer's envelope.
#[derive(Deserialize)]
struct Answer<T> {
    result: T,
}

/// An attachment.
#[derive(Debug, Deserialize)]
pub(crate) struct Attachment {
    pub(crate) sys_id: String,
    pub(crate) file_name: String,
    #[serde(default)]
    pub(crate) size_bytes: String,
    /// SHA-256 of the content.
    #[serde(default)]
    pub(crate) hash: String,
}

impl<'a> Instance<'a> {
    pub(crate) fn connect(ctx: &Context<'a>) -> Result<Self, Failure> {
        Ok(Self { http: ctx.http(ROLE)? })
    }

    /// The page of a record.
    pub(crate) fn page(&self, table: &str, sys_id: &str) -> String {
        self.http.url(format!("/nav_to.do?uri=%2F{table}.do%3Fsys_id%3D{sys_id}"))
    }

    /// Records of a table by an encoded query.
    pub(crate) fn query(&self, table: &str, query: &str, limit: u32) -> Result<Vec<Record>, Failure> {
        let request = self
            .http
            .get(path(["api", "now", "table", table]))
            .query("sysparm_query", query)
            .query("sysparm_display_value", "all")
            .query("sysparm_limit", limit);
        Ok(request.send()?.json::<Answer<Vec<Record>>>()?.result)
    }

    /// As [`query`](Self::query), with no records where the instance has no such table or does not show it.
    pub(crate) fn query_if_there(&self, table: &str, query: &str, limit: u32) -> Result<Option<Vec<Record>>, Failure> {
        match self.query(table, query, limit) {
            Ok(records) => Ok(Some(records)),
            Err(failure) if matches!(failure.code.as_str(), "http-400" | "http-403" | "http-404") => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// A record by its sys_id or number; a failure if there is none.
    pub(crate) fn record(&self, table: &str, reference: &str) -> Result<Record, Failure> {
        let none = || {
            Failure::not_found(
                "no-record",
                format!("`{table}` has no record `{reference}`, or the connection's user may not see it"),
            )
        };
        if is_sys_id(reference) {
            let request =
                self.http.get(path(["api", "now", "table", table, reference])).query("sysparm_display_value", "all");
            let response = request.send().map_err(|failure| match failure.class {
                FailureClass::NotFound => none(),
                _ => failure,
            })?;
            return Ok(response.json::<Answer<Record>>()?.result);
        }
        if reference.is_empty() || !reference.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let message = format!("`{reference}` is neither a number such as `CHG0030001` nor a sys_id");
            return Err(Failure::invalid("record-reference", message).never());
        }
        let found = self.query(table, &format!("number={reference}"), 2)?;
        found.into_iter().find(|record| record.number() == reference).ok_or_else(none)
    }

    /// A change by its number or sys_id.
    pub(crate) fn change(&self, reference: &str) -> Result<Record, Failure> {
        self.record(CHANGES, reference)
    }

    /// The record that a step has created, by its key. The field is compared again here: an instance that does not
    /// know a field of a query leaves it out and answers with any record.
    pub(crate) fn correlated(&self, table: &str, key: &str) -> Result<Option<Record>, Failure> {
        let found = self.query(table, &format!("correlation_id={key}"), 10)?;
        Ok(found.into_iter().find(|record| record.value("correlation_id") == key))
    }

    /// All that `start` has created in a table, oldest first, `last` among it, which is known from the step's output.
    pub(crate) fn created(&self, ctx: &Context, table: &str, last: Option<Record>) -> Result<Vec<Record>, Failure> {
        let mut starts = ctx.starts();
        if last.is_some() {
            starts.pop();
        }
        let found = starts.iter().map(|it| self.correlated(table, it.key()).transpose());
        found.flatten().chain(last.map(Ok)).collect()
    }

    /// The sys_id of what an input names: itself, or that of the only record with this value.
    pub(crate) fn reference(&self, table: &str, field: &str, value: &str) -> Result<String, Failure> {
        if is_sys_id(value) {
            return Ok(value.to_owned());
        }
        let wrong = |what: &str| {
            Failure::invalid("unknown-reference", format!("`{table}` has {what} with {field} `{value}`")).never()
        };
        if value.is_empty() || value.contains('^') {
            return Err(wrong("no record"));
        }
        let found = self.query(table, &format!("{field}={value}"), 2)?;
        let mut matching = found.iter().filter(|record| record.value(field) == value);
        match (matching.next(), matching.next()) {
            (Some(record), None) => Ok(record.sys_id().to_owned()),
            (Some(_), Some(_)) => Err(wrong("more than one record")),
            (None, _) => Err(wrong("no record")),
        }
    }

    pub(crate) fn insert(&self, table: &str, fields: &Fields) -> Result<Record, Failure> {
        self.post(&path(["api", "now", "table", table]), fields)
    }

    /// Creates a change through the Change API, so that the defaults of its kind or template apply.
    pub(crate) fn insert_change(&self, kind: &[&str], fields: &Fields) -> Result<Record, Failure> {
        let segments = ["api", "sn_chg_rest", "change"].iter().chain(kind);
        self.post(&path(segments), fields)
    }

    fn post(&self, path: &str, fields: &Fields) -> Result<Record, Failure> {
        let request = self.http.post(path).query("sysparm_display_value", "all").json(fields.json());
        let response = request.send().map_err(refused)?;
        Ok(response.json::<Answer<Record>>()?.result)
    }

    /// Sets fields of a record.
    pub(crate) fn update(&self, table: &str, sys_id: &str, fields: &Fields) -> Result<Record, Failure> {
        let request = self
            .http
            .patch(path(["api", "now", "table", table, sys_id]))
            .query("sysparm_display_value", "all")
            .json(fields.json());
        let response = request.send().map_err(refused)?;
        Ok(response.json::<Answer<Record>>()?.result)
    }

    /// Where a change can go from its state.
    pub(crate) fn next_states(&self, sys_id: &str) -> Result<NextStates, Failure> {
        // The name differs between releases of ServiceNow.
        let at = |name: &str| self.http.get(path(["api", "sn_chg_rest", "change", sys_id, name]));
        let response = at("nextstate").accept(400).accept(404).accept(405).send()?;
        let response = if response.is_success() { response } else { at("nextstates").send()? };
        Ok(response.json::<Answer<NextStates>>()?.result)
    }

    /// Starts conflict detection.
    pub(crate) fn detect_conflicts(&self, sys_id: &str) -> Result<(), Failure> {
        let fields = Fields::default();
        let request = self.http.post(path(["api", "sn_chg_rest", "change", sys_id, "conflict"])).json(fields.json());
        // A detection that runs already is as good.
        request.accept(409).send().map(|_| ())
    }

    pub(crate) fn attachments(&self, sys_id: &str) -> Result<Vec<Attachment>, Failure> {
        let request = self
            .http
            .get("/api/now/attachment")
            .query("sysparm_query", format!("table_sys_id={sys_id}"))
            .query("sysparm_limit", 1000);
        Ok(request.send()?.json::<Answer<Vec<Attachment>>>()?.result)
    }

    pub(crate) fn attach(
        &self,
        table: &str,
        sys_id: &str,
        name: &str,
        content_type: &str,
        bytes: Vec<u8>,
    ) -> Result<Attachment, Failure> {
        let request = self
            .http
            .post("/api/now/attachment/file")
            .query("table_name", table)
            .query("table_sys_id", sys_id)
            .query("file_name", name)
            .body(content_type, bytes);
        Ok(request.send()?.json::<Answer<Attachment>>()?.result)
    }

    /// The address of an attachment's content.
    pub(crate) fn attachment_url(&self, sys_id: &str) -> String {
        self.http.url(path(["api", "now", "attachment", sys_id, "file"]))
    }

    /// What later steps get of a change.
    pub(crate) fn report(&self, change: &Record) -> ChangeReport {
        ChangeReport {
            number: change.number().to_owned(),
            sys_id: change.sys_id().to_owned(),
            url: self.page(CHANGES, change.sys_id()),
            state: change.value("state").to_owned(),
            state_label: crate::states::label(change),
        }
    }
}

/// A change, in short.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ChangeReport {
    /// `CHG0030001`.
    pub(crate) number: String,
    /// Its identity.
    pub(crate) sys_id: String,
    /// Its page.
    pub(crate) url: String,
    /// The state's value: `-5`.
    pub(crate) state: String,
    /// The state in words: `New`.
    pub(crate) state_label: String,
}

/// ServiceNow says 403 also when a business rule or a data policy stops a write: that is a no, not a lack of rights.
fn refused(failure: Failure) -> Failure {
    let said = failure.message.to_ascii_lowercase();
    let by_rule = ["business rule", "data policy", "aborted", "mandatory"].iter().any(|sign| said.contains(sign));
    if failure.code == "http-403" && by_rule {
        Failure { class: FailureClass::Rejected, code: "refused-by-rule".to_owned(), ..failure }.never()
    } else {
        failure
    }
}

/// A note with a mark that tells a second attempt that it is there already.
pub(crate) struct Note {
    text: String,
    mark: String,
}

impl Note {
    pub(crate) fn new(ctx: &Context, text: &str) -> Self {
        let key = ctx.idempotency_key();
        let mark = format!("[windlass {}]", key.get(..12).unwrap_or(key));
        Self { text: text.to_owned(), mark }
    }

    /// The text to write; none if the record has it.
    pub(crate) fn missing_in(&self, record: &Record, field: &str) -> Option<String> {
        let there = record.display(field).contains(&self.mark) || record.value(field).contains(&self.mark);
        (!there).then(|| format!("{}\n{}", self.text, self.mark))
    }
}
