//! Workflows inside of workflows: `uses: ./deploy.yaml`.
//!
//! The files are read by whoever has them; here their names are put together, and each is checked with all that
//! it uses. A file is checked once, however often it is used.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::check::{self, Catalog, InnerWorkflow as Found, PluginLookup};
use crate::connection::{Connection, Tool};
use crate::digest::Digest;
use crate::name::{ConnectionName, PluginName, ToolName};
use crate::plan::Plan;
use crate::problem::{Problem, Report, Severity, Source, has_errors};

use super::draft::At;
use super::node::Node;
use super::{Draft, Parsed, finish, read};

/// How deep workflows may be inside of each other.
pub const WORKFLOW_DEPTH_MAX: usize = 8;

/// The problems of one file.
#[derive(Debug, Clone)]
pub struct FileProblems {
    /// The file.
    pub source: Source,
    /// What is wrong with it, or worth knowing.
    pub problems: Vec<Problem>,
}

/// A workflow that can be released, with those inside of it.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The workflow.
    pub parsed: Parsed,
    /// Its plan.
    pub plan: Plan,
    /// The plans of the workflows inside of it, each before those that use it, without repetition.
    pub inner: Vec<Plan>,
}

/// `./deploy.yaml`, from the file that it stands in.
pub(super) fn read_file_name(report: &mut Report<'_>, node: &Node) -> Option<At<String>> {
    let text = report.text(node, "`uses`")?;
    let is_file = text.value.ends_with(".yaml") || text.value.ends_with(".yml") || text.value.ends_with(".json");
    if text.value.contains("${{") {
        report.error(text.extent, "uses", "what a step runs is fixed when the release starts; it holds no expression");
        return None;
    }
    if !is_file || text.value.contains('\\') {
        report
            .error(text.extent, "uses", format!("`{}` is no workflow file", text.value))
            .suggest("write where it is from here, for example `./deploy.yaml`");
        return None;
    }
    Some(text)
}

/// The files that a workflow file uses, as it names them.
pub fn files_used(source: &Source) -> Vec<String> {
    let mut report = Report::new(source);
    let draft = super::node::read(&mut report).and_then(|it| super::workflow::read(&mut report, &it));
    let steps = draft.map(|it| it.steps).unwrap_or_default();
    steps.into_iter().filter_map(|it| it.uses_file).map(|it| it.value).collect()
}

/// Where a file is that `from` names so: `a/b.yaml` and `../c.yaml` give `c.yaml`.
///
/// What leaves the folder of the first file begins with `..`.
pub fn resolve(from: &str, name: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in name.split('/') {
        match part {
            "." | "" => {}
            ".." if parts.last().is_some_and(|it| *it != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Checks a workflow file with all that it uses. `files` holds the others, by where they are from the first one.
pub fn validate_all(
    source: &Source,
    files: &BTreeMap<String, String>,
    catalog: &dyn Catalog,
) -> (Option<Planned>, Vec<FileProblems>) {
    let mut all = All { files, catalog, known: BTreeMap::new(), plans: Vec::new(), said: Vec::new() };
    let own = source.name().rsplit('/').next().unwrap_or_default().to_owned();
    let read = all.file(source, &own, &mut vec![own.clone()]);
    let nested = read.map(|(parsed, plan)| Planned { parsed, plan, inner: all.plans });
    // The file that was asked for comes first; the others are named as it is, from where people stand.
    all.said.reverse();
    for used in all.said.iter_mut().skip(1) {
        used.source.rename(resolve(source.name(), used.source.name()));
    }
    (nested, all.said)
}

struct All<'a> {
    files: &'a BTreeMap<String, String>,
    catalog: &'a dyn Catalog,
    /// What is known of a file: none when it cannot be used.
    known: BTreeMap<String, Option<Found>>,
    plans: Vec<Plan>,
    said: Vec<FileProblems>,
}

impl All<'_> {
    fn file(&mut self, source: &Source, path: &str, within: &mut Vec<String>) -> Option<(Parsed, Plan)> {
        let mut report = Report::new(source);
        let mut draft = read(&mut report);
        let mut found = BTreeMap::new();
        if let Some(draft) = &mut draft {
            self.nested(draft, path, within, &mut report, &mut found);
        }
        let catalog = WithFiles { catalog: self.catalog, found: &found };
        let pins = draft.as_ref().and_then(|it| check::against(it, &catalog, &mut report));
        let (parsed, mut problems) = finish(report, draft, source);
        let plan = parsed.zip(pins).and_then(|(parsed, pins)| match Plan::new(parsed.workflow().clone(), pins) {
            Ok(plan) => Some((parsed, plan)),
            Err(error) => {
                problems.push(Problem::error("plan", error.to_string()));
                None
            }
        });
        let plan = plan.filter(|_| !has_errors(&problems));
        self.said.push(FileProblems { source: source.clone(), problems });
        plan
    }

    /// Reads the files that a file uses.
    fn nested(
        &mut self,
        draft: &mut Draft,
        path: &str,
        within: &mut Vec<String>,
        report: &mut Report<'_>,
        found: &mut BTreeMap<String, Found>,
    ) {
        let mut missed = BTreeSet::new();
        for step in &mut draft.steps {
            let Some(file) = &step.uses_file else { continue };
            let place = resolve(path, &file.value);
            if let Some(at) = within.iter().position(|it| *it == place) {
                let mut chain: Vec<String> = within[at..].iter().map(|it| format!("`{it}`")).collect();
                chain.push(format!("`{place}`"));
                report
                    .error(
                        file.extent,
                        "workflow-circle",
                        format!("a workflow would run inside of itself: {}", chain.join(" uses ")),
                    )
                    .suggest("leave out one of these");
                continue;
            }
            if within.len() >= WORKFLOW_DEPTH_MAX {
                let message = format!("workflows are more than {WORKFLOW_DEPTH_MAX} deep inside of each other here");
                report.error(file.extent, "workflow-depth", message);
                continue;
            }
            if !self.known.contains_key(&place) {
                let known = match self.files.get(&place) {
                    Some(text) => {
                        let source = Source::new(place.clone(), text.clone());
                        within.push(place.clone());
                        let read = self.file(&source, &place, within);
                        within.pop();
                        read.map(|(_, plan)| {
                            let found = found_of(&plan);
                            if !self.plans.contains(&plan) {
                                self.plans.push(plan);
                            }
                            found
                        })
                    }
                    None => {
                        report
                            .error(file.extent, "workflow-file", format!("there is no workflow file `{place}`"))
                            .note("the name is looked up from the folder of this file");
                        missed.insert(place.clone());
                        None
                    }
                };
                self.known.insert(place.clone(), known);
            }
            match self.known.get(&place) {
                Some(Some(it)) => {
                    step.uses_workflow = Some(it.workflow.clone());
                    found.insert(file.value.clone(), it.clone());
                }
                _ if missed.contains(&place) => {}
                _ => {
                    let errors = self
                        .said
                        .iter()
                        .rev()
                        .find(|it| it.source.name() == place)
                        .map_or(0, |it| it.problems.iter().filter(|it| it.severity == Severity::Error).count());
                    let plural = if errors == 1 { "" } else { "s" };
                    report.error(
                        file.extent,
                        "workflow-file",
                        format!("`{place}` has {errors} problem{plural} of its own"),
                    );
                }
            }
        }
    }
}

/// What a step that runs a workflow gives it and gets from it.
fn found_of(plan: &Plan) -> Found {
    let workflow = plan.workflow();
    let properties: Map<String, Value> =
        workflow.parameters.iter().map(|(name, it)| (name.clone(), it.schema.clone())).collect();
    let required: Vec<&String> =
        workflow.parameters.iter().filter(|(_, it)| it.default.is_none()).map(|(name, _)| name).collect();
    let type_of = |name: &String| workflow.output_types.get(name).map_or_else(|| json!({}), |it| it.schema.clone());
    let outputs: Map<String, Value> = workflow.outputs.keys().map(|name| (name.clone(), type_of(name))).collect();
    let given: Vec<&String> = workflow.outputs.keys().collect();
    Found {
        workflow: workflow.name.clone(),
        plan: Digest::of(&plan.to_json()),
        input: json!({
            "type": "object", "properties": properties, "required": required, "additionalProperties": false
        }),
        output: json!({
            "type": "object", "properties": outputs, "required": given, "additionalProperties": false
        }),
    }
}

/// A catalog that also knows the files that a file uses, by the name it gives them.
struct WithFiles<'a> {
    catalog: &'a dyn Catalog,
    found: &'a BTreeMap<String, Found>,
}

impl Catalog for WithFiles<'_> {
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
        self.catalog.bound(name)
    }

    fn tool(&self, name: &ToolName) -> Option<&Tool> {
        self.catalog.tool(name)
    }

    fn tools(&self) -> Vec<&ToolName> {
        self.catalog.tools()
    }

    fn workflow(&self, file: &str) -> Option<&Found> {
        self.found.get(file)
    }
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn files_are_looked_up_from_the_folder_of_the_one_that_names_them() {
        for (from, name, there) in [
            ("release.yaml", "./deploy.yaml", "deploy.yaml"),
            ("a/b.yaml", "./c.yaml", "a/c.yaml"),
            ("a/b.yaml", "../c.yaml", "c.yaml"),
            ("b.yaml", "../c.yaml", "../c.yaml"),
            ("../c.yaml", "../d.yaml", "../../d.yaml"),
            ("a/b.yaml", "./x/../../y/z.yaml", "y/z.yaml"),
        ] {
            assert_eq!(resolve(from, name), there, "{from} {name}");
        }
    }
}
