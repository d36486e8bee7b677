//! Whether a `conformance.yaml` fits the plugin that it is for.

use std::collections::BTreeSet;
use std::path::Path;

use windlass_model::manifest::Manifest;
use windlass_model::problem::listed;

use crate::file::{Case, Conformance, Credential, Ends, FileError, Preparation};

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
        self.what_cannot_be_judged(manifest, &mut problems);
        let mut titles = BTreeSet::new();
        for title in self.cases.iter().map(Case::title).filter(|it| !titles.insert(it.clone())) {
            problems.push(format!("there are two cases `{title}`: give them names that differ"));
        }
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

    /// What an action takes back, and no probe of a case tells of.
    fn what_cannot_be_judged(&self, manifest: &Manifest, problems: &mut Vec<String>) {
        let of_cases = self.cases.iter().filter_map(|it| Some((it, manifest.actions.get(&it.action)?)));
        for (case, action) in of_cases.filter(|(case, _)| matches!(case.ends, Ends::Done)) {
            let probes = || self.probes_of(case).map(|(_, it)| it);
            if probes().next().is_none() {
                // That is told when nothing is seen to change.
                continue;
            }
            let title = case.title();
            if action.rollback && probes().all(|it| it.history) {
                problems.push(format!(
                    "nothing tells what a rollback of case `{title}` takes back: its probes are all `history`"
                ));
            }
            if action.cancel && probes().all(|it| it.history || it.finished) {
                problems.push(format!(
                    "nothing tells whether case `{title}` goes on after a cancel: its probes are all `history` or `finished`"
                ));
            }
        }
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
        let commands =
            self.tools.iter().flat_map(|(name, it)| it.command.iter().map(move |word| (name.to_string(), word)));
        let kubeconfigs =
            self.connections.iter().filter_map(|(role, it)| Some((role.to_string(), it.kubeconfig.as_ref()?)));
        for (of, text) in commands.chain(kubeconfigs) {
            for unknown in placeholders(text).filter(|it| !["state", "folder", "secret"].contains(it)) {
                problems.push(format!(
                    "`{{{unknown}}}` of `{of}` stands for nothing: there are {{state}}, {{folder}} and {{secret}}"
                ));
            }
        }
        for (role, connection) in self.connections.iter().filter(|(_, it)| it.kubeconfig.is_some()) {
            let text = connection.kubeconfig.as_deref().unwrap_or_default();
            if !serde_saphyr::from_str::<serde_json::Value>(text).is_ok_and(|it| it.is_object()) {
                problems.push(format!("the `kubeconfig` of the role `{role}` is no YAML mapping"));
            }
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

/// The words that stand in braces, as in `{state}`; YAML's own braces have more in them.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split('{').skip(1).filter_map(|it| it.split_once('}')).map(|(word, _)| word);
    parts.filter(|word| !word.is_empty() && word.bytes().all(|it| it.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_taken_back_has_to_be_seen() {
        let action = json!({ "description": "d", "effect": "write", "input": {}, "output": {}, "cancel": true,
            "rollback": true, "connections": { "jobs": { "description": "d", "requests": [] } } });
        let manifest: Manifest = serde_json::from_value(json!({ "name": "jobs", "version": "0.1.0", "contract": "0.1",
            "description": "d", "actions": { "submit": action } }))
        .expect("a manifest");
        let folder = tempfile::tempdir().expect("a folder");
        let told = |probe: &str| {
            let path = folder.path().join("conformance.yaml");
            let text = format!(
                "certify: v1\ncounterpart: {{ address: 'http://127.0.0.1:1' }}\nconnections: {{ jobs: {{}} }}\nprobes: {{ p: {{ get: /, {probe} }} }}\ncases: [{{ action: submit }}]\n"
            );
            std::fs::write(&path, text).expect("a file");
            let fits = Conformance::read(&path).expect("the form is good").fits(&manifest, &path);
            fits.err().map(|it| it.to_string()).unwrap_or_default()
        };
        assert_eq!(told("count: ''"), "");
        assert!(told("history: true").contains("a rollback of case `submit` takes back: its probes are all `history`"));
        let finished = told("finished: true");
        assert!(!finished.contains("rollback") && finished.contains("goes on after a cancel"), "{finished}");
    }
}
