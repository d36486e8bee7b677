//! `POST /oauth_token.do`: tokens for a client, or for a user of a client, which end after a while.

use crate::authentication::Presented;
use crate::http::{Reply, Request};
use crate::simulator::SimulatorOptions;
use hyper::{Method, StatusCode};
use serde_json::json;
use std::collections::HashMap;

/// The tokens given out, with the time at which each ends.
#[derive(Default)]
pub(crate) struct Tokens {
    access: HashMap<String, i64>,
    refresh: HashMap<String, i64>,
}

/// How long a refresh token is good: ServiceNow's default of 100 days.
const REFRESH_SECONDS: i64 = 8_640_000;

impl Tokens {
    pub(crate) fn good(&self, token: &str, now_ms: i64) -> bool {
        self.access.get(token).is_some_and(|until_ms| now_ms < *until_ms)
    }

    pub(crate) fn expire_all(&mut self) -> usize {
        let expired = self.access.len();
        self.access.clear();
        expired
    }

    /// Answers a token request: client credentials, password, or refresh token.
    pub(crate) fn grant(
        &mut self,
        request: &Request,
        presented: &Presented,
        options: &SimulatorOptions,
        now_ms: i64,
    ) -> Reply {
        if request.method != Method::POST {
            return Reply::text(StatusCode::METHOD_NOT_ALLOWED, "").with("allow", "POST");
        }
        let form = request.form();
        let field = |name: &str| form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
        let (id, secret) = match presented {
            Presented::Basic { user, password } => (user.as_str(), password.as_str()),
            _ => (field("client_id"), field("client_secret")),
        };
        let client = id == options.client_id && secret == options.client_secret;
        let (allowed, refreshable) = match field("grant_type") {
            "client_credentials" => (true, false),
            "password" => {
                let known = field("username") == options.user && field("password") == options.password;
                (known, true)
            }
            "refresh_token" => {
                let until_ms = self.refresh.get(field("refresh_token"));
                (until_ms.is_some_and(|until_ms| now_ms < *until_ms), true)
            }
            _ => (false, false),
        };
        if !client || !allowed {
            return Reply::json(
                StatusCode::UNAUTHORIZED,
                &json!({ "error_description": "access_denied", "error": "server_error" }),
            );
        }
        let seconds = i64::try_from(options.token_lifetime.as_secs()).unwrap_or(i64::MAX / 2_000);
        let token = random_token();
        self.access.retain(|_, until_ms| now_ms < *until_ms);
        self.access.insert(token.clone(), now_ms.saturating_add(seconds.saturating_mul(1_000)));
        let mut answer = json!({
            "access_token": token,
            "scope": "useraccount",
            "token_type": "Bearer",
            "expires_in": seconds,
        });
        if refreshable {
            let refresh = random_token();
            self.refresh.insert(refresh.clone(), now_ms + REFRESH_SECONDS * 1_000);
            answer["refresh_token"] = json!(refresh);
        }
        Reply::json(StatusCode::OK, &answer).with("cache-control", "no-store").with("pragma", "no-cache")
    }
}

fn random_token() -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(rand::random::<[u8; 48]>())
}
