//! `get`: reads.

use crate::response::{HttpResponse, ROLE, expected, prepared};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use windlass_sdk::{Action, Answer, Context, Effect, Method, Outcome, Role};

/// Reads from an endpoint.
pub(crate) struct Get;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GetInput {
    /// Path below the connection's base URL, percent-encoded.
    path: String,
    /// Query parameters.
    #[serde(default)]
    query: BTreeMap<String, String>,
    /// Headers; the connection adds its credential by itself.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Statuses that are as expected; any 2xx if none are given.
    #[serde(default)]
    statuses: Vec<u16>,
}

impl Action for Get {
    const NAME: &'static str = "get";
    const DESCRIPTION: &'static str = "Reads from an endpoint with GET.";
    const EFFECT: Effect = Effect::Read;

    type Input = GetInput;
    type Output = HttpResponse;
    type State = ();

    fn connections() -> Vec<Role> {
        vec![Role::required(ROLE, "The endpoint.").allow(&[Method::Get], "/**")]
    }

    fn start(ctx: &Context, input: GetInput) -> Answer<Self> {
        let request = prepared(&ctx.http(ROLE)?, Method::Get, &input.path, &input.query, &input.headers)?;
        let (response, latency) = ctx.measured(|| request.accept_any().send());
        expected(response?, latency, &input.statuses).map(Outcome::done)
    }
}
