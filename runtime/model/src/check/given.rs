//! Inputs of steps that follow from what a release is given.

use serde_json::Value;

use crate::digest::Digest;
use crate::expression::Scope;
use crate::manifest::Manifest;
use crate::parse::names_a_secret;
use crate::plan::{Plan, Runs};
use crate::workflow::{Step, Uses};

use super::schema::input_problems;

/// What is wrong with inputs that are made of these parameters and of nothing that is known only later, so that a release
/// need not begin to find it out. `manifest` tells that of a component.
///
/// Steps that may not run, or run for items, are left to the check that the host makes when they start.
pub fn check_inputs_given<'m>(
    plan: &Plan,
    parameters: &Value,
    manifest: impl Fn(Digest) -> Option<&'m Manifest>,
) -> Vec<String> {
    let steps = plan.graph().steps().map(|index| (plan.step(index), plan.pin(index)));
    let problems = steps.flat_map(|(step, pin)| {
        let (Uses::Action(uses), Runs::Component(component)) = (&step.uses, pin.runs) else { return Vec::new() };
        let action = manifest(component).and_then(|it| it.actions.get(&uses.action));
        let Some(action) = action.filter(|_| follows_from_parameters(step)) else { return Vec::new() };
        let input = match step.with.evaluate(&Scope::new(parameters, &Value::Null, &|_| None)) {
            Ok(input) => input,
            Err(error) => return vec![format!("step `{}`: {error}", step.name)],
        };
        let problems = input_problems(&action.input, &input).unwrap_or_default();
        let told = problems.into_iter().filter(|it| !it.path.last().is_some_and(|name| names_a_secret(name)));
        told.map(|it| format!("step `{}`: the input of `{}/{}` {}", step.name, uses.plugin, uses.action, it.message))
            .collect()
    });
    problems.collect()
}

fn follows_from_parameters(step: &Step) -> bool {
    let expressions = step.with.expressions();
    let names_parameters = |path: &[String]| path.first().is_some_and(|it| it == "parameters");
    step.when.is_none()
        && step.for_each.is_none()
        && !expressions.is_empty()
        && expressions.iter().all(|it| it.references().iter().all(|it| names_parameters(&it.path)))
}
