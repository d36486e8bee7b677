//! The Attachment API: `/api/now/attachment`.

use super::columns::definition;
use super::query::Query;
use super::table_api::window;
use super::tables::{Display, Record, View, value};
use super::{Caller, ServiceNow, error, method_not_supported, no_record, result};
use crate::http::{Reply, Request};
use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The table of attachments.
const TABLE: &str = "sys_attachment";

impl ServiceNow {
    pub(super) fn attachment_api(&mut self, rest: &[&str], request: &Request, caller: &mut Caller<'_>) -> Reply {
        match (request.method.as_str(), rest) {
            ("GET", []) => {
                let mut query = Query::parse(TABLE, request.query_value("sysparm_query").unwrap_or_default());
                for (name, wanted) in &request.query {
                    if !name.starts_with("sysparm_") {
                        query.also_equal(TABLE, name, wanted);
                    }
                }
                let (limit, offset) = window(request, 1_000);
                let found = query.run(TABLE, &self.tables);
                let page: Vec<Value> = found.iter().skip(offset).take(limit).map(|it| self.attachment(it)).collect();
                result(StatusCode::OK, &json!(page)).with("x-total-count", found.len().to_string())
            }
            ("POST", ["file"]) => self.upload(request, caller),
            ("GET", [sys_id]) => match self.tables.get(TABLE, sys_id) {
                Some(record) => result(StatusCode::OK, &self.attachment(record)),
                None => no_record(),
            },
            ("GET", [sys_id, "file"]) => match (self.tables.get(TABLE, sys_id), self.files.get(*sys_id)) {
                (Some(record), Some(bytes)) => Reply::new(StatusCode::OK)
                    .with("content-type", value(record, "content_type"))
                    .with("x-attachment-metadata", self.attachment(record).to_string())
                    .with("content-disposition", format!("attachment;filename=\"{}\"", value(record, "file_name")))
                    .body(bytes.clone()),
                _ => no_record(),
            },
            ("DELETE", [sys_id]) => match definition(TABLE) {
                Some(table) if self.delete(table, sys_id, caller) => Reply::new(StatusCode::NO_CONTENT),
                _ => no_record(),
            },
            _ => method_not_supported(),
        }
    }

    fn upload(&mut self, request: &Request, caller: &mut Caller<'_>) -> Reply {
        let given = |name: &str| request.query_value(name).unwrap_or_default().to_owned();
        let (table, sys_id, file) = (given("table_name"), given("table_sys_id"), given("file_name"));
        for (name, given) in [("table_name", &table), ("table_sys_id", &sys_id), ("file_name", &file)] {
            if given.is_empty() {
                let message = format!("Query parameter {name} is missing or empty");
                return error(StatusCode::BAD_REQUEST, &message, None);
            }
        }
        let Some(content_type) = request.header(CONTENT_TYPE) else {
            return error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type header is missing", None);
        };
        if self.tables.get(&table, &sys_id).is_none() {
            return no_record();
        }
        let size = request.body.len().to_string();
        let record: Record = [
            ("file_name", file.as_str()),
            ("table_name", &table),
            ("table_sys_id", &sys_id),
            ("content_type", content_type),
            ("size_bytes", &size),
            ("size_compressed", &size),
            ("chunk_size_bytes", "700000"),
            ("compressed", "true"),
            ("state", "available_conditionally"),
            ("hash", &hex::encode(Sha256::digest(&request.body))),
        ]
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
        let id = self.tables.insert(TABLE, record, &caller.user, caller.now_ms);
        self.files.insert(id.clone(), request.body.clone());
        let detail = json!({ "sys_id": id, "on": self.number(&table, &sys_id), "bytes": request.body.len() });
        self.effect(TABLE, &id, "attachment.created", detail, caller);
        match self.tables.get(TABLE, &id) {
            Some(record) => result(StatusCode::CREATED, &self.attachment(record))
                .with("location", format!("{}/api/now/attachment/{id}", self.url)),
            None => no_record(),
        }
    }

    fn attachment(&self, record: &Record) -> Value {
        let view = View { url: &self.url, display: Display::Stored, reference_links: false, fields: Vec::new() };
        let mut shown = self.tables.show(TABLE, record, &view);
        shown["download_link"] = json!(format!("{}/api/now/attachment/{}/file", self.url, value(record, "sys_id")));
        shown
    }
}
