//! `windlass plugin inspect`

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value};
use windlass_model::manifest::{Action, Effect, Manifest};
use windlass_sandbox::{Anatomy, Sandbox, anatomy};

use super::{installed, kib};
use crate::commands::Context;
use crate::output::{DIM, STRONG, styled};

pub(super) async fn inspect(plugin: &str, context: &Context<'_>) -> anyhow::Result<()> {
    let (digest, manifest, parts) = if Path::new(plugin).is_file() {
        let bytes = std::fs::read(plugin).with_context(|| format!("{plugin} cannot be read"))?;
        let inspection = Sandbox::inspect(&bytes).with_context(|| plugin.to_owned())?;
        let parts = anatomy(&bytes).with_context(|| plugin.to_owned())?;
        (inspection.digest.to_string(), inspection.manifest, Some(parts))
    } else {
        let (digest, manifest) = installed(plugin, context).await?;
        (digest, manifest, None)
    };
    let mut view = serde_json::json!({ "component": digest, "manifest": manifest });
    if let Some(parts) = &parts {
        view["anatomy"] = serde_json::to_value(parts).context("its parts")?;
    }
    context.output.data(&view, |_| describe(&digest, &manifest, parts.as_ref()));
    Ok(())
}

fn describe(digest: &str, manifest: &Manifest, parts: Option<&Anatomy>) -> String {
    let mut text = format!(
        "{} {} (contract {})\n{}\n{digest}\n",
        styled(STRONG, &manifest.name),
        manifest.version,
        manifest.contract,
        manifest.description
    );
    if let Some(parts) = parts {
        let imports: Vec<&str> = parts.imports.iter().map(|it| it.split('@').next().unwrap_or_default()).collect();
        text.push_str(&format!(
            "{}, {} of memory to begin with\nimports {}\n",
            kib(parts.bytes),
            kib(parts.memory_bytes),
            imports.join(", ")
        ));
    }
    for (name, action) in &manifest.actions {
        describe_action(&format!("{}/{}", manifest.name, styled(STRONG, name)), action, &mut text);
    }
    text
}

fn describe_action(name: &str, action: &Action, text: &mut String) {
    let effect = match action.effect {
        Effect::Read => "reads",
        Effect::IdempotentWrite => "writes, repeatable",
        Effect::Write => "writes",
    };
    let can = [("cancel", action.cancel), ("rollback", action.rollback), ("find", action.find)];
    let can: Vec<&str> = can.into_iter().filter_map(|(name, has)| has.then_some(name)).collect();
    let can = if can.is_empty() { String::new() } else { format!("; can {}", can.join(", ")) };
    text.push_str(&format!("\n{name}  {}\n  {effect}{can}\n", action.description));
    for (which, schema) in [("with", &action.input), ("gives", &action.output)] {
        text.push_str(&format!("  {which}\n"));
        fields(schema, text);
    }
    for (role, need) in &action.connections {
        let rules: Vec<String> =
            need.requests.iter().map(|it| format!("{} {}", it.methods.join(","), it.path)).collect();
        let optional = if need.required { "" } else { " (need not be bound)" };
        text.push_str(&format!("  connection {role}{optional}: {}\n", rules.join("; ")));
    }
    for (tool, need) in &action.tools {
        text.push_str(&format!("  tool {tool}: {}\n", need.subcommands.join(" ")));
        if !need.dry_run.is_empty() {
            text.push_str(&format!("    changes nothing as {}\n", need.dry_run.join("; ")));
        }
    }
    for (name, given, _) in action.limits.named(&windlass_model::manifest::EffectiveLimits::DEFAULT) {
        if let Some(given) = given {
            text.push_str(&format!("  limit {name}: {given}\n"));
        }
    }
}

/// A line for each field: its name, with `*` if it has to be given, its type, its default, what it is for.
fn fields(schema: &Value, text: &mut String) {
    let nothing = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&nothing);
    if properties.is_empty() {
        text.push_str(&format!("    {}\n", type_of(schema, schema)));
        return;
    }
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let named = |name: &String| if required.contains(&name.as_str()) { format!("{name}*") } else { name.clone() };
    let width = properties.keys().map(|it| named(it).chars().count()).max().unwrap_or_default();
    for (name, field) in properties {
        let default = field.get("default").map(|it| format!(" = {it}")).unwrap_or_default();
        let description = field["description"].as_str().map(|it| format!("  {}", styled(DIM, it))).unwrap_or_default();
        let type_of = type_of(field, schema);
        text.push_str(&format!("    {:width$}  {type_of}{default}{description}\n", named(name)));
    }
}

/// A type in a word or two.
fn type_of(schema: &Value, root: &Value) -> String {
    let target = schema["$ref"].as_str().and_then(|it| it.strip_prefix('#')).and_then(|it| root.pointer(it));
    if let Some(target) = target.filter(|it| it.get("$ref").is_none()) {
        return type_of(target, root);
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(Value::to_string).collect::<Vec<_>>().join(" | ");
    }
    if let Some(all) = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array()) {
        let words: Vec<String> = all.iter().take(4).map(|it| one_word(it, root)).collect();
        return words.join(" | ");
    }
    one_word(schema, root)
}

fn one_word(schema: &Value, root: &Value) -> String {
    match &schema["type"] {
        Value::String(name) if name == "array" => {
            let items = schema["items"]["type"].as_str().unwrap_or("anything");
            format!("array of {items}")
        }
        Value::String(name) => name.clone(),
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" | "),
        _ if schema.get("const").is_some() => schema["const"].to_string(),
        _ if schema.get("$ref").is_some() && schema != root => "object".to_owned(),
        _ => "anything".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_shown_with_what_a_workflow_s_author_has_to_know() {
        let schema = json!({
            "properties": {
                "title": { "type": "string", "description": "What people call it." },
                "level": { "$ref": "#/$defs/level", "default": "low" },
                "parts": { "type": "array", "items": { "type": "integer" } },
                "note": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
            },
            "required": ["title"],
            "$defs": { "level": { "enum": ["low", "high"] } },
        });
        let mut text = String::new();
        fields(&schema, &mut text);
        let plain: String = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(
            plain,
            "    level   \"low\" | \"high\" = \"low\"\n    note    string | null\n    parts   array of integer\n    title*  string  What people call it.\n"
        );
        text.clear();
        fields(&json!({}), &mut text);
        assert_eq!(text, "    anything\n");
    }

    #[test]
    fn a_tool_is_shown_with_what_dry_runs_run_of_it() {
        let action = json!({
            "description": "d", "effect": "read", "input": {}, "output": {},
            "tools": { "helm": { "description": "d", "subcommands": ["upgrade", "history"], "dry_run": ["upgrade --dry-run=server", "history"] } },
        });
        let action: Action = serde_json::from_value(action).expect("an action");
        let mut text = String::new();
        describe_action("helm/upgrade", &action, &mut text);
        let shown = "  tool helm: upgrade history\n    changes nothing as upgrade --dry-run=server; history\n";
        assert!(text.contains(shown), "{text}");
    }
}
