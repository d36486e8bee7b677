//! A simulated ServiceNow instance: the Table API, the Change Management API, attachments, and OAuth.
//!
//! **Invariant:** every write to a change goes through [`write`], whichever API it came by, so the state model
//! and the data policy hold for all of them.

mod attachment;
mod change;
mod change_api;
mod columns;
mod oauth;
mod query;
mod seed;
mod table_api;
mod tables;
mod write;

pub(crate) use write::ApprovalAnswer;

use crate::authentication::Presented;
use crate::effect::EffectLog;
use crate::http::{Reply, Request};
use crate::simulator::SimulatorOptions;
use bytes::Bytes;
use hyper::StatusCode;
use oauth::Tokens;
use serde_json::{Value, json};
use std::collections::HashMap;
use tables::Tables;

/// The instance.
pub(crate) struct ServiceNow {
    url: String,
    options: SimulatorOptions,
    tables: Tables,
    /// What was uploaded, by the `sys_id` of the attachment.
    files: HashMap<String, Bytes>,
    tokens: Tokens,
}

/// Who asks, when, and where the effects go.
pub(crate) struct Caller<'a> {
    user: String,
    now_ms: i64,
    effects: &'a mut EffectLog,
}

impl ServiceNow {
    pub(crate) fn new(url: &str, options: &SimulatorOptions) -> ServiceNow {
        let mut tables = Tables::default();
        seed::fill(&mut tables, &options.user);
        ServiceNow {
            url: url.to_owned(),
            options: options.clone(),
            tables,
            files: HashMap::new(),
            tokens: Tokens::default(),
        }
    }

    /// Answers a request and tells whether it was authorised.
    pub(crate) fn answer(
        &mut self,
        request: &Request,
        presented: &Presented,
        now_ms: i64,
        effects: &mut EffectLog,
    ) -> (Reply, bool) {
        if request.parts().as_slice() == ["oauth_token.do"] {
            let reply = self.tokens.grant(request, presented, &self.options, now_ms);
            let authorised = reply.status == StatusCode::OK;
            return (reply, authorised);
        }
        let user = match presented {
            Presented::Bearer(token) if self.tokens.good(token, now_ms) => Some(self.options.user.clone()),
            _ => presented.user(&self.options).map(str::to_owned),
        };
        let Some(user) = user else {
            let reply =
                error(StatusCode::UNAUTHORIZED, "User Not Authenticated", Some("Required to provide Auth information"));
            return (reply.with("www-authenticate", "BASIC realm=\"Service-now\""), false);
        };
        let mut caller = Caller { user, now_ms, effects };
        (self.route(request, &mut caller), true)
    }

    fn route(&mut self, request: &Request, caller: &mut Caller<'_>) -> Reply {
        // The version may stand in the path: /api/now/v2/table, /api/sn_chg_rest/v1/change.
        let parts: Vec<&str> = request
            .parts()
            .into_iter()
            .enumerate()
            .filter(|(at, part)| *at != 2 || !matches!(*part, "v1" | "v2"))
            .map(|(_, part)| part)
            .collect();
        match parts.as_slice() {
            ["api", "now", "table", rest @ ..] => self.table_api(rest, request, caller),
            ["api", "now", "attachment", rest @ ..] => self.attachment_api(rest, request, caller),
            ["api", "sn_chg_rest", "change", rest @ ..] => self.change_api(rest, request, caller),
            _ => error(StatusCode::BAD_REQUEST, "Requested URI does not represent any resource", None),
        }
    }

    /// Forgets all tokens, as if their time were over.
    pub(crate) fn expire_tokens(&mut self) -> usize {
        self.tokens.expire_all()
    }
}

/// An error in ServiceNow's shape.
fn error(status: StatusCode, message: &str, detail: Option<&str>) -> Reply {
    Reply::json(status, &json!({ "error": { "message": message, "detail": detail }, "status": "failure" }))
}

fn no_record() -> Reply {
    error(StatusCode::NOT_FOUND, "No Record found", Some("Record doesn't exist or ACL restricts the record retrieval"))
}

fn method_not_supported() -> Reply {
    error(StatusCode::METHOD_NOT_ALLOWED, "Method not supported", None)
}

fn result(status: StatusCode, value: &Value) -> Reply {
    Reply::json(status, &json!({ "result": value }))
}

/// The answer of an ordered fault.
pub(crate) fn fault_reply(status: StatusCode) -> Reply {
    let message = match status {
        StatusCode::TOO_MANY_REQUESTS => "Rate limit exceeded",
        StatusCode::SERVICE_UNAVAILABLE => "Service unavailable",
        _ => "Ordered fault",
    };
    error(status, message, Some("ordered fault (simulated)"))
}
