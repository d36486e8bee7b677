//! Who is asking.
//!
//! For now people are users of this machine: whoever can open the socket, which only the owner of the
//! state directory (and root) can. `--as NAME` lets that user answer for somebody; the journal says
//! that it was so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass_model::actor::Actor;
use windlass_model::plan::Plan;
use windlass_model::problem::listed;
use windlass_model::workflow::{Approver, Gate};

/// Groups and their members.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Groups(pub BTreeMap<String, Vec<String>>);

impl Groups {
    /// The groups of a person.
    pub fn of(&self, person: &str) -> Vec<String> {
        let groups = self.0.iter().filter(|(_, members)| members.iter().any(|it| it == person));
        groups.map(|(name, _)| name.clone()).collect()
    }

    /// Who is asked to decide something in a plan, and nobody is: groups that are not declared, or have nobody in them.
    /// In sentences.
    pub fn nobody_decides(&self, plan: &Plan) -> Vec<String> {
        let is_empty = |it: &str| self.0.get(it).is_none_or(Vec::is_empty);
        let groups = |of: &[Approver]| -> Option<Vec<String>> {
            let names: Option<Vec<String>> =
                of.iter().map(|it| if let Approver::Group(name) = it { Some(name.clone()) } else { None }).collect();
            // One that has somebody in it is enough.
            names.filter(|it| !it.is_empty() && it.iter().all(|it| is_empty(it)))
        };
        let told = |what: String, names: Vec<String>| {
            let all = listed(&names);
            let (of, have) = if names.len() == 1 { ("the group", "has") } else { ("the groups", "have") };
            format!("nobody can {what} yet: {of} {all} {have} no members (`windlass group add {} PERSON …`)", names[0])
        };
        let gates = plan.workflow().steps.iter().flat_map(|step| {
            step.gates.iter().map(move |Gate::Approval(gate)| (format!("approve step `{}`", step.name), &gate.from))
        });
        let decision = plan.workflow().rollback.as_ref().and_then(|it| it.decision.as_ref());
        let owners: Vec<Approver> = decision.iter().flat_map(|it| &it.owners).map(|it| it.who.clone()).collect();
        let owned = groups(&owners).map(|it| told("be asked whether it is rolled back".to_owned(), it));
        gates.filter_map(|(what, from)| Some(told(what, groups(from)?))).chain(owned).collect()
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
