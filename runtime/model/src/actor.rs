//! Who did something.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A person or a machine account, and how we know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The name that approvals count by.
    pub name: String,
    /// Groups it belonged to when it acted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// How it was told who this is: `local user root`, `asserted by local user root`.
    pub authenticated: String,
}

impl Actor {
    /// The runtime itself, acting by a rule of the workflow.
    pub fn windlass() -> Self {
        Self { name: "windlass".to_owned(), groups: Vec::new(), authenticated: "the runtime itself".to_owned() }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
