//! Who may send alerts over the network, and how that is known.
//!
//! **Invariant:** a secret is read when it is needed and never kept; it is compared in constant time.

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use windlass_model::actor::Actor;
use windlass_model::connection::SecretReference;
use windlass_model::name::ConnectionName;
use windlass_model::time::Timestamp;
use windlass_sandbox::{EnvironmentAndFiles, SecretError, SecretSource as _};
use windlass_store::DocumentKind;

use super::AlertError;
use crate::clock::{now, random_bytes};
use crate::runtime::{Runtime, RuntimeError};

/// What a signature is sent in when it is not said.
pub(super) const SIGNATURE_HEADER: &str = "x-windlass-signature";

/// How it is known who sends alerts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum SourceAuthentication {
    /// `authorization: Bearer TOKEN`.
    Bearer {
        /// Where the token is.
        token: SecretReference,
    },
    /// `x-windlass-signature: sha256=HEX`: HMAC-SHA256 of the body.
    Hmac {
        /// Where the key is.
        key: SecretReference,
        /// Another header.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        header: Option<String>,
    },
}

/// A source of alerts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertSourceView {
    /// Its name, the end of the address that it sends to.
    pub name: ConnectionName,
    /// How it is known that it is the one.
    pub authentication: SourceAuthentication,
    /// Who declared it.
    pub set_by: Actor,
    /// When.
    pub set_at: Timestamp,
}

/// What a request says of who sent it.
pub(super) struct Shown<'r> {
    pub(super) headers: &'r http::HeaderMap,
    pub(super) body: &'r [u8],
}

fn mac(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    mac.update(message);
    mac
}

/// Whether two texts are the same, in a time that does not tell where they differ.
fn is_same(given: &[u8], wanted: &[u8]) -> bool {
    let key = random_bytes();
    let given = mac(&key, given).finalize().into_bytes();
    mac(&key, wanted).verify_slice(&given).is_ok()
}

impl AlertSourceView {
    /// Whether a request's head is enough to know who sends it, so that nobody else's body is read.
    pub(super) fn is_known_by_head(&self) -> bool {
        matches!(self.authentication, SourceAuthentication::Bearer { .. })
    }

    /// Whether a request comes from it.
    pub(super) fn is_from(&self, shown: &Shown<'_>) -> Result<bool, SecretError> {
        match &self.authentication {
            SourceAuthentication::Bearer { token } => {
                let header = shown.headers.get(http::header::AUTHORIZATION).map(http::HeaderValue::as_bytes);
                let scheme = |it: &&[u8]| it.len() > 7 && it[..7].eq_ignore_ascii_case(b"bearer ");
                let Some(given) = header.filter(scheme) else { return Ok(false) };
                let token = EnvironmentAndFiles.resolve(token)?;
                Ok(is_same(given[7..].trim_ascii(), token.expose().as_bytes()))
            }
            SourceAuthentication::Hmac { key, header } => {
                let name = header.as_deref().unwrap_or(SIGNATURE_HEADER);
                let given = shown.headers.get(name).and_then(|it| it.to_str().ok());
                let given = given.map(|it| it.strip_prefix("sha256=").unwrap_or(it));
                let Some(given) = given.and_then(|it| hex::decode(it).ok()) else { return Ok(false) };
                let key = EnvironmentAndFiles.resolve(key)?;
                Ok(mac(key.expose().as_bytes(), shown.body).verify_slice(&given).is_ok())
            }
        }
    }
}

impl Runtime {
    /// Declares who may send alerts.
    pub async fn set_alert_source(
        &self,
        name: ConnectionName,
        authentication: SourceAuthentication,
        by: Actor,
    ) -> Result<AlertSourceView, RuntimeError> {
        let source = AlertSourceView { name, authentication, set_by: by, set_at: now() };
        let bytes = serde_json::to_vec(&source).expect("it holds only what JSON can hold");
        self.store().put_document(DocumentKind::AlertSource, source.name.as_str(), bytes).await?;
        Ok(source)
    }

    /// All sources, by name. One that cannot be read is left out, and said.
    pub fn alert_sources(&self) -> Result<Vec<AlertSourceView>, RuntimeError> {
        let documents = self.store().documents(DocumentKind::AlertSource)?;
        let read = documents.into_iter().filter_map(|(name, bytes)| read(&name, &bytes));
        Ok(read.collect())
    }

    /// A source, if there is one of this name.
    pub(super) fn alert_source(&self, name: &str) -> Result<Option<AlertSourceView>, RuntimeError> {
        if name.parse::<ConnectionName>().is_err() {
            return Ok(None);
        }
        let bytes = self.store().document(DocumentKind::AlertSource, name)?;
        Ok(bytes.and_then(|it| read(name, &it)))
    }

    /// Takes no more alerts from a source.
    pub async fn remove_alert_source(&self, name: &str) -> Result<(), RuntimeError> {
        let is_name = name.parse::<ConnectionName>().is_ok();
        if is_name && self.store().remove_document(DocumentKind::AlertSource, name).await? {
            return Ok(());
        }
        let names: Vec<String> = self.alert_sources()?.iter().map(|it| format!("`{}`", it.name)).collect();
        let known = match names.as_slice() {
            [] => "there are none".to_owned(),
            names => format!("there are {}", names.join(", ")),
        };
        Err(AlertError::UnknownSource { name: name.to_owned(), known }.into())
    }
}

fn read(name: &str, bytes: &[u8]) -> Option<AlertSourceView> {
    match serde_json::from_slice(bytes) {
        Ok(source) => Some(source),
        Err(error) => {
            tracing::error!(source = %name, %error, "this alert source cannot be read; declare it again");
            None
        }
    }
}
