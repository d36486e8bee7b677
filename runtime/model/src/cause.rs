//! Why a release had to be rolled back, as people found afterwards.

use serde::{Deserialize, Serialize};

/// The longest text of a cause, in bytes.
pub const CAUSE_TEXT_BYTES_MAX: usize = 10_000;

/// Why a release had to be rolled back, and what follows from that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackCause {
    /// Of what kind it is.
    pub category: CauseCategory,
    /// The cause itself.
    pub cause: String,
    /// What is known of the risk now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<String>,
    /// What was changed in the runbook, or where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
}

/// Of what kind a cause is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseCategory {
    /// What was released.
    Code,
    /// How it was configured.
    Configuration,
    /// What it runs on.
    Infrastructure,
    /// A service that it needs.
    Dependency,
    /// Data that it met.
    Data,
    /// How it was released, its workflow included.
    Process,
    /// There was nothing wrong.
    FalseAlarm,
    /// Something else.
    Other,
}

impl CauseCategory {
    /// Every category with its name.
    pub const ALL: [(&'static str, CauseCategory); 8] = [
        ("code", CauseCategory::Code),
        ("configuration", CauseCategory::Configuration),
        ("infrastructure", CauseCategory::Infrastructure),
        ("dependency", CauseCategory::Dependency),
        ("data", CauseCategory::Data),
        ("process", CauseCategory::Process),
        ("false_alarm", CauseCategory::FalseAlarm),
        ("other", CauseCategory::Other),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find_map(|(name, it)| (it == self).then_some(name)).expect("every category is in ALL")
    }
}
