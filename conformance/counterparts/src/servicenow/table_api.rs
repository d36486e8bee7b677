//! The Table API: `/api/now/table/{table}[/{sys_id}]`.

use super::columns::{TableDefinition, definition};
use super::query::Query;
use super::tables::{Display, View, value};
use super::write::Failure;
use super::{Caller, ServiceNow, error, method_not_supported, no_record, result};
use crate::http::{Reply, Request};
use hyper::StatusCode;
use serde_json::{Map, Value, json};

/// How many records come back when no limit is given.
const LIMIT_DEFAULT: usize = 10_000;

impl ServiceNow {
    pub(super) fn table_api(&mut self, rest: &[&str], request: &Request, caller: &mut Caller<'_>) -> Reply {
        let Some(table) = rest.first().and_then(|name| definition(name)) else {
            let name = rest.first().unwrap_or(&"");
            return error(StatusCode::BAD_REQUEST, &format!("Invalid table {name}"), None);
        };
        match (request.method.as_str(), &rest[1..]) {
            ("GET", []) => self.list(table, request),
            ("POST", []) => match body(request) {
                Ok(fields) => {
                    let written = self.create(table, &fields, caller);
                    let url = format!("{}/api/now/table/{}/{}", self.url, table.name, written.sys_id);
                    self.shown(StatusCode::CREATED, table, &written.sys_id, request).with("location", url)
                }
                Err(reply) => *reply,
            },
            ("GET", [sys_id]) => self.shown(StatusCode::OK, table, sys_id, request),
            ("PUT" | "PATCH", [sys_id]) => match body(request) {
                Ok(fields) => match self.update(table, sys_id, &fields, caller) {
                    Ok(written) => self.shown(StatusCode::OK, table, &written.sys_id, request),
                    Err(failure) => failure.reply(),
                },
                Err(reply) => *reply,
            },
            ("DELETE", [sys_id]) => {
                if self.delete(table, sys_id, caller) {
                    Reply::new(StatusCode::NO_CONTENT)
                } else {
                    no_record()
                }
            }
            _ => method_not_supported(),
        }
    }

    fn shown(&self, status: StatusCode, table: &'static TableDefinition, sys_id: &str, request: &Request) -> Reply {
        match self.tables.get(table.name, sys_id) {
            Some(record) => {
                let view = self.view(request);
                result(status, &self.tables.show(table.name, record, &view))
            }
            None => no_record(),
        }
    }

    /// How the query wants records shown.
    pub(super) fn view(&self, request: &Request) -> View<'_> {
        let display = match request.query_value("sysparm_display_value") {
            Some(text) if text.eq_ignore_ascii_case("true") => Display::Label,
            Some(text) if text.eq_ignore_ascii_case("all") => Display::Both,
            _ => Display::Stored,
        };
        View {
            url: &self.url,
            display,
            reference_links: !truthy(request, "sysparm_exclude_reference_link"),
            fields: fields(request),
        }
    }

    fn list(&self, table: &'static TableDefinition, request: &Request) -> Reply {
        let mut query = Query::parse(table.name, request.query_value("sysparm_query").unwrap_or_default());
        for (name, wanted) in &request.query {
            if !name.starts_with("sysparm_") {
                query.also_equal(table.name, name, wanted);
            }
        }
        let found = query.run(table.name, &self.tables);
        let (limit, offset) = window(request, LIMIT_DEFAULT);
        let view = self.view(request);
        let page: Vec<Value> =
            found.iter().skip(offset).take(limit).map(|record| self.tables.show(table.name, record, &view)).collect();
        let mut reply = result(StatusCode::OK, &json!(page));
        if !truthy(request, "sysparm_no_count") {
            reply = reply.with("x-total-count", found.len().to_string());
        }
        if !truthy(request, "sysparm_suppress_pagination_header") {
            let links = links(&format!("{}{}", self.url, request.path), request, found.len(), limit, offset);
            if !links.is_empty() {
                reply = reply.with("link", links);
            }
        }
        reply
    }

    /// The number of a record, for messages.
    pub(super) fn number(&self, table: &str, sys_id: &str) -> String {
        self.tables.get(table, sys_id).map_or("", |record| value(record, "number")).to_owned()
    }
}

impl Failure {
    pub(super) fn reply(&self) -> Reply {
        match self {
            Failure::NoRecord => no_record(),
            Failure::Refused(refusal) => error(StatusCode::FORBIDDEN, "Operation Failed", Some(&refusal.detail())),
        }
    }
}

/// The body as fields.
pub(super) fn body(request: &Request) -> Result<Map<String, Value>, Box<Reply>> {
    if request.body.is_empty() {
        return Ok(Map::new());
    }
    request.json::<Map<String, Value>>().map_err(|detail| {
        Box::new(error(
            StatusCode::BAD_REQUEST,
            "Exception while reading request",
            Some(&format!("Cannot decode: {detail}")),
        ))
    })
}

pub(super) fn truthy(request: &Request, name: &str) -> bool {
    request.query_value(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// The fields asked for.
pub(super) fn fields(request: &Request) -> Vec<String> {
    request
        .query_value("sysparm_fields")
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// How many records, and after how many.
pub(super) fn window(request: &Request, limit_default: usize) -> (usize, usize) {
    let number = |name: &str| request.query_value(name).and_then(|value| value.parse::<usize>().ok());
    (number("sysparm_limit").unwrap_or(limit_default), number("sysparm_offset").unwrap_or(0))
}

/// The `Link` header: first, previous, next, last.
fn links(url: &str, request: &Request, total: usize, limit: usize, offset: usize) -> String {
    if limit == 0 || total <= limit {
        return String::new();
    }
    let to = |offset: usize, rel: &str| {
        let mut serializer = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in request.query.iter().filter(|(name, _)| name != "sysparm_offset") {
            serializer.append_pair(name, value);
        }
        serializer.append_pair("sysparm_offset", &offset.to_string());
        format!("<{url}?{}>;rel=\"{rel}\"", serializer.finish())
    };
    let mut links = vec![to(0, "first")];
    if offset > 0 {
        links.push(to(offset.saturating_sub(limit), "prev"));
    }
    if offset.saturating_add(limit) < total {
        links.push(to(offset + limit, "next"));
    }
    links.push(to((total - 1) / limit * limit, "last"));
    links.join(",")
}
