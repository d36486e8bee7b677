//! What is released: workflows of the engine's simulation, under names of their own, and workflows with those inside.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use windlass_model::check::Installed;
use windlass_model::parse::{Planned, check_parameters, validate_all};
use windlass_model::problem::{Severity, Source};
use windlass_simulation::dice::Dice;
use windlass_simulation::workflows;

/// How many steps a workflow inside of another one has at most.
const INNER_STEPS_MAX: usize = 8;

/// A workflow with all that is inside of it, and what releases of it begin with.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) planned: Planned,
    pub(crate) parameters: Value,
    pub(crate) text: String,
}

/// A random workflow of this name; `shares` adds to it what it shares with others.
///
/// # Errors
///
/// The problems, when the checks refuse what is right by construction.
pub(crate) fn make(
    dice: &mut Dice,
    catalog: &Installed,
    name: &str,
    nested: bool,
    shares: &mut dyn FnMut(&mut Value),
) -> Result<Made, String> {
    let (mut document, parameters, files) = if nested {
        let (inner, parameters) = loop {
            let (document, parameters) = plain(dice, catalog, &format!("{name}-inner"))?;
            if document["steps"].as_object().is_some_and(|it| it.len() <= INNER_STEPS_MAX) {
                break (document, parameters);
            }
        };
        let files = BTreeMap::from([("inner.yaml".to_owned(), inner.to_string())]);
        (outer(dice, name, &parameters), json!({}), files)
    } else {
        let (document, parameters) = plain(dice, catalog, name)?;
        (document, parameters, BTreeMap::new())
    };
    shares(&mut document);
    let text = serde_json::to_string_pretty(&document).map_err(|error| error.to_string())?;
    let (planned, said) = validate_all(&Source::new("outer.yaml", text.clone()), &files, catalog);
    let Some(planned) = planned else {
        let errors = said.iter().flat_map(|it| it.problems.iter().filter(|it| it.severity == Severity::Error));
        let errors: Vec<String> = errors.map(|it| format!("{it:?}")).collect();
        return Err(format!("the checks refuse a right workflow: {}\n{text}", errors.join("\n")));
    };
    let parameters = check_parameters(planned.plan.workflow(), parameters)
        .map_err(|problems| format!("the checks refuse right parameters: {}", problems.join("; ")))?;
    let inner: Vec<&String> = files.values().collect();
    let text = inner.into_iter().fold(text, |text, it| format!("{text}\ninside of it:\n{it}"));
    Ok(Made { planned, parameters, text })
}

fn plain(dice: &mut Dice, catalog: &Installed, name: &str) -> Result<(Value, Value), String> {
    let made = workflows::make(dice, catalog)?;
    let mut document: Value = serde_json::from_str(&made.text).map_err(|error| error.to_string())?;
    document["workflow"] = json!(name);
    Ok((document, made.parameters))
}

/// Some steps that run the inner workflow, some that do not.
fn outer(dice: &mut Dice, name: &str, parameters: &Value) -> Value {
    let mut steps = serde_json::Map::new();
    let count = dice.between(1, 4);
    let always = dice.below(count);
    for at in 0..count {
        let mut step = if at == always || dice.permille(500) {
            let mut step = json!({ "uses": "./inner.yaml", "with": parameters });
            if dice.permille(250) {
                let items: Vec<u64> = (0..dice.between(1, 3)).collect();
                step["for_each"] = json!({ "in": items, "fail_fast": dice.permille(300) });
            }
            step
        } else {
            json!({ "uses": "world/write-rf@^1" })
        };
        if at > 0 && dice.permille(700) {
            step["needs"] = json!([format!("o{}", dice.below(at))]);
        }
        if dice.permille(200) {
            step["timeout"] = json!(format!("{}s", dice.between(5, 400)));
        }
        if dice.permille(400) {
            step["retry"] = json!({ "attempts": dice.between(1, 3), "backoff": "1s", "on": ["transient", "rejected"] });
        }
        step["on_failure"] = json!(["pause", "fail", "continue", "rollback"][dice.below(4) as usize]);
        steps.insert(format!("o{at}"), step);
    }
    json!({ "windlass": "v1", "workflow": name, "steps": steps })
}
