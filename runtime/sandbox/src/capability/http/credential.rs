//! Credentials on their way to the wire.
//!
//! **Invariant:** a secret that is read here is made known to the call's scrubber before it is used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use url::form_urlencoded;
use windlass_model::connection::{Authentication, Connection, SecretReference};

use super::connect::{ConnectError, HttpClient};
use super::explain;
use crate::secret::{Secret, SecretError};
use crate::shared::Shared;

/// A token is fetched anew this long before it ends.
const REFRESH_BEFORE: Duration = Duration::from_secs(30);

/// How long a token is used whose server does not say when it ends.
const LIFETIME_UNSAID: Duration = Duration::from_secs(300);

const TOKEN_TIME_MAX: Duration = Duration::from_secs(20);
const TOKEN_BYTES_MAX: usize = 256 * 1024;

/// Why a request cannot be authenticated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("a kubeconfig authenticates native tools, not HTTP requests")]
    Kubeconfig,
    #[error("`{0}` is no header that can carry a credential")]
    Header(String),
    #[error("the token server {url}: {why}")]
    Token { url: String, why: String },
}

/// Tokens that were fetched, by what they were fetched with.
#[derive(Default)]
pub(crate) struct Tokens {
    slots: Mutex<HashMap<TokenKey, Arc<tokio::sync::Mutex<Option<Token>>>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct TokenKey {
    url: String,
    client_id: String,
    /// A digest: the secret itself is not kept, and a changed one is another client.
    client_secret: [u8; 32],
    scope: Option<String>,
    private_network: bool,
}

struct Token {
    value: Secret,
    fresh_until: Instant,
}

/// What to add to a request.
pub(crate) struct Credential {
    pub(crate) header: HeaderName,
    pub(crate) value: HeaderValue,
    /// Whether another one could be fetched if this is not taken.
    pub(crate) renewable: bool,
}

impl Credential {
    fn new(header: HeaderName, value: &str, reference: &SecretReference) -> Result<Self, CredentialError> {
        let mut value = HeaderValue::from_str(value).map_err(|_| SecretError::Unsendable {
            reference: reference.to_string(),
            what: "a line end or another control character",
        })?;
        value.set_sensitive(true);
        Ok(Self { header, value, renewable: false })
    }
}

pub(super) fn resolve(shared: &Shared, reference: &SecretReference) -> Result<Secret, CredentialError> {
    let secret = shared.sandbox.secrets.resolve(reference)?;
    if secret.expose().len() < crate::secret::SECRET_BYTES_MIN {
        return Err(SecretError::TooShort { reference: reference.to_string() }.into());
    }
    shared.add_secrets([secret.expose().as_bytes().to_vec()]);
    Ok(secret)
}

/// The credential of a connection; none if it has none. `renew`: the last one was not taken.
pub(crate) async fn credential(
    shared: &Shared,
    connection: &Connection,
    renew: Option<&Credential>,
) -> Result<Option<Credential>, CredentialError> {
    Ok(Some(match &connection.authentication {
        Authentication::None => return Ok(None),
        Authentication::Kubeconfig { .. } => return Err(CredentialError::Kubeconfig),
        Authentication::Basic { username, password } => {
            let secret = resolve(shared, password)?;
            let pair = format!("{username}:{}", secret.expose());
            let value = format!("Basic {}", STANDARD.encode(&pair));
            shared.add_secrets([pair.into_bytes()]);
            Credential::new(AUTHORIZATION, &value, password)?
        }
        Authentication::Bearer { token } => {
            let secret = resolve(shared, token)?;
            Credential::new(AUTHORIZATION, &format!("Bearer {}", secret.expose()), token)?
        }
        Authentication::Header { header, value } => {
            let name: HeaderName = header
                .parse()
                .ok()
                .filter(may_carry_a_credential)
                .ok_or_else(|| CredentialError::Header(header.clone()))?;
            let secret = resolve(shared, value)?;
            Credential::new(name, secret.expose(), value)?
        }
        Authentication::OAuth2ClientCredentials { token_url, client_id, client_secret, scope } => {
            let secret = resolve(shared, client_secret)?;
            let client = Client { token_url, client_id, secret: &secret, scope: scope.as_deref() };
            let token = token(shared, connection.private_network, &client, renew).await?;
            shared.add_secrets([token.expose().as_bytes().to_vec()]);
            let mut credential = Credential::new(AUTHORIZATION, &format!("Bearer {}", token.expose()), client_secret)?;
            credential.renewable = true;
            credential
        }
    }))
}

fn may_carry_a_credential(name: &HeaderName) -> bool {
    !wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS.contains(name)
        && !matches!(name.as_str(), "content-length" | "content-type" | "accept-encoding" | "expect" | "te" | "trailer")
}

struct Client<'a> {
    token_url: &'a str,
    client_id: &'a str,
    secret: &'a Secret,
    scope: Option<&'a str>,
}

/// A token that is fresh, fetched by one of those who need it while the others wait.
async fn token(
    shared: &Shared,
    private_network: bool,
    client: &Client<'_>,
    refused: Option<&Credential>,
) -> Result<Secret, CredentialError> {
    use sha2::Digest as _;
    let key = TokenKey {
        url: client.token_url.to_owned(),
        client_id: client.client_id.to_owned(),
        client_secret: sha2::Sha256::digest(client.secret.expose()).into(),
        scope: client.scope.map(str::to_owned),
        private_network,
    };
    let http = &shared.sandbox.http;
    let slot = {
        let mut slots = http.tokens.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(key).or_default())
    };
    let mut slot = slot.lock().await;
    let usable = slot.as_ref().filter(|token| {
        let was_refused =
            refused.is_some_and(|it| it.value.as_bytes() == format!("Bearer {}", token.value.expose()).as_bytes());
        !was_refused && Instant::now() < token.fresh_until
    });
    if let Some(token) = usable {
        return Ok(token.value.clone());
    }
    *slot = None;
    let failed = |why: String| CredentialError::Token {
        url: shared.scrubber().text(client.token_url.to_owned()),
        why: shared.scrubber().text(why),
    };
    let fetched = tokio::time::timeout(TOKEN_TIME_MAX, fetch(http.client(private_network), client, shared))
        .await
        .map_err(|_| failed("no answer in time".to_owned()))?
        .map_err(failed)?;
    let value = fetched.value.clone();
    *slot = Some(fetched);
    Ok(value)
}

fn grant_form(scope: Option<&str>) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if let Some(scope) = scope {
        form.append_pair("scope", scope);
    }
    form.finish()
}

/// RFC 6749 §4.4, the client authenticated as in §2.3.1.
async fn fetch(http: &HttpClient, client: &Client<'_>, shared: &Shared) -> Result<Token, String> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(client.client_id), encoded(client.secret.expose()));
    let basic = STANDARD.encode(&pair);
    shared.add_secrets([pair.into_bytes()]);
    let body = Full::new(Bytes::from(grant_form(client.scope))).map_err(|never| match never {}).boxed_unsync();
    let mut authorization =
        HeaderValue::from_str(&format!("Basic {basic}")).map_err(|_| "the client cannot be sent".to_owned())?;
    authorization.set_sensitive(true);
    let request = Request::builder()
        .method(Method::POST)
        .uri(client.token_url)
        .header(AUTHORIZATION, authorization)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, "application/json")
        .body(body)
        .map_err(|_| "its address is no URL".to_owned())?;
    let asked_at = Instant::now();
    let response = http.request(request).await.map_err(|error| match explain::connect_error(&error) {
        Some(ConnectError::Forbidden { address, .. }) => {
            format!("its address {address} is in a private or local network, which the connection does not grant")
        }
        _ => explain::request_error(&error),
    })?;
    let status = response.status();
    let answer = Limited::new(response.into_body(), TOKEN_BYTES_MAX)
        .collect()
        .await
        .map_err(|_| "its answer broke off or is too long".to_owned())?
        .to_bytes();
    let answer: Option<serde_json::Value> = serde_json::from_slice(&answer).ok();
    let text = |name: &str| answer.as_ref().and_then(|it| it.get(name)).and_then(|it| it.as_str());
    if !status.is_success() {
        let said = [text("error"), text("error_description")].into_iter().flatten().collect::<Vec<_>>().join(": ");
        return Err(format!("it answered {status} {said}").trim_end().to_owned());
    }
    let value = text("access_token").ok_or("its answer has no `access_token`")?;
    if value.len() < crate::secret::SECRET_BYTES_MIN {
        return Err("its token is too short to be removed from answers".to_owned());
    }
    if !text("token_type").unwrap_or("bearer").eq_ignore_ascii_case("bearer") {
        return Err("its token is of another type than bearer".to_owned());
    }
    let lifetime = answer
        .as_ref()
        .and_then(|it| it.get("expires_in"))
        .and_then(|it| it.as_u64().or_else(|| it.as_str()?.parse().ok()))
        .map_or(LIFETIME_UNSAID, |seconds| Duration::from_secs(seconds.min(7 * 24 * 3600)));
    // A token of a few seconds is used for half of them.
    let fresh = lifetime.saturating_sub(REFRESH_BEFORE.min(lifetime / 2));
    Ok(Token { value: Secret::new(value), fresh_until: asked_at + fresh })
}
