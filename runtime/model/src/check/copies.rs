//! Workflows on copies: other connections take the place of those that a file names.

use std::collections::BTreeMap;

use crate::connection::{Connection, Tool};
use crate::manifest::Effect;
use crate::name::{ConnectionName, PluginName, StepName, ToolName};
use crate::plan::Plan;
use crate::problem::{did_you_mean, listed};
use crate::workflow::Connections;

use super::{Catalog, InnerWorkflow, PluginLookup};

/// Which connections take whose place. One that takes its own place is said to be good enough as it is.
pub type Copies = BTreeMap<ConnectionName, ConnectionName>;

/// What is installed, with copies of some connections in their place.
pub struct OnCopies<'a> {
    /// What is installed.
    pub catalog: &'a dyn Catalog,
    /// The copies.
    pub copies: &'a Copies,
}

impl Catalog for OnCopies<'_> {
    fn plugin(&self, name: &PluginName, version: &semver::VersionReq) -> PluginLookup<'_> {
        self.catalog.plugin(name, version)
    }

    fn connection(&self, name: &ConnectionName) -> Option<&Connection> {
        self.catalog.connection(name)
    }

    fn connections(&self) -> Vec<&ConnectionName> {
        self.catalog.connections()
    }

    fn bound(&self, name: &ConnectionName) -> ConnectionName {
        self.copies.get(name).cloned().unwrap_or_else(|| self.catalog.bound(name))
    }

    fn tool(&self, name: &ToolName) -> Option<&Tool> {
        self.catalog.tool(name)
    }

    fn tools(&self) -> Vec<&ToolName> {
        self.catalog.tools()
    }

    fn workflow(&self, file: &str) -> Option<&InnerWorkflow> {
        self.catalog.workflow(file)
    }
}

fn named(connections: &Connections) -> Vec<&ConnectionName> {
    match connections {
        Connections::Unbound => Vec::new(),
        Connections::Only(name) => vec![name],
        Connections::ByRole(by_role) => by_role.values().collect(),
    }
}

/// What is wrong with running these plans on these copies: something is written to a system for which no copy was
/// given, or a copy takes the place of nothing.
pub fn check_copies<'p>(plans: impl Iterator<Item = &'p Plan>, copies: &Copies) -> Vec<String> {
    let mut names: Vec<&ConnectionName> = Vec::new();
    let mut writes: BTreeMap<&ConnectionName, &StepName> = BTreeMap::new();
    for plan in plans {
        for index in plan.graph().steps() {
            let (step, pin) = (plan.step(index), plan.pin(index));
            for name in named(&step.connections) {
                names.push(name);
                if pin.effect != Effect::Read && !copies.contains_key(name) {
                    writes.entry(name).or_insert(&step.name);
                }
            }
        }
    }
    names.sort();
    names.dedup();
    let no_copy = writes.iter().map(|(name, step)| {
        format!(
            "step `{step}` changes something at `{name}`, and no copy of that is given: say which connection leads to one (`{name}=COPY`), or that it may be changed itself (`{name}={name}`)"
        )
    });
    let unused = copies.keys().filter(|it| !names.contains(it)).map(|it| {
        let hint = did_you_mean(it.as_str(), names.iter().map(|it| it.as_str()));
        let hint = hint.unwrap_or_else(|| match names.as_slice() {
            [] => "no step names a connection".to_owned(),
            names => format!("the steps name {}", listed(names)),
        });
        format!("no step names the connection `{it}`; {hint}")
    });
    no_copy.chain(unused).collect()
}
