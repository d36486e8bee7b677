//! A server which says what it was sent, to see what reaches a host and what does not, and which can be slow,
//! large, compressed or unwell on request.

use crate::http::{Reply, ReplyBody, Request};
use base64::Engine;
use flate2::{Compression, write::GzEncoder};
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::io::Write;
use std::time::Duration;

/// The most bytes one answer has.
const BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The longest an answer can be made to wait.
const DELAY_MS_MAX: u64 = 10 * 60 * 1_000;

/// The echo server's state: how healthy it says it is.
pub(crate) struct Echo {
    health: StatusCode,
    health_delay: Duration,
    version: String,
}

impl Default for Echo {
    fn default() -> Echo {
        Echo { health: StatusCode::OK, health_delay: Duration::ZERO, version: "1.0.0".to_owned() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HealthOrder {
    status: Option<u16>,
    delay_ms: Option<u64>,
    version: Option<String>,
}

impl Echo {
    /// Sets what `/health` answers, from a body such as `{"status":503,"delay_ms":20,"version":"2.0.0"}`.
    pub(crate) fn set_health(&mut self, request: &Request) -> Result<u16, String> {
        let order: HealthOrder = request.json()?;
        if let Some(status) = order.status {
            self.health = StatusCode::from_u16(status).map_err(|error| error.to_string())?;
        }
        if let Some(ms) = order.delay_ms {
            self.health_delay = Duration::from_millis(ms.min(DELAY_MS_MAX));
        }
        if let Some(version) = order.version {
            self.version = version;
        }
        Ok(self.health.as_u16())
    }

    pub(crate) fn answer(&self, request: &Request) -> Reply {
        match request.parts().as_slice() {
            ["health"] => {
                let status = if self.health.is_success() { "up" } else { "down" };
                let mut reply =
                    Reply::json(self.health, &json!({ "status": status, "version": self.version, "simulated": true }));
                reply.delay = self.health_delay;
                reply
            }
            ["redirect"] => match request.query_value("to") {
                Some(to) => Reply::text(StatusCode::FOUND, "redirected").with("location", to),
                None => Reply::text(StatusCode::BAD_REQUEST, "redirect needs ?to=URL"),
            },
            ["bytes", count] => match count.parse::<u64>() {
                Ok(count) if count <= BYTES_MAX => {
                    let count = usize::try_from(count).unwrap_or(0);
                    Reply::new(StatusCode::OK).with("content-type", "application/octet-stream").body(vec![b'x'; count])
                }
                _ => Reply::text(StatusCode::BAD_REQUEST, format!("bytes/N, N up to {BYTES_MAX}")),
            },
            ["gzip"] => match gzip(echo(request).to_string().as_bytes()) {
                Ok(bytes) => Reply::new(StatusCode::OK)
                    .with("content-type", "application/json")
                    .with("content-encoding", "gzip")
                    .body(bytes),
                Err(error) => Reply::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
            },
            ["slow"] => {
                let mut reply = Reply::json(StatusCode::OK, &echo(request));
                reply.delay = Duration::from_millis(number(request, "ms", 1_000).min(DELAY_MS_MAX));
                reply
            }
            ["status", code] => match code.parse::<u16>().ok().map(StatusCode::from_u16) {
                Some(Ok(status)) if !status.is_informational() => Reply::json(status, &echo(request)),
                _ => Reply::text(StatusCode::BAD_REQUEST, "status/N, N from 200 to 999"),
            },
            ["drip"] => {
                let mut reply = Reply::new(StatusCode::OK).with("content-type", "text/plain");
                reply.body = ReplyBody::Drip {
                    bytes: number(request, "bytes", 10).min(BYTES_MAX),
                    pause: Duration::from_millis(number(request, "ms", 100).min(DELAY_MS_MAX)),
                };
                reply
            }
            _ => Reply::json(StatusCode::OK, &echo(request)),
        }
    }
}

fn number(request: &Request, name: &str, default: u64) -> u64 {
    request.query_value(name).and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// What was sent. A header or query parameter that came more than once is a list.
fn echo(request: &Request) -> Value {
    let mut headers = Map::new();
    for (name, value) in &request.headers {
        add(&mut headers, name.as_str(), &String::from_utf8_lossy(value.as_bytes()));
    }
    let mut query = Map::new();
    for (name, value) in &request.query {
        add(&mut query, name, value);
    }
    let (body, encoding) = match std::str::from_utf8(&request.body) {
        Ok(text) => (text.to_owned(), "utf-8"),
        Err(_) => (base64::engine::general_purpose::STANDARD.encode(&request.body), "base64"),
    };
    json!({
        "simulated": true,
        "method": request.method.as_str(),
        "path": request.path,
        "query": query,
        "headers": headers,
        "body": body,
        "body_encoding": encoding,
    })
}

fn add(into: &mut Map<String, Value>, name: &str, value: &str) {
    match into.get_mut(name) {
        None => {
            into.insert(name.to_owned(), json!(value));
        }
        Some(Value::Array(values)) => values.push(json!(value)),
        Some(first) => *first = json!([first.take(), value]),
    }
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}
