//! Whether a `conformance.yaml` fits the plugin that it is for.

use std::collections::BTreeSet;
use std::path::Path;

use windlass_model::manifest::Manifest;
use windlass_model::problem::listed;

use crate::file::{Case, Conformance, Credential, FileError, Preparation};

impl Conformance {
    /// What of it does not fit the plugin; `file` is what it was read from.
    pub fn fits(&self, manifest: &Manifest, file: &Path) -> Result<(), FileError> {
        let mut problems = Vec::new();
        let known = listed(manifest.actions.keys());
        for action in self.cases.iter().map(|it| &it.action).chain(self.without.keys()) {
            if !manifest.actions.contains_key(action) {
                problems.push(format!("`{}` has no action `{action}`; it has {known}", manifest.name));
            }
        }
        for case in &self.cases {
            for (role, need) in manifest.actions.get(&case.action).iter().flat_map(|it| &it.connections) {
                if need.required && !self.connections.contains_key(role) {
                    problems
                        .push(format!("action `{}` needs the role `{role}`: name it below `connections`", case.action));
                }
            }
            for probe in case.probes.iter().flatten().filter(|it| !self.probes.contains_key(*it)) {
                problems
                    .push(format!("case `{}` names the probe `{probe}`, which is not below `probes`", case.title()));
            }
        }
        for (case, action) in self.cases.iter().filter_map(|it| Some((it, manifest.actions.get(&it.action)?))) {
            // What stands for something else is judged when it is known.
            if case.prepare.is_empty() {
                let wrong = windlass_model::check::input_problems(&action.input, &case.input).unwrap_or_default();
                problems.extend(wrong.into_iter().map(|it| format!("the input of case `{}`: {it}", case.title())));
            }
        }
        for case in &self.cases {
            for at in case.varies.iter().filter(|it| !it.starts_with('/')) {
                problems
                    .push(format!("`{at}` in `varies` of case `{}` is no JSON Pointer: write `/{at}`", case.title()));
            }
        }
        for role in self.connections.keys() {
            if !manifest.actions.values().any(|it| it.connections.contains_key(role)) {
                problems.push(format!("no action has the role `{role}` of `connections`"));
            }
        }
        for (name, probe) in &self.probes {
            if probe.count.is_some() && probe.value.is_some() {
                problems.push(format!("the probe `{name}` has `count` and `value`; give one"));
            }
            let pointers = probe.count.iter().chain(&probe.value).chain(probe.with.keys());
            for at in pointers.filter(|it| !it.is_empty() && !it.starts_with('/')) {
                problems.push(format!("`{at}` of the probe `{name}` is no JSON Pointer: write `/{at}`"));
            }
        }
        self.what_tools_lack(manifest, &mut problems);
        let asks_it = self.connections.values().any(|it| it.kubeconfig.is_none())
            || self.probes.values().any(|it| it.get.is_some())
            || self.preparations().any(|(_, it)| it.path.is_some());
        if self.counterpart.is_none() && asks_it {
            problems.push("`connections` and `probes` need a `counterpart`: `command` or `address`".to_owned());
        }
        let mut told = BTreeSet::new();
        problems.retain(|it| told.insert(it.clone()));
        if problems.is_empty() { Ok(()) } else { Err(FileError::Unfit { file: file.to_owned(), problems }) }
    }

    fn preparations(&self) -> impl Iterator<Item = (&Case, &Preparation)> {
        self.cases.iter().flat_map(|case| case.prepare.iter().chain(&case.while_waiting).map(move |it| (case, it)))
    }

    /// What does not fit of native tools, and of what is run with them.
    fn what_tools_lack(&self, manifest: &Manifest, problems: &mut Vec<String>) {
        let of_cases = self.cases.iter().filter_map(|it| Some((&it.action, manifest.actions.get(&it.action)?)));
        for (action, tool) in of_cases.flat_map(|(action, it)| it.tools.keys().map(move |tool| (action, tool))) {
            if !self.tools.contains_key(tool) {
                problems.push(format!(
                    "action `{action}` runs the tool `{tool}`: name it below `tools`, with its `command`"
                ));
            }
        }
        for (name, tool) in &self.tools {
            if !manifest.actions.values().any(|it| it.tools.contains_key(name)) {
                problems.push(format!("no action runs the tool `{name}` of `tools`"));
            }
            if tool.command.is_empty() {
                problems.push(format!("the tool `{name}` has an empty `command`"));
            }
            for word in tool.command.iter().skip(1).filter(|it| it.starts_with("./") || it.starts_with("../")) {
                problems.push(format!(
                    "`{word}` in the `command` of tool `{name}`: it runs in a folder of its own; write `{{folder}}/{word}`, for the folder of this file"
                ));
            }
        }
        for (role, connection) in &self.connections {
            let of_role = manifest.actions.values().filter_map(|it| Some((it, it.connections.get(role)?)));
            let is_for_tools = of_role.clone().next().is_some()
                && of_role.clone().all(|(action, need)| !action.tools.is_empty() && need.requests.is_empty());
            if connection.kubeconfig.is_none() && is_for_tools {
                problems.push(format!(
                    "nothing is asked of the role `{role}` but by tools: give its `kubeconfig`, which they get"
                ));
            }
            if connection.kubeconfig.is_some() && self.tools.is_empty() {
                problems
                    .push(format!("the role `{role}` has a `kubeconfig`, which only tools get: name them in `tools`"));
            }
        }
        for (role, connection) in self.connections.iter().filter(|(_, it)| it.kubeconfig.is_some()) {
            if !connection.path.is_empty() || connection.credential != Credential::default() {
                problems.push(format!("the role `{role}` has a `kubeconfig`, so no `path` and no `credential`"));
            }
        }
        let probes =
            self.probes.iter().map(|(name, it)| (format!("the probe `{name}`"), it.get.is_some(), &it.run, false));
        let preparations = self.preparations().map(|(case, it)| {
            (format!("what is done beside case `{}`", case.title()), it.path.is_some(), &it.run, it.json.is_some())
        });
        for (what, asks, run, has_body) in probes.chain(preparations) {
            match (asks, run) {
                (true, Some(_)) => problems.push(format!("{what} makes a request and runs a tool; give one")),
                (false, Some(_)) if has_body => problems.push(format!("{what} runs a tool, and `json` is a request's")),
                (false, None) => problems.push(format!(
                    "{what} needs `get` (a probe's) or `path` at the counterpart, or `run`, a tool and its arguments"
                )),
                (false, Some(run))
                    if !run.first().is_some_and(|it| self.tools.keys().any(|tool| tool.as_str() == it)) =>
                {
                    let (is, known) = (run.first().map_or("", String::as_str), listed(self.tools.keys()));
                    problems.push(format!("{what} runs `{is}`, which is not below `tools`: {known}"));
                }
                _ => {}
            }
        }
    }
}
