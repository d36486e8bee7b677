//! Trying a connection: is it reachable, does it take the credential.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Empty};
use windlass_model::connection::{Authentication, Connection};
use windlass_model::manifest::EffectiveLimits;

use super::connect::ConnectError;
use super::{credential, explain};
use crate::cassette::Deck;
use crate::load::Nobody;
use crate::sandbox::Sandbox;
use crate::shared::Shared;

/// How long the other side may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(15);

/// What trying a connection showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Whether it was reached and did not refuse the credential.
    pub works: bool,
    /// What was tried and what came of it, a line each, credentials removed.
    pub findings: Vec<String>,
}

impl Sandbox {
    /// Why the secret of a connection cannot be read here and now; none if it can, or if it has none.
    pub fn unreadable_secret(&self, connection: &Connection) -> Option<String> {
        let reference = connection.authentication.secret()?;
        self.inner.secrets.resolve(reference).err().map(|it| it.to_string())
    }

    /// Tries a connection as a plugin's request would use it: reads its secret, fetches a token where
    /// it needs one, and sends one `GET` to this path below its address; the path begins with `/`. Nothing is changed on the
    /// other side.
    ///
    /// A credential that only a tool receives is read and not tried.
    pub async fn test_connection(&self, connection: &Connection, path: &str) -> Probe {
        let inner = Arc::clone(&self.inner);
        let shared =
            Shared::new(inner, Arc::new(Nobody), Arc::default(), EffectiveLimits::DEFAULT, None, false, Deck::None);
        let mut findings = Vec::new();
        let works = try_it(&shared, connection, path, &mut findings).await;
        let findings = findings.into_iter().map(|it| shared.scrubber().text(it)).collect();
        Probe { works, findings }
    }
}

async fn try_it(shared: &Shared, connection: &Connection, path: &str, findings: &mut Vec<String>) -> bool {
    if let Authentication::Kubeconfig { kubeconfig } = &connection.authentication {
        return match shared.sandbox.secrets.resolve(kubeconfig) {
            Ok(_) => {
                findings.push(format!("{kubeconfig} can be read; only native tools use it, so nothing was sent"));
                true
            }
            Err(error) => {
                findings.push(error.to_string());
                false
            }
        };
    }
    let Some(url) = &connection.base_url else {
        findings.push("it has no address".to_owned());
        return false;
    };
    let credential = match credential::credential(shared, connection, None).await {
        Ok(credential) => credential,
        Err(error) => {
            findings.push(error.to_string());
            return false;
        }
    };
    let kind = connection.authentication.kind();
    let has_credential = credential.is_some();
    match &credential {
        Some(_) => findings.push(format!("the credential ({kind}) is there")),
        None => findings.push("no credential is used".to_owned()),
    }
    let target = format!("{url}{path}");
    let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
    let mut request = match Request::builder().method(Method::GET).uri(&target).body(body) {
        Ok(request) => request,
        Err(error) => {
            findings.push(format!("{target} is no address: {error}"));
            return false;
        }
    };
    if let Some(credential) = credential {
        request.headers_mut().insert(credential.header, credential.value);
    }
    let sending = shared.sandbox.http.client(connection.private_network).request(request);
    let Ok(answer) = tokio::time::timeout(ANSWER_TIME_MAX, sending).await else {
        findings.push(format!("GET {target}: no answer in {} s", ANSWER_TIME_MAX.as_secs()));
        return false;
    };
    match answer {
        Ok(response) => {
            let status = response.status();
            findings.push(format!("GET {target} answered {status}"));
            let refused = matches!(status.as_u16(), 401 | 407);
            if refused {
                findings.push(if has_credential {
                    "the credential was refused".to_owned()
                } else {
                    let name = &connection.name;
                    format!("it wants a credential, and the connection has none: `windlass connection add {name} --url {url} --auth …` declares it again, with one")
                });
            } else if matches!(status.as_u16(), 404 | 405) {
                findings.push(format!(
                    "so it answers, and nothing is there; whether a credential is taken shows where something is: `windlass connection test {} --path /…`",
                    connection.name
                ));
            }
            !refused && !status.is_server_error()
        }
        Err(error) => {
            findings.push(match explain::connect_error(&error) {
                Some(ConnectError::Forbidden { address, .. }) => format!(
                    "{url} is at {address}, in a private or local network; add `--private-network` to the connection to grant that"
                ),
                _ => format!("GET {target}: {}", explain::request_error(&error)),
            });
            false
        }
    }
}
