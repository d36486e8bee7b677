//! Whether a `conformance.yaml` fits the plugin that it is for.

use std::collections::BTreeSet;

use windlass_model::check::{InputProblem, input_problems};
use windlass_model::manifest::Manifest;
use windlass_model::name::{RoleName, ToolName};
use windlass_model::parse::place_of;
use windlass_model::problem::{Problem, did_you_mean, listed};

use crate::file::{
    Case, Conformance, ConnectionFile, CounterpartFile, Credential, Ends, FileError, Preparation, ToolFile,
};

/// What does not fit, with the way to it in the file.
#[derive(Default)]
struct Misfits {
    found: Vec<(Vec<String>, String, Option<String>)>,
}

impl Misfits {
    fn add(&mut self, path: &[&dyn ToString], message: impl Into<String>) {
        self.add_with(path, message, None);
    }

    fn add_with(&mut self, path: &[&dyn ToString], message: impl Into<String>, help: Option<String>) {
        self.found.push((path.iter().map(|it| it.to_string()).collect(), message.into(), help));
    }
}

impl Conformance {
    /// What of it does not fit the plugin: all of it, with the places in the file.
    pub fn fits(&self, manifest: &Manifest) -> Result<(), FileError> {
        let mut misfits = Misfits::default();
        self.what_cases_lack(manifest, &mut misfits);
        for role in self.connections.keys() {
            if !manifest.actions.values().any(|it| it.connections.contains_key(role)) {
                let roles: BTreeSet<_> = manifest.actions.values().flat_map(|it| it.connections.keys()).collect();
                misfits.add_with(
                    &[&"connections", role],
                    format!("no action has the role `{role}`; `{}` has {}", manifest.name, listed(&roles)),
                    did_you_mean(role.as_str(), roles.iter().map(|it| it.as_str())),
                );
            }
        }
        self.what_probes_lack(&mut misfits);
        self.what_commands_name(&mut misfits);
        for (name, tool) in &self.tools {
            what_a_tool_lacks(name, tool, manifest, &mut misfits);
        }
        for (role, connection) in &self.connections {
            self.what_a_connection_lacks(role, connection, manifest, &mut misfits);
        }
        self.what_runs_lack(&mut misfits);
        self.what_cannot_be_judged(manifest, &mut misfits);
        let asks_it = self.connections.values().any(|it| it.kubeconfig.is_none())
            || self.probes.values().any(|it| it.get.is_some())
            || self.preparations().any(|(_, _, it)| it.path.is_some());
        if self.counterpart.is_none() && asks_it {
            let asks = if self.connections.is_empty() { "probes" } else { "connections" };
            misfits.add(&[&asks], "`connections` and `probes` need a `counterpart`: `command` or `address`");
        }
        self.told(misfits)
    }

    fn told(&self, misfits: Misfits) -> Result<(), FileError> {
        let mut problems: Vec<Problem> = misfits
            .found
            .into_iter()
            .map(|(path, message, help)| {
                let mut problem = Problem::error("does-not-fit", message).at(place_of(&self.source, &path));
                problem.suggest_some(help);
                problem
            })
            .collect();
        problems.sort_by(|a, b| (a.place, &a.message).cmp(&(b.place, &b.message)));
        // What two cases of an action lack is told once.
        let mut told = BTreeSet::new();
        problems.retain(|it| told.insert(it.message.clone()));
        if problems.is_empty() { Ok(()) } else { Err(FileError::Unfit { file: self.source.clone(), problems }) }
    }

    /// Cases by where they stand in the file.
    fn numbered(&self) -> impl Iterator<Item = (usize, &Case)> {
        self.cases.iter().enumerate()
    }

    /// What is done beside a case, and where it stands in the file.
    fn preparations(&self) -> impl Iterator<Item = (Vec<String>, &Case, &Preparation)> {
        let at = |case: usize, key: &str, at: usize| {
            vec!["cases".to_owned(), case.to_string(), key.to_owned(), at.to_string()]
        };
        self.numbered().flat_map(move |(number, case)| {
            let before = case.prepare.iter().enumerate().map(move |(i, it)| (at(number, "prepare", i), case, it));
            let meanwhile = case.while_waiting.iter().enumerate();
            let later = case.before_rollback.iter().enumerate();
            before
                .chain(meanwhile.map(move |(i, it)| (at(number, "while_waiting", i), case, it)))
                .chain(later.map(move |(i, it)| (at(number, "before_rollback", i), case, it)))
        })
    }

    fn what_cases_lack(&self, manifest: &Manifest, misfits: &mut Misfits) {
        let unknown = |action: &windlass_model::name::ActionName| {
            (!manifest.actions.contains_key(action)).then(|| {
                let known = listed(manifest.actions.keys());
                let meant = did_you_mean(action.as_str(), manifest.actions.keys().map(|it| it.as_str()));
                (format!("`{}` has no action `{action}`; it has {known}", manifest.name), meant)
            })
        };
        for action in self.without.keys() {
            if let Some((message, meant)) = unknown(action) {
                misfits.add_with(&[&"without", action], message, meant);
            }
        }
        let mut titles = BTreeSet::new();
        for (number, case) in self.numbered() {
            let title = case.title();
            if !titles.insert(title.clone()) {
                misfits
                    .add(&[&"cases", &number], format!("there are two cases `{title}`: give them names that differ"));
            }
            for probe in case.probes.iter().flatten().filter(|it| !self.probes.contains_key(*it)) {
                misfits.add_with(
                    &[&"cases", &number, &"probes"],
                    format!("case `{title}` names the probe `{probe}`, which is not below `probes`"),
                    did_you_mean(probe, self.probes.keys().map(String::as_str)),
                );
            }
            for (i, at) in case.varies.iter().enumerate().filter(|(_, it)| !it.starts_with('/')) {
                misfits.add(
                    &[&"cases", &number, &"varies", &i],
                    format!("`{at}` in `varies` of case `{title}` is no JSON Pointer: write `/{at}`"),
                );
            }
            let Some(action) = manifest.actions.get(&case.action) else {
                if let Some((message, meant)) = unknown(&case.action) {
                    misfits.add_with(&[&"cases", &number, &"action"], message, meant);
                }
                continue;
            };
            for (role, _) in action.connections.iter().filter(|(_, need)| need.required) {
                if !self.connections.contains_key(role) {
                    misfits.add(
                        &[&"cases", &number, &"action"],
                        format!("action `{}` needs the role `{role}`: name it below `connections`", case.action),
                    );
                }
            }
            for tool in action.tools.keys().filter(|it| !self.tools.contains_key(*it)) {
                misfits.add(
                    &[&"cases", &number, &"action"],
                    format!(
                        "action `{}` runs the tool `{tool}`: name it below `tools`, with its `command`",
                        case.action
                    ),
                );
            }
            let unused = match case.ends {
                _ if case.before_rollback.is_empty() => None,
                _ if !action.rollback => Some("its action has no `rollback`"),
                Ends::Failed(_) => Some("what fails as it should is not rolled back here"),
                Ends::Done => None,
            };
            if let Some(why) = unused {
                misfits.add(
                    &[&"cases", &number, &"before_rollback"],
                    format!("`before_rollback` of case `{title}` never happens: {why}"),
                );
            }
            // What stands for something else is judged when it is known.
            if case.prepare.is_empty() {
                let wrong = input_problems(&action.input, &case.input).unwrap_or_default();
                for InputProblem { path, message } in wrong {
                    let mut at: Vec<&dyn ToString> = vec![&"cases", &number, &"input"];
                    at.extend(path.iter().map(|it| it as &dyn ToString));
                    misfits.add(&at, format!("the input of case `{title}`: {message}"));
                }
            }
        }
    }

    fn what_probes_lack(&self, misfits: &mut Misfits) {
        for (name, probe) in &self.probes {
            if probe.count.is_some() && probe.value.is_some() {
                misfits.add(&[&"probes", name], format!("the probe `{name}` has `count` and `value`; give one"));
            }
            let of_lists = probe.count.iter().map(|it| ("count", it));
            let of_values = probe.value.iter().map(|it| ("value", it));
            let pointers = of_lists.chain(of_values).chain(probe.with.keys().map(|it| ("with", it)));
            let pointers = pointers.chain(probe.except.keys().map(|it| ("except", it)));
            for (key, at) in pointers.filter(|(_, it)| !it.is_empty() && !it.starts_with('/')) {
                misfits.add(
                    &[&"probes", name, &key],
                    format!("`{at}` of the probe `{name}` is no JSON Pointer: write `/{at}`"),
                );
            }
        }
    }

    /// Placeholders of commands that stand for nothing.
    fn what_commands_name(&self, misfits: &mut Misfits) {
        let of_counterpart = match &self.counterpart {
            Some(CounterpartFile::Command(words)) => words.as_slice(),
            _ => &[],
        };
        let of_counterpart = of_counterpart.iter().enumerate().map(|(i, word)| {
            (
                vec!["counterpart".to_owned(), "command".to_owned(), i.to_string()],
                word,
                &["listen", "port", "secret"][..],
            )
        });
        let of_tools = self.tools.iter().flat_map(|(name, tool)| {
            tool.command.iter().enumerate().map(move |(i, word)| {
                let at = vec!["tools".to_owned(), name.to_string(), "command".to_owned(), i.to_string()];
                (at, word, &["state", "folder", "secret"][..])
            })
        });
        for (at, word, known) in of_counterpart.chain(of_tools) {
            let named = word.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
            let is_name = |it: &&str| !it.is_empty() && it.chars().all(|it| it.is_ascii_lowercase() || it == '_');
            if let Some(named) = named.filter(is_name).filter(|it| !known.contains(it)) {
                let known = listed(known.iter().map(|it| format!("{{{it}}}")));
                let at: Vec<&dyn ToString> = at.iter().map(|it| it as &dyn ToString).collect();
                misfits.add(&at, format!("`{{{named}}}` stands for nothing here; known are {known}"));
            }
        }
    }

    /// What an action takes back, and no probe of a case tells of.
    fn what_cannot_be_judged(&self, manifest: &Manifest, misfits: &mut Misfits) {
        let of_cases = self.numbered().filter_map(|(at, it)| Some((at, it, manifest.actions.get(&it.action)?)));
        for (number, case, action) in of_cases.filter(|(_, case, _)| matches!(case.ends, Ends::Done)) {
            let probes = || self.probes_of(case).map(|(_, it)| it);
            if probes().next().is_none() {
                // That is told when nothing is seen to change.
                continue;
            }
            let title = case.title();
            if action.rollback && probes().all(|it| it.history) {
                misfits.add(
                    &[&"cases", &number],
                    format!("nothing tells what a rollback of case `{title}` takes back: its probes are all `history`; add one that is before and after a rollback the same, such as the version that is live"),
                );
            }
            if action.cancel && probes().all(|it| it.history || it.finished) {
                misfits.add(
                    &[&"cases", &number],
                    format!(
                        "nothing tells whether case `{title}` goes on after a cancel: its probes are all `history` or `finished`; add one that counts what is at work, for example `running: {{ get: /jobs, count: /items, with: {{ /status: RUNNING }} }}`"
                    ),
                );
            }
        }
    }

    fn what_a_connection_lacks(
        &self,
        role: &RoleName,
        connection: &ConnectionFile,
        manifest: &Manifest,
        misfits: &mut Misfits,
    ) {
        let at: [&dyn ToString; 2] = [&"connections", role];
        let of_role = manifest.actions.values().filter_map(|it| Some((it, it.connections.get(role)?)));
        let is_for_tools = of_role.clone().next().is_some()
            && of_role.clone().all(|(action, need)| !action.tools.is_empty() && need.requests.is_empty());
        let Some(kubeconfig) = &connection.kubeconfig else {
            if is_for_tools {
                misfits.add(
                    &at,
                    format!(
                        "nothing is asked of the role `{role}` but by tools: give its `kubeconfig`, which they get"
                    ),
                );
            }
            return;
        };
        if self.tools.is_empty() {
            misfits
                .add(&at, format!("the role `{role}` has a `kubeconfig`, which only tools get: name them in `tools`"));
        }
        what_stands_for_nothing(role.as_str(), kubeconfig, &[&"connections", role, &"kubeconfig"], misfits);
        if !serde_saphyr::from_str::<serde_json::Value>(kubeconfig).is_ok_and(|it| it.is_object()) {
            misfits.add(
                &[&"connections", role, &"kubeconfig"],
                format!("the `kubeconfig` of the role `{role}` is no YAML mapping"),
            );
        }
        if !connection.path.is_empty() || connection.credential != Credential::default() {
            misfits.add(&at, format!("the role `{role}` has a `kubeconfig`, so no `path` and no `credential`"));
        }
    }

    /// What does not fit of probes and preparations, which make a request or run a tool.
    fn what_runs_lack(&self, misfits: &mut Misfits) {
        let probes = self.probes.iter().map(|(name, it)| {
            let at = vec!["probes".to_owned(), name.clone()];
            (at, format!("the probe `{name}`"), it.get.is_some(), &it.run, false)
        });
        let preparations = self.preparations().map(|(at, case, it)| {
            let what = format!("what is done beside case `{}`", case.title());
            (at, what, it.path.is_some(), &it.run, it.json.is_some() || it.form.is_some())
        });
        for (at, what, asks, run, has_body) in probes.chain(preparations) {
            let at: Vec<&dyn ToString> = at.iter().map(|it| it as &dyn ToString).collect();
            match (asks, run) {
                (true, Some(_)) => misfits.add(&at, format!("{what} makes a request and runs a tool; give one")),
                (false, Some(_)) if has_body => {
                    misfits.add(&at, format!("{what} runs a tool, and a body is a request's"));
                }
                (false, None) => misfits.add(
                    &at,
                    format!(
                        "{what} needs `get` (a probe's) or `path` at the counterpart, or `run`, a tool and its arguments"
                    ),
                ),
                (false, Some(run)) => {
                    let is = run.first().map_or("", String::as_str);
                    if !self.tools.keys().any(|tool| tool.as_str() == is) {
                        let known = listed(self.tools.keys());
                        misfits.add_with(
                            &at,
                            format!("{what} runs `{is}`, which is not below `tools`: {known}"),
                            did_you_mean(is, self.tools.keys().map(|it| it.as_str())),
                        );
                    }
                }
                (true, None) => {}
            }
        }
    }
}

fn what_a_tool_lacks(name: &ToolName, tool: &ToolFile, manifest: &Manifest, misfits: &mut Misfits) {
    let at: [&dyn ToString; 2] = [&"tools", name];
    if !manifest.actions.values().any(|it| it.tools.contains_key(name)) {
        misfits.add(&at, format!("no action runs the tool `{name}` of `tools`"));
    }
    if tool.command.is_empty() {
        misfits.add(&at, format!("the tool `{name}` has an empty `command`"));
    }
    for (i, word) in tool.command.iter().enumerate() {
        let at: [&dyn ToString; 4] = [&"tools", name, &"command", &i];
        what_stands_for_nothing(name.as_str(), word, &at, misfits);
        if i > 0 && (word.starts_with("./") || word.starts_with("../")) {
            let below = word.strip_prefix("./").unwrap_or(word);
            misfits.add(
                &at,
                format!(
                    "`{word}` in the `command` of tool `{name}`: it runs in a folder of its own; write `{{folder}}/{below}`, for the folder of this file"
                ),
            );
        }
    }
}

fn what_stands_for_nothing(of: &str, text: &str, at: &[&dyn ToString], misfits: &mut Misfits) {
    for unknown in placeholders(text).filter(|it| !["state", "folder", "secret"].contains(it)) {
        misfits.add(
            at,
            format!("`{{{unknown}}}` of `{of}` stands for nothing: there are {{state}}, {{folder}} and {{secret}}"),
        );
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

    /// What does not fit, of a file whose fourth line has this probe and whose fifth this case.
    fn told(probe: &str, case: &str) -> String {
        told_of("address: 'http://127.0.0.1:1'", probe, case)
    }

    fn told_of(counterpart: &str, probe: &str, case: &str) -> String {
        let input = json!({ "type": "object", "additionalProperties": false, "properties": {
            "title": { "type": "string" }, "tags": { "type": "array", "items": { "type": "string" } } } });
        let action = json!({ "description": "d", "effect": "write", "input": input, "output": {}, "cancel": true,
            "rollback": true, "connections": { "jobs": { "description": "d", "requests": [] } } });
        let manifest: Manifest = serde_json::from_value(json!({ "name": "jobs", "version": "0.1.0", "contract": "0.1",
            "description": "d", "actions": { "submit": action } }))
        .expect("a manifest");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("conformance.yaml");
        let text = format!(
            "certify: v1\ncounterpart: {{ {counterpart} }}\nconnections: {{ jobs: {{}} }}\nprobes: {{ p: {{ get: /, {probe} }} }}\ncases: [{{ {case} }}]\n"
        );
        std::fs::write(&path, text).expect("a file");
        let fits = Conformance::read(&path).expect("the form is good").fits(&manifest);
        fits.err().map(|it| it.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_is_taken_back_has_to_be_seen() {
        let told = |probe: &str| told(probe, "action: submit");
        assert_eq!(told("count: ''"), "");
        // The name of the probe, the number of the case, a text.
        assert!(told("count: '', value: ''").contains("conformance.yaml:4:11: error[does-not-fit]: the probe `p`"));
        assert!(told("history: true").contains("conformance.yaml:5:9: "));
        assert!(told("count: list").contains("conformance.yaml:4:31: "));
        assert!(told("history: true").contains("a rollback of case `submit` takes back: its probes are all `history`"));
        let finished = told("finished: true");
        assert!(!finished.contains("rollback") && finished.contains("goes on after a cancel"), "{finished}");
    }

    #[test]
    fn a_placeholder_that_stands_for_nothing_is_told() {
        let told = |word: &str| told_of(&format!("command: [serve, '{word}']"), "count: ''", "action: submit");
        for word in ["{listen}", "{port}", "{secret}", "--at={listen}", "{\"a\": 1}", "{}"] {
            assert_eq!(told(word), "", "{word}");
        }
        let unknown = told("{prot}");
        let says = "conformance.yaml:2:33: error[does-not-fit]: `{prot}` stands for nothing here; known are `{listen}`, `{port}` and `{secret}`";
        assert!(unknown.contains(says), "{unknown}");
    }

    #[test]
    fn an_input_that_does_not_fit_is_told_at_its_field() {
        let told = |input: &str| told("count: ''", &format!("action: submit, input: {{ {input} }}"));
        assert_eq!(told("title: x, tags: [a]"), "");
        let unknown = told("titel: x");
        assert!(unknown.contains("conformance.yaml:5:43: ") && unknown.contains("did you mean `title`?"), "{unknown}");
        let item = told("title: x, tags: [a, 7]");
        assert!(item.contains("conformance.yaml:5:56: ") && item.contains("7 is a number, not a text"), "{item}");
    }
}
