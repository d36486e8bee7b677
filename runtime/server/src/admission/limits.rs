//! How many releases may run, and how many may wait: of a tenant, and of the whole installation.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use windlass_model::actor::Actor;
use windlass_model::name::TenantName;
use windlass_model::time::Timestamp;

/// How many releases may wait where nobody has said so.
pub const WAITING_MAX: u32 = 10_000;

/// The highest limit.
pub const LIMIT_MAX: u32 = 1_000_000;

/// What a limit is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LimitScope {
    /// All releases.
    Installation,
    /// Those of a tenant.
    Tenant(TenantName),
}

impl fmt::Display for LimitScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Installation => f.write_str("installation"),
            Self::Tenant(tenant) => write!(f, "tenant:{tenant}"),
        }
    }
}

impl LimitScope {
    pub(super) fn of(tenant: Option<TenantName>) -> Self {
        tenant.map_or(Self::Installation, Self::Tenant)
    }
}

/// A limit as it is kept in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Limit {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tenant: Option<TenantName>,
    /// How many may run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) releases: Option<u32>,
    /// How many may wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) waiting: Option<u32>,
    pub(super) set_by: Actor,
    pub(super) set_at: Timestamp,
}

/// What is allowed in one scope.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Allowed {
    pub(crate) releases: Option<u32>,
    pub(crate) waiting: Option<u32>,
}

/// All limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    installation: Allowed,
    tenants: BTreeMap<TenantName, Allowed>,
}

impl Limits {
    pub(crate) fn set(&mut self, scope: LimitScope, allowed: Allowed) {
        match scope {
            LimitScope::Installation => self.installation = allowed,
            LimitScope::Tenant(tenant) if allowed == Allowed::default() => drop(self.tenants.remove(&tenant)),
            LimitScope::Tenant(tenant) => drop(self.tenants.insert(tenant, allowed)),
        }
    }

    pub(crate) fn installation(&self) -> Allowed {
        self.installation
    }

    pub(crate) fn of(&self, tenant: &TenantName) -> Allowed {
        self.tenants.get(tenant).copied().unwrap_or_default()
    }

    /// How many may wait in all.
    pub(crate) fn waiting(&self) -> u32 {
        self.installation.waiting.unwrap_or(WAITING_MAX)
    }

    /// Whether anything limits how many run.
    pub(crate) fn are_set(&self) -> bool {
        self.installation.releases.is_some() || self.tenants.values().any(|it| it.releases.is_some())
    }
}
