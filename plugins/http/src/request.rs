//! `request`: writes.
//!
//! The step's idempotency key goes along as `Idempotency-Key`. When an answer gets lost, the request may have had its
//! effect: only where repeating is harmless does the step leave the next attempt to the workflow's policy.

use crate::response::{HttpResponse, ROLE, expected, prepared};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use windlass_sdk::http::SendError;
use windlass_sdk::{Action, Answer, Context, Effect, Failure, Method, Outcome, RetryAdvice, Role};

/// The shortest wait before another attempt; the workflow's policy makes more of it.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Writes to an endpoint.
pub(crate) struct Write;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestInput {
    /// The request's method.
    #[serde(default)]
    method: WriteMethod,
    /// Path below the connection's base URL, percent-encoded.
    path: String,
    /// Query parameters.
    #[serde(default)]
    query: BTreeMap<String, String>,
    /// Headers; the connection adds its credential by itself.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// A JSON body.
    json: Option<Value>,
    /// A text body, instead of a JSON one.
    text: Option<String>,
    /// Statuses that are as expected; any 2xx if none are given.
    #[serde(default)]
    statuses: Vec<u16>,
    /// Whether sending it twice is harmless, for example because the server honours `Idempotency-Key`. If not said:
    /// PUT and DELETE are, POST and PATCH are not.
    repeatable: Option<bool>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
enum WriteMethod {
    #[default]
    Post,
    Put,
    Patch,
    Delete,
}

impl From<WriteMethod> for Method {
    fn from(method: WriteMethod) -> Self {
        match method {
            WriteMethod::Post => Self::Post,
            WriteMethod::Put => Self::Put,
            WriteMethod::Patch => Self::Patch,
            WriteMethod::Delete => Self::Delete,
        }
    }
}

impl Action for Write {
    const NAME: &'static str = "request";
    const DESCRIPTION: &'static str = "Writes to an endpoint with POST, PUT, PATCH or DELETE.";
    const EFFECT: Effect = Effect::Write;

    type Input = RequestInput;
    type Output = HttpResponse;
    type State = ();

    fn connections() -> Vec<Role> {
        let methods = [Method::Post, Method::Put, Method::Patch, Method::Delete];
        vec![Role::required(ROLE, "The endpoint.").allow(&methods, "/**")]
    }

    fn start(ctx: &Context, input: RequestInput) -> Answer<Self> {
        let method = Method::from(input.method);
        let endpoint = ctx.http(ROLE)?;
        let mut request = prepared(&endpoint, method, &input.path, &input.query, &input.headers)?.idempotency_key();
        request = match (&input.json, &input.text) {
            (Some(_), Some(_)) => {
                return Err(Failure::invalid("two-bodies", "a request has one body: give `json` or `text`").never());
            }
            (Some(json), None) => with_headers(request.json(json), &input.headers),
            (None, Some(text)) => {
                with_headers(request.body("text/plain; charset=utf-8", text.as_str()), &input.headers)
            }
            (None, None) => request,
        };
        for status in &input.statuses {
            request = request.accept(*status);
        }
        let (response, latency) = ctx.measured(|| request.try_send());
        let response = response.map_err(|error| lost(&input, error, method, &endpoint.url(&input.path)))?;
        expected(response, latency, &input.statuses).map(Outcome::done)
    }
}

/// The input's headers win over those that a body brings, above all `Content-Type`.
fn with_headers<'a>(
    request: windlass_sdk::http::Request<'a>,
    headers: &BTreeMap<String, String>,
) -> windlass_sdk::http::Request<'a> {
    headers.iter().fold(request, |request, (name, value)| request.header(name, value))
}

fn lost(input: &RequestInput, error: SendError, method: Method, url: &str) -> Failure {
    let harmless = input.repeatable.unwrap_or(matches!(input.method, WriteMethod::Put | WriteMethod::Delete));
    let effect_unknown = error.effect_unknown();
    let failure = error.failure(method, url);
    if effect_unknown && !harmless {
        let doing = "the request may have had its effect; look before it is sent again, or say `repeatable: true` if that is harmless";
        return failure.context(doing).pause();
    }
    // The host repeats no write of which it cannot know what became; here it is known, or does not matter.
    match failure.retry {
        RetryAdvice::ByPolicy if failure.class.passes() => failure.after(AGAIN_AFTER),
        _ => failure,
    }
}
