//! What the probes of a case say.

use std::collections::BTreeMap;

use serde_json::Value;
use windlass_model::text::shortened;

use super::Scene;
use crate::Broken;
use crate::file::{ProbeFile, filled, filled_text};
use crate::transcript::{Event, answered};

/// What the probes say, by name.
pub(crate) type Seen = BTreeMap<String, Value>;

/// How many of the elements that a probe counted are shown, and how much of each.
const COUNTED_SHOWN: usize = 3;
const COUNTED_CHARACTERS_MAX: usize = 160;

const POISONED: &str = "nothing panics while it is written";

impl Scene<'_> {
    /// What the probes say now.
    pub(crate) async fn probe(&self, when: &str) -> Result<Seen, Broken> {
        let mut seen = Seen::new();
        for (name, probe) in self.suite.file.probes_of(self.case) {
            let (answer, failed) = self.look(name, probe).await?;
            let value: Value = serde_json::from_slice(&answer).map_err(|_| failed("no JSON"))?;
            let told = match finding(probe, &value, &self.kept).map_err(|why| failed(&why))? {
                Finding::Value(value) => value.clone(),
                Finding::Counted(elements) => {
                    self.counted.lock().expect(POISONED).insert(name.clone(), shown(&elements));
                    elements.len().into()
                }
            };
            seen.insert(name.clone(), told);
        }
        self.record.add(Event::Probed { when: when.to_owned(), seen: serde_json::json!(seen) });
        Ok(seen)
    }

    /// The elements that a probe has counted last, for people.
    pub(crate) fn counted(&self, probe: &str) -> Option<String> {
        self.counted.lock().expect(POISONED).get(probe).filter(|it| !it.is_empty()).cloned()
    }

    /// What a probe is answered with, and how to say that it is not as it should be.
    async fn look(&self, name: &str, probe: &ProbeFile) -> Result<(Vec<u8>, impl Fn(&str) -> Broken), Broken> {
        let (what, status, body) = match (&probe.get, &probe.run) {
            (Some(path), _) => {
                let path = filled_text(path, &self.kept);
                let answer = self.ask(hyper::Method::GET, &path, "", String::new()).await?;
                (format!("GET {path}"), answer.status, answer.body.to_vec())
            }
            (None, run) => {
                let run: Vec<String> = run.iter().flatten().map(|it| filled_text(it, &self.kept)).collect();
                let printed = self.run(&run).await;
                let printed = printed.map_err(|why| Broken::Tool(format!("the probe `{name}`: {why}")))?;
                (run.join(" "), 200, printed)
            }
        };
        let told = answered(&body);
        let failed = move |why: &str| Broken::Counterpart(format!("the probe `{name}` ({what}): {why}: {told}"));
        if status >= 400 {
            let hint = match status {
                401 | 403 => " (probes come with the made-up credential, `{secret}` in the counterpart's `command`)",
                _ => "",
            };
            return Err(failed(&format!("answered with {status}{hint}")));
        }
        Ok((body, failed))
    }
}

/// What a probe is there for, in an answer.
enum Finding<'a> {
    Value(&'a Value),
    /// Elements of a list.
    Counted(Vec<&'a Value>),
}

fn finding<'a>(probe: &ProbeFile, answer: &'a Value, kept: &BTreeMap<String, Value>) -> Result<Finding<'a>, String> {
    let pointer = probe.value.as_deref().or(probe.count.as_deref()).unwrap_or_default();
    let found = answer.pointer(pointer).ok_or_else(|| format!("nothing at `{pointer}`"))?;
    if probe.value.is_some() {
        return Ok(Finding::Value(found));
    }
    let list = found.as_array().ok_or_else(|| format!("no list at `{pointer}`"))?;
    let counts = |it: &&Value| {
        let has =
            |(at, value): (&String, &Value)| it.pointer(at).is_some_and(|found| is_one_of(found, &filled(value, kept)));
        probe.with.iter().all(has) && !probe.except.iter().any(has)
    };
    Ok(Finding::Counted(list.iter().filter(counts).collect()))
}

/// Whether a value is what a probe asks for, or one of those where it gives a list.
fn is_one_of(found: &Value, wanted: &Value) -> bool {
    found == wanted || wanted.as_array().is_some_and(|it| it.contains(found))
}

fn shown(counted: &[&Value]) -> String {
    let each = counted.iter().take(COUNTED_SHOWN).map(|it| shortened(&it.to_string(), COUNTED_CHARACTERS_MAX));
    let more = (counted.len() > COUNTED_SHOWN).then(|| format!("{} more", counted.len() - COUNTED_SHOWN));
    each.chain(more).collect::<Vec<_>>().join(", ")
}
