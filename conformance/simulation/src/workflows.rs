//! Random workflows, written as a person would and read as a person's are.

use serde_json::{Map, Value, json};
use windlass_model::check::Installed;
use windlass_model::digest::Digest;
use windlass_model::manifest::Manifest;
use windlass_model::plan::Plan;
use windlass_model::problem::{Severity, Source};

use crate::dice::Dice;

/// People of the simulation and the groups they are in.
pub const PEOPLE: [(&str, &[&str]); 6] = [
    ("rita", &["managers"]),
    ("ana", &["managers", "security"]),
    ("ben", &["managers"]),
    ("cyn", &["security", "operations"]),
    ("dan", &["operations"]),
    ("eve", &[]),
];

/// How many steps in a thousand run for items.
const FANS: u64 = 180;

/// A step that others may need, and what it gives.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    name: String,
    gives: Gives,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gives {
    /// What its action gives.
    One,
    /// A list of that.
    List,
    /// A number made of that.
    Number,
}

impl Named {
    /// An expression of what it gives.
    fn number(&self) -> String {
        match self.gives {
            Gives::One => format!("steps.{}.output.number", self.name),
            Gives::List => format!("size(steps.{}.output)", self.name),
            Gives::Number => format!("steps.{}.output", self.name),
        }
    }
}

const EFFECTS: [&str; 3] = ["read", "idempotent_write", "write"];

/// A plan and what the release is started with.
#[derive(Debug)]
pub struct Made {
    /// The plan, through the parser and the checks.
    pub plan: Plan,
    /// The parameters.
    pub parameters: Value,
    /// The file.
    pub text: String,
}

/// One plugin with an action of every kind: `write-cf` has `cancel` and `find`, but no `rollback`.
pub fn catalog() -> Installed {
    let actions = (0..24).map(|kind| {
        let (effect, cancel, rollback, find) = (EFFECTS[kind / 8], kind & 1 != 0, kind & 2 != 0, kind & 4 != 0);
        let action = json!({
            "description": "does it", "effect": effect, "cancel": cancel, "rollback": rollback, "find": find,
            "input": {
                "type": "object", "additionalProperties": false,
                "properties": { "text": { "type": "string" }, "count": { "type": "integer" }, "flag": { "type": "boolean" } },
            },
            "output": {
                "type": "object", "required": ["id", "number", "ok", "list"],
                "properties": {
                    "id": { "type": "string" }, "number": { "type": "integer" }, "ok": { "type": "boolean" },
                    "list": { "type": "array", "items": { "type": "integer" } },
                },
            },
        });
        (action_name(effect, cancel, rollback, find), action)
    });
    let manifest = json!({
        "name": "world", "version": "1.2.3", "contract": "0.1", "description": "the world",
        "actions": Value::Object(actions.collect()),
    });
    let manifest: Manifest = serde_json::from_value(manifest).expect("a manifest");
    let mut installed = Installed::default();
    installed.add_plugin(manifest, Digest::of(b"world"));
    installed
}

fn action_name(effect: &str, cancel: bool, rollback: bool, find: bool) -> String {
    let mut name = effect.replace('_', "-");
    if cancel || rollback || find {
        name.push('-');
    }
    for (has, letter) in [(cancel, 'c'), (rollback, 'r'), (find, 'f')] {
        if has {
            name.push(letter);
        }
    }
    name
}

/// A random workflow.
///
/// # Errors
///
/// The problems, when the checks refuse what is right by construction: then they are wrong.
pub fn make(dice: &mut Dice, catalog: &Installed) -> Result<Made, String> {
    let parameters = json!({
        "version": "1.2.3", "fast": dice.permille(500), "risky": dice.permille(500), "count": dice.below(4),
        "regions": (0..dice.below(5)).map(|it| format!("region-{it}")).collect::<Vec<_>>(),
    });
    let text = serde_json::to_string_pretty(&document(dice)).expect("plain JSON");
    let source = Source::new("simulated.yaml", text.clone());
    let (read, problems) = windlass_model::parse::validate(&source, catalog);
    let Some((parsed, plan)) = read else {
        let errors = problems.iter().filter(|it| it.severity == Severity::Error);
        let said: Vec<String> = errors.map(|it| format!("{it:?}")).collect();
        return Err(format!("the checks refuse a right workflow: {}\n{text}", said.join("\n")));
    };
    let parameters = windlass_model::parse::check_parameters(parsed.workflow(), parameters)
        .map_err(|problems| format!("the checks refuse right parameters: {}", problems.join("; ")))?;
    Ok(Made { plan, parameters, text })
}

fn document(dice: &mut Dice) -> Value {
    let count = match dice.weighted(&[50, 35, 15]) {
        0 => dice.between(2, 6),
        1 => dice.between(5, 15),
        _ => dice.between(12, 40),
    } as usize;
    let phases = [0, 0, 2, 3][dice.below(4) as usize].min(count);
    let density = dice.between(1, 4);
    let steadiness = dice.below(4);
    let mut names: Vec<Named> = Vec::new();
    let mut steps = Map::new();
    for at in 0..count {
        let mut step = Map::new();
        let phase = at * phases / count;
        let needs = needs(dice, at, density, &names);
        if phases > 0 {
            step.insert("phase".to_owned(), json!(format!("phase-{phase}")));
        }
        let effect = EFFECTS[dice.weighted(&[20, 25, 55])];
        let action = action_name(effect, dice.permille(500), dice.permille(700), dice.permille(600));
        step.insert("uses".to_owned(), json!(format!("world/{action}@^1")));
        let mut with = input(dice, &needs);
        let mut gives = Gives::One;
        if dice.permille(FANS) {
            let (items, reduced) = for_each(dice, &needs, &mut with);
            step.insert("for_each".to_owned(), items);
            gives = if reduced { Gives::Number } else { Gives::List };
        }
        step.insert("with".to_owned(), Value::Object(with));
        if dice.permille(150) {
            step.insert("when".to_owned(), json!(condition(dice, &needs)));
        }
        if !needs.is_empty() {
            step.insert("needs".to_owned(), json!(needs.iter().map(|it| &it.name).collect::<Vec<_>>()));
        }
        if dice.permille(120) {
            step.insert("gates".to_owned(), json!(gates(dice)));
        }
        if dice.permille(100) {
            step.insert("delay".to_owned(), json!(format!("{}s", dice.between(1, 120))));
        }
        if dice.permille(50) {
            step.insert("pivot".to_owned(), json!(true));
        }
        if dice.permille(400) {
            step.insert("timeout".to_owned(), json!(format!("{}s", dice.between(5, 200))));
        }
        if dice.permille(700) {
            step.insert("retry".to_owned(), retry(dice));
        }
        let on_failure = match steadiness {
            0 => dice.weighted(&[10, 5, 80, 5]),
            1 => dice.weighted(&[80, 5, 10, 5]),
            _ => dice.weighted(&[25, 25, 20, 30]),
        };
        step.insert("on_failure".to_owned(), json!(["pause", "fail", "continue", "rollback"][on_failure]));
        if dice.permille(100) {
            step.insert("rollback".to_owned(), json!("skip"));
        }
        if dice.permille(80) {
            step.insert("mandatory".to_owned(), json!(true));
        }
        let name = format!("s{at}");
        steps.insert(name.clone(), Value::Object(step));
        names.push(Named { name, gives });
    }
    let mut document = json!({
        "windlass": "v1", "workflow": "simulated",
        "parameters": {
            "version": { "type": "string" }, "fast": { "type": "boolean" }, "risky": { "type": "boolean" },
            "count": { "type": "integer" }, "regions": { "type": "array", "items": { "type": "string" } },
        },
        "steps": steps,
        "outputs": { "last": format!("${{{{ steps.s{}.state == 'skipped' ? 'none' : parameters.version }}}}", count - 1) },
    });
    if phases > 0 {
        document["phases"] = (0..phases).map(|it| phase(dice, it)).collect();
    }
    if dice.permille(120) {
        document["deadline"] = deadline(dice, 1500);
    }
    if dice.permille(250) {
        document["finally"] = last(dice, &names);
    }
    rollback_after(dice, &mut document, &names);
    document
}

fn deadline(dice: &mut Dice, most: u64) -> Value {
    let then = ["fail", "rollback", "pause"][dice.weighted(&[30, 30, 40])];
    json!({ "within": format!("{}s", dice.between(20, most)), "then": then })
}

fn phase(dice: &mut Dice, at: usize) -> Value {
    let mut phase = json!({ "name": format!("phase-{at}") });
    if dice.permille(200) {
        phase["deadline"] = deadline(dice, 400);
    }
    if dice.permille(400) {
        phase["failures_allowed"] = match dice.below(2) {
            0 => json!(dice.below(3)),
            _ => json!(["10%", "25%", "50%"][dice.below(3) as usize]),
        };
        if dice.permille(500) {
            phase["on_exceeded"] = json!(["fail", "rollback"][dice.below(2) as usize]);
        }
    }
    phase
}

/// What runs last.
fn last(dice: &mut Dice, names: &[Named]) -> Value {
    let mut steps = Map::new();
    for at in 0..dice.between(1, 4) {
        let mut step = Map::new();
        let effect = EFFECTS[dice.weighted(&[20, 25, 55])];
        let action = action_name(effect, dice.permille(500), dice.permille(700), dice.permille(600));
        step.insert("uses".to_owned(), json!(format!("world/{action}@^1")));
        let mut with = Map::new();
        with.insert("text".to_owned(), json!("${{ release.id }} ${{ release.outcome }}"));
        if at > 0 && dice.permille(500) {
            step.insert("needs".to_owned(), json!(format!("z{}", dice.below(at))));
        }
        match dice.below(5) {
            0 => drop(step.insert("when".to_owned(), json!("release.outcome == 'succeeded'"))),
            1 => {
                let name = &names[dice.below(names.len() as u64) as usize].name;
                step.insert("when".to_owned(), json!(format!("steps.{name}.state != 'succeeded'")));
            }
            _ => {}
        }
        if dice.permille(FANS) {
            let (items, _) = for_each(dice, &[], &mut with);
            step.insert("for_each".to_owned(), items);
        }
        step.insert("with".to_owned(), Value::Object(with));
        if dice.permille(150) {
            step.insert("delay".to_owned(), json!(format!("{}s", dice.between(1, 120))));
        }
        if dice.permille(400) {
            step.insert("timeout".to_owned(), json!(format!("{}s", dice.between(5, 200))));
        }
        if dice.permille(700) {
            step.insert("retry".to_owned(), retry(dice));
        }
        step.insert("on_failure".to_owned(), json!(["pause", "fail", "continue"][dice.below(3) as usize]));
        steps.insert(format!("z{at}"), Value::Object(step));
    }
    Value::Object(steps)
}

/// Some steps ask to be rolled back after others that the graph does not order.
fn rollback_after(dice: &mut Dice, document: &mut Value, names: &[Named]) {
    if !dice.permille(300) {
        return;
    }
    // Who needs whom by way of others, and phases: what comes after in the file may.
    let count = names.len();
    let mut after = vec![vec![false; count]; count];
    let place = |name: &Value| names.iter().position(|it| name == it.name.as_str());
    for (at, named) in names.iter().enumerate() {
        let step = &document["steps"][&named.name];
        let needs: Vec<usize> = step["needs"].as_array().into_iter().flatten().filter_map(place).collect();
        let earlier = (0..at).filter(|it| document["steps"][&names[*it].name]["phase"] != step["phase"]);
        for need in earlier.chain(needs).collect::<Vec<_>>() {
            after[at][need] = true;
            let further = after[need].clone();
            after[at].iter_mut().zip(further).for_each(|(it, further)| *it |= further);
        }
    }
    for _ in 0..dice.between(1, 3) {
        let (step, first) = (dice.below(count as u64) as usize, dice.below(count as u64) as usize);
        // A step with a smaller number asks for one with a greater: so there is no circle.
        if step < first && !after[first][step] {
            document["steps"][&names[step].name]["rollback_after"] = json!([names[first].name]);
        }
    }
}

fn needs(dice: &mut Dice, at: usize, density: u64, names: &[Named]) -> Vec<Named> {
    let mut needs: Vec<Named> = Vec::new();
    if at == 0 || dice.permille(120) {
        return needs;
    }
    for _ in 0..dice.between(1, density) {
        // Mostly what came just before, so that workflows get long as well as wide.
        let from = if dice.permille(600) { at.saturating_sub(4) } else { 0 };
        let named = &names[dice.between(from as u64, at as u64 - 1) as usize];
        if !needs.contains(named) {
            needs.push(named.clone());
        }
    }
    needs
}

fn input(dice: &mut Dice, needs: &[Named]) -> Map<String, Value> {
    let mut input = Map::new();
    if dice.permille(600) {
        input.insert("text".to_owned(), json!("release ${{ release.id }} of ${{ parameters.version }}"));
    }
    if dice.permille(40) {
        // Has no value when `count` is 0.
        input.insert("count".to_owned(), json!("${{ 12 / parameters.count }}"));
    } else if !needs.is_empty() && dice.permille(350) {
        let needed = &needs[dice.below(needs.len() as u64) as usize];
        let (name, number) = (&needed.name, needed.number());
        let expression = if dice.permille(300) {
            // Has no value when that step has no output.
            format!("${{{{ {number} }}}}")
        } else {
            format!("${{{{ has(steps.{name}.output) ? {number} + 1 : 0 }}}}")
        };
        input.insert("count".to_owned(), json!(expression));
    }
    if dice.permille(200) {
        input.insert("flag".to_owned(), json!("${{ parameters.fast || !parameters.risky }}"));
    }
    input
}

/// What a step runs for, and whether it makes one number of what its items give.
fn for_each(dice: &mut Dice, needs: &[Named], with: &mut Map<String, Value>) -> (Value, bool) {
    let listed = needs.iter().find(|it| it.gives == Gives::One);
    let literal: Vec<u64> = (0..dice.between(1, 5)).collect();
    let list = match listed {
        Some(it) if dice.permille(400) => json!(format!("${{{{ steps.{}.output.list }}}}", it.name)),
        _ => json!(literal),
    };
    let mut items = match dice.below(4) {
        0 => {
            with.insert("text".to_owned(), json!("${{ each.value }}, ${{ each.number }} of ${{ each.count }}"));
            json!({ "in": "${{ parameters.regions }}" })
        }
        1 => {
            with.insert("text".to_owned(), json!("${{ each.value.os }}"));
            with.insert("count".to_owned(), json!("${{ each.value.shard }}"));
            let mut matrix = json!({ "matrix": { "os": ["linux", "windows"], "shard": list } });
            if dice.permille(500) {
                matrix["exclude"] = json!([{ "os": "windows", "shard": 1 }]);
            }
            matrix
        }
        _ => {
            let count = if dice.permille(100) { "${{ 12 / each.value }}" } else { "${{ each.value }}" };
            with.insert("count".to_owned(), json!(count));
            if dice.permille(200) {
                return (list, false);
            }
            json!({ "in": list })
        }
    };
    if dice.permille(500) {
        items["max_parallel"] = json!(dice.between(1, 3));
    }
    if dice.permille(600) {
        items["fail_fast"] = json!(dice.permille(300));
    }
    match dice.below(4) {
        0 => items["failures_allowed"] = json!(dice.below(3)),
        1 => items["failures_allowed"] = json!(["20%", "50%", "100%"][dice.below(3) as usize]),
        _ => {}
    }
    let reduced = dice.permille(300);
    if reduced {
        // Has no value when an item that was allowed to fail gave nothing.
        items["reduce"] = json!("${{ sum(outputs.map(it, it.number)) }}");
    }
    (items, reduced)
}

fn condition(dice: &mut Dice, needs: &[Named]) -> String {
    match dice.below(if needs.is_empty() { 2 } else { 4 }) {
        0 => "parameters.fast".to_owned(),
        1 => format!("parameters.count < {}", dice.between(1, 3)),
        2 => format!("has(steps.{}.output) && {} % 4 != 0", needs[0].name, needs[0].number()),
        _ => format!("{} > 100", needs[0].number()),
    }
}

fn gates(dice: &mut Dice) -> Vec<Value> {
    let rules = [
        json!({ "from": "group:managers" }),
        json!({ "from": "group:managers", "min": 2 }),
        json!({ "from": ["group:security", "user:dan"], "requester": "excluded" }),
        json!({ "from": "group:operations", "requester": "excluded" }),
        json!({ "from": ["user:ana", "user:ben", "user:cyn"], "min": 2, "message": "Release ${{ parameters.version }}?" }),
        json!({ "from": "group:security", "message": "${{ 12 / parameters.count }}?" }),
    ];
    let count = dice.between(1, 2);
    (0..count).map(|_| json!({ "approval": rules[dice.weighted(&[25, 15, 20, 20, 15, 3])].clone() })).collect()
}

fn retry(dice: &mut Dice) -> Value {
    let mut retry = json!({
        "attempts": dice.between(1, 5), "backoff": format!("{}ms", dice.between(1, 5000)), "max_backoff": "20s",
    });
    if dice.permille(300) {
        retry["within"] = json!(format!("{}s", dice.between(20, 300)));
    }
    if dice.permille(500) {
        let classes = ["transient", "rate_limited", "timed_out", "rejected", "conflict", "internal", "unauthenticated"];
        let mut on: Vec<&str> = classes.into_iter().filter(|_| dice.permille(450)).collect();
        if on.is_empty() {
            on.push("transient");
        }
        retry["on"] = json!(on);
    }
    retry
}
