//! Who is asking.
//!
//! For now people are users of this machine: whoever can open the socket, which only the owner of the
//! state directory (and root) can. `--as NAME` lets that user answer for somebody; the journal says
//! that it was so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass_model::actor::Actor;

/// Groups and their members.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Groups(pub BTreeMap<String, Vec<String>>);

impl Groups {
    /// The groups of a person.
    pub fn of(&self, person: &str) -> Vec<String> {
        let groups = self.0.iter().filter(|(_, members)| members.iter().any(|it| it == person));
        groups.map(|(name, _)| name.clone()).collect()
    }

    /// The actor behind a request of the local user `uid`, who may say to act `on_behalf_of` another.
    pub fn actor(&self, uid: u32, on_behalf_of: Option<&str>) -> Actor {
        let user = user_name(uid);
        let (name, authenticated) = match on_behalf_of {
            Some(name) if name != user => (name.to_owned(), format!("asserted by local user {user}")),
            _ => (user.clone(), format!("local user {user}")),
        };
        let groups = self.of(&name);
        Actor { name, groups, authenticated }
    }
}

/// The name of a local user; its number where it has none.
pub fn user_name(uid: u32) -> String {
    uzers::get_user_by_uid(uid).map_or_else(|| format!("uid-{uid}"), |it| it.name().to_string_lossy().into_owned())
}
