//! Another version of a plugin for one step of a release: whether it fits what the step has.

use windlass_model::manifest::{compile_schema, schema_problems};
use windlass_model::name::{ReleaseId, StepName};
use windlass_model::plan::{Pin, Runs};
use windlass_model::workflow::Uses;

use crate::runtime::{Runtime, RuntimeError};

impl Runtime {
    /// What a step would use with another installed version of its plugin, if that takes the step's recorded input
    /// and the connections that it is pinned to.
    pub async fn pin_with(&self, id: &ReleaseId, step: &StepName, version: &str) -> Result<Pin, RuntimeError> {
        let release = self.release(id).await?;
        let refuse = |why: String| RuntimeError::NoSuchPin { step: step.clone(), version: version.to_owned(), why };
        let index = release.index_of(step).ok_or_else(|| refuse("the release has no such step".to_owned()))?;
        let Uses::Action(uses) = &release.definition(index).uses else {
            return Err(refuse("it runs a workflow, and is pinned to its plan".to_owned()));
        };
        let catalog = self.catalog();
        let versions = catalog.plugins.get(&uses.plugin);
        let wanted = version.parse::<semver::Version>().ok();
        let installed = versions.zip(wanted.as_ref()).and_then(|(versions, it)| versions.get(it)).ok_or_else(|| {
            let known: Vec<String> = versions.into_iter().flat_map(|it| it.keys()).map(ToString::to_string).collect();
            refuse(format!("installed of plugin `{}` are {}", uses.plugin, known.join(", ")))
        })?;
        let action = installed
            .manifest
            .actions
            .get(&uses.action)
            .ok_or_else(|| refuse(format!("it has no action `{}`", uses.action)))?;
        let input = release.step(index).input.as_deref().cloned().unwrap_or_default();
        let validator = compile_schema(&action.input).map_err(refuse)?;
        let problems = schema_problems(&validator, &input);
        if !problems.is_empty() {
            return Err(refuse(format!("it does not take the step's input: {}", problems.join("; "))));
        }
        let mut connections = release.pin(index).connections.clone();
        connections.retain(|role, _| action.connections.contains_key(role));
        let unbound = action.connections.iter().find(|(role, it)| it.required && !connections.contains_key(*role));
        if let Some((role, _)) = unbound {
            return Err(refuse(format!("it needs a connection for `{role}`, and the step has none")));
        }
        Ok(Pin {
            runs: Runs::Component(installed.component),
            version: installed.manifest.version.clone(),
            effect: action.effect,
            cancel: action.cancel,
            rollback: action.rollback,
            find: action.find,
            connections,
        })
    }
}
