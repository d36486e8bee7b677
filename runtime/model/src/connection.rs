//! Named endpoints and native tools, as the operator declares them.
//!
//! **Invariant:** a secret is never in here, only where to find it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::manifest::RequestRule;
use crate::name::{ConnectionName, PluginName, ToolName};

/// A named endpoint with its authentication and its side of the grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// What workflows call it.
    pub name: ConnectionName,
    /// `https://ci.example.com/base`, without a slash at the end. None where the credential itself
    /// says where to go (a kubeconfig).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// How the host authenticates.
    #[serde(default)]
    pub authentication: Authentication,
    /// Public settings that plugins may read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// Requests that the operator allows; empty means all that a manifest asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<RequestRule>,
    /// Requests that only read though their method does not say so, as `POST /search`: dry runs make them. Only the
    /// operator says so, for a plugin that could would get round a dry run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<RequestRule>,
    /// Plugins that may use it; empty means all installed ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<PluginName>,
    /// Whether the endpoint may be in a private or local network.
    #[serde(default)]
    pub private_network: bool,
    /// Whether a release that changes something there has to have something that rolls it back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_rollback_trigger: bool,
}

/// How the host authenticates requests, or what it hands to a tool.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Authentication {
    /// Not at all.
    #[default]
    None,
    /// RFC 7617.
    Basic {
        /// The user.
        username: String,
        /// Where the password or API token is.
        password: SecretReference,
    },
    /// RFC 6750.
    Bearer {
        /// Where the token is.
        token: SecretReference,
    },
    /// A header of its own, such as `X-Api-Key`.
    Header {
        /// The header's name.
        header: String,
        /// Where its value is.
        value: SecretReference,
    },
    /// RFC 6749 §4.4, fetched and refreshed by the host.
    #[serde(rename = "oauth2_client_credentials")]
    OAuth2ClientCredentials {
        /// Where tokens are fetched.
        token_url: String,
        /// The client.
        client_id: String,
        /// Where its secret is.
        client_secret: SecretReference,
        /// Scopes asked for, separated by spaces.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scope: Option<String>,
    },
    /// A Kubernetes client configuration, handed to native tools only.
    Kubeconfig {
        /// Where the file's contents are.
        kubeconfig: SecretReference,
    },
}

impl Authentication {
    /// Where its secret is, if it has one.
    pub fn secret(&self) -> Option<&SecretReference> {
        match self {
            Self::None => None,
            Self::Basic { password: secret, .. }
            | Self::Bearer { token: secret }
            | Self::Header { value: secret, .. }
            | Self::OAuth2ClientCredentials { client_secret: secret, .. }
            | Self::Kubeconfig { kubeconfig: secret } => Some(secret),
        }
    }

    /// What it is called in workflow output and on the command line.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic { .. } => "basic",
            Self::Bearer { .. } => "bearer",
            Self::Header { .. } => "header",
            Self::OAuth2ClientCredentials { .. } => "oauth2_client_credentials",
            Self::Kubeconfig { .. } => "kubeconfig",
        }
    }
}

/// Where a secret is: read when it is used, never kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SecretReference {
    /// `env:NAME`: an environment variable of the process that runs releases.
    Environment(String),
    /// `file:/path`: a file; one line end at its end is not part of the secret.
    File(PathBuf),
}

/// Why a text refers to no secret. The text itself may be one, so it is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a secret is never written out: refer to it as `env:NAME` or `file:/absolute/path` ({0} characters were given)"
)]
pub struct InvalidSecretReference(pub usize);

impl FromStr for SecretReference {
    type Err = InvalidSecretReference;
    fn from_str(text: &str) -> Result<Self, InvalidSecretReference> {
        let refuse = || InvalidSecretReference(text.chars().count());
        if let Some(name) = text.strip_prefix("env:") {
            let good = !name.is_empty() && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_');
            return good.then(|| Self::Environment(name.to_owned())).ok_or_else(refuse);
        }
        match text.strip_prefix("file:") {
            Some(path) if path.starts_with('/') => Ok(Self::File(path.into())),
            _ => Err(refuse()),
        }
    }
}

impl TryFrom<String> for SecretReference {
    type Error = InvalidSecretReference;
    fn try_from(text: String) -> Result<Self, InvalidSecretReference> {
        text.parse()
    }
}

impl From<SecretReference> for String {
    fn from(reference: SecretReference) -> String {
        reference.to_string()
    }
}

impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// A native tool that plugins may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// What manifests call it.
    pub name: ToolName,
    /// The program.
    pub path: PathBuf,
    /// Its SHA-256; another program at this path is not started.
    pub digest: Digest,
    /// Subcommands that the operator allows.
    pub subcommands: Vec<String>,
    /// How commands begin that change nothing, `history`, `upgrade --dry-run=server`: dry runs run these, as far as
    /// the plugin's manifest says the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dry_run: Vec<String>,
    /// Connections whose credential it may receive.
    #[serde(default)]
    pub connections: Vec<ConnectionName>,
    /// Plugins that may run it; empty means all installed ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<PluginName>,
    /// Milliseconds after which it is killed with its children.
    #[serde(default = "Tool::default_wall_ms")]
    pub wall_ms: u64,
    /// Bytes of standard output and error together.
    #[serde(default = "Tool::default_output_bytes")]
    pub output_bytes: u64,
}

impl Tool {
    /// 30 s.
    pub fn default_wall_ms() -> u64 {
        30_000
    }

    /// 4 MiB.
    pub fn default_output_bytes() -> u64 {
        4 * 1024 * 1024
    }
}
