//! Runs the suite: every check of every case, several scenarios at a time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use windlass_model::manifest::{Action, Manifest};
use windlass_model::name::ToolName;
use windlass_model::problem::listed;
use windlass_model::review::{Severity, review};
use windlass_sandbox::{Plugin, Sandbox, Scrubber};

use crate::file::{Case, Conformance, Only, ToolFile, tools};
use crate::judge::{Wrong, judge, judge_reference};
use crate::outcome::{Certification, Check, Failed, Outcome, RESULT_VERSION, Report, worse};
use crate::scenario::{Call, Did, Reference, Scenario, scenarios};
use crate::scene::{Interruption, Scene};
use crate::secret::leaks as leaks_of;
use crate::transcript::{TRANSCRIPT_VERSION, Transcript, scrubbed};
use crate::{Broken, SECRET};

/// Scenarios at a time, where each has a counterpart of its own: most of them wait. With one whose jobs take long they wait for
/// that most of the time, and more are played.
const AT_A_TIME: usize = 4;
const AT_A_TIME_MAX: usize = 16;

/// What is certified, and how.
pub struct Subject<'a> {
    /// The component, with its manifest embedded.
    pub component: &'a [u8],
    /// How it is exercised.
    pub file: &'a Conformance,
    /// Made of [`sandbox_options`](crate::sandbox_options).
    pub sandbox: &'a Sandbox,
    /// The program that `windlass` stands for in the file's command.
    pub ours: Option<&'a Path>,
    /// A part of it.
    pub only: Only,
    /// Told what is begun.
    pub progress: &'a (dyn Fn(&str) + Send + Sync),
}

/// What all scenarios share.
pub(crate) struct Suite<'a> {
    pub(crate) file: &'a Conformance,
    pub(crate) manifest: &'a Manifest,
    pub(crate) plugin: &'a Arc<Plugin>,
    pub(crate) sandbox: &'a Sandbox,
    pub(crate) ours: Option<&'a Path>,
    progress: &'a (dyn Fn(&str) + Send + Sync),
    only: Only,
    plugin_name: String,
    transcripts: Mutex<Vec<Transcript>>,
}

/// Certifies a plugin. An error is that nothing could be said; a plugin that does not pass is a [`Report`].
pub async fn certify(subject: Subject<'_>) -> Result<Report, Broken> {
    let inspection = Sandbox::inspect(subject.component)?;
    let manifest = inspection.manifest;
    subject.file.fits(&manifest)?;
    let mut certification = Certification {
        certification: RESULT_VERSION,
        suite: env!("CARGO_PKG_VERSION").to_owned(),
        plugin: manifest.name.to_string(),
        version: manifest.version.to_string(),
        component: inspection.digest.to_string(),
        certified: false,
        contract: Outcome::Passed,
        actions: BTreeMap::new(),
        not_exercised: not_exercised(&manifest, subject.file),
        at: None,
    };
    (subject.progress)("contract");
    let plugin = match contract(&subject, &manifest).await {
        Ok(plugin) => plugin,
        Err(failures) => {
            certification.contract = Outcome::Failed { failures };
            return Ok(Report { certification, transcripts: Vec::new() });
        }
    };
    let suite = Suite {
        file: subject.file,
        manifest: &manifest,
        plugin: &plugin,
        sandbox: subject.sandbox,
        ours: subject.ours,
        plugin_name: format!("{}@{}", manifest.name, manifest.version),
        progress: subject.progress,
        only: subject.only,
        transcripts: Mutex::default(),
    };
    let mut is_any = false;
    for case in &subject.file.cases {
        let only = &suite.only;
        let is_other = only.action.as_ref().is_some_and(|it| *it != case.action)
            || only.case.as_ref().is_some_and(|it| case.name.as_ref() != Some(it));
        if is_other {
            continue;
        }
        is_any = true;
        let action = &manifest.actions[&case.action];
        (subject.progress)(&case.title());
        let outcomes = suite.case(case, action).await?;
        let into = certification.actions.entry(case.action.to_string()).or_default();
        for (check, outcome) in outcomes {
            let merged = match into.remove(&check) {
                Some(before) => worse(before, outcome),
                None => outcome,
            };
            into.insert(check, merged);
        }
    }
    if !is_any && suite.only != Only::default() {
        let cases = listed(subject.file.cases.iter().map(Case::title));
        return Err(Broken::Nothing(format!("no case of the file is of this action and name; there are {cases}")));
    }
    let is_whole = suite.only == Only::default();
    if !is_whole {
        // Nobody asked for them.
        certification.not_exercised.clear();
    }
    certification.certified = is_whole && certification.not_exercised.is_empty() && !certification.has_failed();
    let transcripts = suite.transcripts.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Report { certification, transcripts })
}

fn not_exercised(manifest: &Manifest, file: &Conformance) -> BTreeMap<String, String> {
    let without_case = manifest.actions.iter().filter(|(name, _)| !file.cases.iter().any(|it| it.action == **name));
    let why = |(name, action): (&windlass_model::name::ActionName, &Action)| {
        let why = match file.without.get(name) {
            Some(why) => why.clone(),
            None if !action.tools.is_empty() => format!("no case; it runs {}", tools(&action.tools)),
            None => "no case".to_owned(),
        };
        (name.to_string(), why)
    };
    without_case.map(why).collect()
}

/// Whether a host takes the component, nothing in it is odd beyond advice, and it says the same of itself each time.
async fn contract(subject: &Subject<'_>, manifest: &Manifest) -> Result<Arc<Plugin>, Vec<Failed>> {
    let failed = |position: &str, expected: &str, seen: String| Failed {
        case: None,
        at: 1,
        position: position.to_owned(),
        expected: expected.to_owned(),
        seen,
    };
    let problems = review(manifest).into_iter().filter(|it| it.severity == Severity::Problem);
    let mut failures: Vec<Failed> = problems
        .map(|it| {
            let place = if it.place.is_empty() { "the manifest".to_owned() } else { it.place };
            failed(&place, "what `windlass plugin check` has nothing against", it.message)
        })
        .collect();
    let prepared = subject.sandbox.prepare(subject.component).await;
    let said = [subject.sandbox.describe(subject.component).await, subject.sandbox.describe(subject.component).await];
    if let [Ok(one), Ok(other)] = &said
        && one != other
    {
        failures.push(failed("`manifest`, called twice", "the same answer", "two answers".to_owned()));
    }
    match prepared {
        Ok(plugin) if failures.is_empty() => Ok(plugin),
        Ok(_) => Err(failures),
        Err(error) => {
            failures.push(failed("the component", "what a host takes", error.to_string()));
            Err(failures)
        }
    }
}

/// A scenario that is to be played.
struct Numbered {
    check: Check,
    at: usize,
    /// How many its check has.
    of: usize,
    scenario: Scenario,
}

/// How many scenarios of a case are played at a time that took so long, and waited for so much of it.
fn at_a_time(took: Duration, waited: Duration) -> usize {
    let busy = took.saturating_sub(waited).as_millis().max(1);
    let times = usize::try_from(took.as_millis() / busy).unwrap_or(usize::MAX);
    AT_A_TIME.saturating_mul(times).clamp(AT_A_TIME, AT_A_TIME_MAX)
}

impl Suite<'_> {
    async fn case(&self, case: &Case, action: &Action) -> Result<BTreeMap<Check, Outcome>, Broken> {
        let wanted = |check: Check| self.only.check.is_none_or(|it| it == check);
        let begun = Instant::now();
        let mut scene = Scene::open(self, case, action, None, "run").await?;
        scene.calls = Some(Vec::new());
        let finish = scene.persevere(Interruption::default()).await?;
        let after = scene.probe("after").await?;
        let at_a_time = if self.file.has_own_counterparts() { at_a_time(begun.elapsed(), scene.waited_for) } else { 1 };
        let did = Did::of(&scene.record.all(), |tool, subcommand| {
            let is_it = |(name, it): (&ToolName, &ToolFile)| {
                name.as_str() == tool && it.halfway.iter().any(|it| it == subcommand)
            };
            self.file.tools.iter().any(is_it)
        });
        let recorded = scene.calls.take().unwrap_or_default();
        let reference = Reference {
            finish,
            before: scene.before.clone(),
            after,
            calls: recorded.into_iter().zip(did).map(|(recorded, did)| Call { recorded, did }).collect(),
            last_function: scene.last_function,
            input: scene.input.clone(),
        };
        let mut outcomes = BTreeMap::new();
        if let Err((blamed, wrong)) = judge_reference(self, &scene, action, &reference) {
            let failures = vec![self.failed(case, blamed, 1, "when nothing goes wrong", wrong, &scene)];
            // Whatever was to be checked: nothing can be said of a case that does not come to what it says.
            for check in Check::ALL.iter().copied().filter(|it| wanted(*it)) {
                let why = format!("nothing more can be said: see `{}`", blamed.name());
                outcomes.insert(check, Outcome::NotApplicable { why });
            }
            outcomes.insert(blamed, Outcome::Failed { failures });
            return Ok(outcomes);
        }
        let mut playing = Vec::new();
        for check in Check::ALL.iter().copied().filter(|it| wanted(*it)) {
            match scenarios(check, case, action, &reference) {
                Err(why) => {
                    outcomes.insert(check, Outcome::NotApplicable { why });
                }
                Ok(scenarios) => {
                    outcomes.insert(check, Outcome::Passed);
                    playing.extend(self.only_of(case, check, scenarios)?);
                }
            }
        }
        for (check, failures) in self.play(case, action, &reference, playing, at_a_time).await? {
            let before = outcomes.remove(&check).unwrap_or(Outcome::Passed);
            outcomes.insert(check, worse(before, Outcome::Failed { failures }));
        }
        Ok(outcomes)
    }

    /// The scenarios of a check that are wanted.
    fn only_of(&self, case: &Case, check: Check, scenarios: Vec<Scenario>) -> Result<Vec<Numbered>, Broken> {
        // What `run` says is said by the case itself.
        let most = if check == Check::Run { 1 } else { scenarios.len() };
        if let Some(at) = self.only.at.filter(|at| !(1..=most).contains(at)) {
            let check = check.name();
            return Err(Broken::Nothing(format!(
                "`{check}` of `{}` has no scenario {at}: it has {most}",
                case.title()
            )));
        }
        let numbered = scenarios.into_iter().enumerate();
        let numbered = numbered.map(|(before, scenario)| Numbered { check, at: before + 1, of: most, scenario });
        Ok(numbered.filter(|it| self.only.at.is_none_or(|at| at == it.at)).collect())
    }

    /// Plays scenarios, so many at a time: what failed of each check.
    async fn play(
        &self,
        case: &Case,
        action: &Action,
        reference: &Reference,
        scenarios: Vec<Numbered>,
        at_a_time: usize,
    ) -> Result<BTreeMap<Check, Vec<Failed>>, Broken> {
        let played = scenarios.into_iter().map(|it| async move {
            let Numbered { check, at, of, scenario } = it;
            if at == 1 && of > 1 {
                (self.progress)(&format!("{}: {}, {of} scenarios", case.title(), check.name()));
            }
            let mut scene = Scene::open(self, case, action, scenario.plan, &format!("{} {at}", check.name())).await?;
            let verdict = judge(self, &mut scene, action, reference, scenario.play).await?;
            Ok::<_, Broken>((check, at, scenario.position, scene, verdict))
        });
        let mut played = futures::stream::iter(played).buffered(at_a_time);
        let mut failures = BTreeMap::<Check, Vec<Failed>>::new();
        let mut leaks = Vec::<Failed>::new();
        while let Some(ended) = played.next().await {
            let (check, at, position, scene, verdict) = ended?;
            if let Err(wrong) = verdict {
                failures.entry(check).or_default().push(self.failed(case, check, at, &position, wrong, &scene));
            }
            for leak in leaks_of(&scene.memory, &scene.record) {
                // Once is enough: it is there in most scenarios.
                if leaks.iter().any(|it| it.seen == leak) {
                    continue;
                }
                let expected = "the credential, and a callback's topic, are nowhere but where they belong".to_owned();
                let position = format!("during `{}` {at}: {position}", check.name());
                let wrong = Wrong { expected, seen: leak };
                leaks.push(self.failed(case, check, at, &position, wrong, &scene));
            }
        }
        // Whatever was to be checked: a scenario that is played again alone says the same.
        if !leaks.is_empty() {
            failures.entry(Check::Secrets).or_default().extend(leaks);
        }
        Ok(failures)
    }

    /// Keeps a transcript of what went wrong.
    fn failed(&self, case: &Case, check: Check, at: usize, position: &str, wrong: Wrong, scene: &Scene<'_>) -> Failed {
        let scrubber = Scrubber::new([SECRET.as_bytes()]);
        let failed = Failed {
            case: case.name.clone(),
            at,
            position: position.to_owned(),
            expected: scrubber.text(wrong.expected),
            seen: scrubber.text(wrong.seen),
        };
        let transcript = Transcript {
            transcript: TRANSCRIPT_VERSION,
            plugin: self.plugin_name.clone(),
            component: self.plugin.digest().to_string(),
            only: Only { action: Some(case.action.clone()), case: case.name.clone(), check: Some(check), at: Some(at) },
            position: failed.position.clone(),
            expected: failed.expected.clone(),
            seen: failed.seen.clone(),
            events: scrubbed(scene.record.all(), &scrubber),
        };
        self.transcripts.lock().unwrap_or_else(PoisonError::into_inner).push(transcript);
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_a_case_waits_the_more_of_its_scenarios_are_played_at_a_time() {
        let of = |took, waited| at_a_time(Duration::from_millis(took), Duration::from_millis(waited));
        assert_eq!([of(100, 0), of(100, 40), of(100, 60), of(1_000, 900)], [4, 4, 8, 16]);
        // Clocks are not to be trusted.
        assert_eq!([of(0, 0), of(10, 20), of(3_000, 3_000)], [4, 16, 16]);
    }
}
