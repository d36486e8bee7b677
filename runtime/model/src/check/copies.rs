//! Workflows on copies: other connections take the place of those that a file names.

use std::collections::{BTreeMap, BTreeSet};

use crate::connection::{Connection, Tool};
use crate::digest::Digest;
use crate::manifest::Effect;
use crate::name::{ConnectionName, PluginName, StepName, ToolName};
use crate::plan::{Plan, Runs};
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

/// The plans of which a rehearsal runs something: not those that only steps run which it leaves out.
fn rehearsed<'p>(whole: &'p Plan, inner: &'p [Plan]) -> Vec<&'p Plan> {
    let inner: BTreeMap<Digest, &Plan> = inner.iter().map(|it| (Digest::of(&it.to_json()), it)).collect();
    let (mut plans, mut open, mut seen) = (Vec::new(), vec![whole], BTreeSet::new());
    while let Some(plan) = open.pop() {
        for index in plan.graph().steps().filter(|it| !plan.is_beyond_rehearsal(*it)) {
            if let Runs::Plan(digest) = plan.pin(index).runs
                && seen.insert(digest)
            {
                open.extend(inner.get(&digest));
            }
        }
        plans.push(plan);
    }
    plans
}

/// What is wrong with rehearsing this plan, and those inside of it, on these copies: something is written to a system
/// for which no copy was given, or a copy takes the place of nothing.
pub fn check_copies(whole: &Plan, inner: &[Plan], copies: &Copies) -> Vec<String> {
    let mut writes: BTreeMap<&ConnectionName, &StepName> = BTreeMap::new();
    for plan in rehearsed(whole, inner) {
        for index in plan.graph().steps().filter(|it| !plan.is_beyond_rehearsal(*it)) {
            let step = plan.step(index);
            for name in named(&step.connections) {
                if plan.pin(index).effect != Effect::Read && !copies.contains_key(name) {
                    writes.entry(name).or_insert(&step.name);
                }
            }
        }
    }
    let plans = inner.iter().chain([whole]);
    let mut names: Vec<&ConnectionName> =
        plans.flat_map(|it| &it.workflow().steps).flat_map(|it| named(&it.connections)).collect();
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
