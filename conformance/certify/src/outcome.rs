//! What came of a certification: what a registry reads later.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::transcript::Transcript;

/// The version of a result's written form.
pub const RESULT_VERSION: u32 = 1;

macro_rules! checks {
    ($($(#[$doc:meta])* $check:ident $name:literal $about:literal;)*) => {
        /// What a plugin has to pass.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Check {
            $($(#[$doc])* #[serde(rename = $name)] $check,)*
        }

        impl Check {
            /// All of them, in the order in which they are shown.
            pub const ALL: &[Self] = &[$(Self::$check),*];

            /// What it is called.
            pub fn name(self) -> &'static str {
                match self { $(Self::$check => $name,)* }
            }

            /// What it asks, in a sentence.
            pub fn about(self) -> &'static str {
                match self { $(Self::$check => $about,)* }
            }
        }
    };
}

checks! {
    /// The case itself.
    Run "run" "ends as the case says when nothing goes wrong, and probes see a write";
    /// Schemas, both ways.
    Schemas "schemas" "the output is what its schema says; what the input's schema refuses never arrives, what it accepts is understood";
    /// Going on from saved state.
    Resume "resume" "goes on in another instance from the saved state alone, and again if that is cut off";
    /// Determinism.
    Replay "replay" "makes the same requests when what it was told is played again";
    /// Idempotency.
    Once "once" "has its effect once when any response is lost or cut";
    /// Advice.
    Retry "retry" "a 429 or 503 is worth another attempt, a 403 is not, and what is no JSON is no crash";
    /// Cancellation.
    Cancel "cancel" "stops at any request and any wait, and leaves nothing at work";
    /// Undoing.
    Rollback "rollback" "takes back what it did, once or twice, and what a call that was cut off did";
    /// Dry runs.
    DryRun "dry-run" "writes nothing in a dry run";
    /// Limits.
    Limits "limits" "a body without end is a declared failure, and an answer that never comes does no harm";
    /// Credentials.
    Secrets "secrets" "the credential is in nothing that it says, keeps or sends";
}

impl Check {
    /// The check of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|it| it.name() == name)
    }
}

impl std::str::FromStr for Check {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = || windlass_model::problem::listed(Self::ALL.iter().map(|it| it.name()));
        Self::from_name(text).ok_or_else(|| format!("`{text}` is no check; there are {}", known()))
    }
}

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// All of its scenarios went as they should.
    Passed,
    /// Some did not.
    Failed {
        /// Each of them.
        failures: Vec<Failed>,
    },
    /// There is nothing to check.
    NotApplicable {
        /// Why not.
        why: String,
    },
}

/// A scenario that did not go as it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failed {
    /// Which case, where the action has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// Which scenario of the check, from 1.
    pub at: usize,
    /// Where in it.
    pub position: String,
    /// What was expected.
    pub expected: String,
    /// What was seen.
    pub seen: String,
}

/// What came of a certification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certification {
    /// The version of this form, [`RESULT_VERSION`].
    pub certification: u32,
    /// The suite's version.
    pub suite: String,
    /// The plugin's name.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// The component's digest.
    pub component: String,
    /// Whether everything was checked and nothing failed.
    pub certified: bool,
    /// Whether the component keeps the contract: what is wrong, if anything is.
    pub contract: Outcome,
    /// By action, what came of each check.
    pub actions: BTreeMap<String, BTreeMap<Check, Outcome>>,
    /// Actions that were not exercised, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_exercised: BTreeMap<String, String>,
    /// When, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

impl Certification {
    /// Its written form.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a result holds only what JSON can hold");
        text.push('\n');
        text
    }

    /// Each failure with its action and check.
    pub fn failures(&self) -> impl Iterator<Item = (&str, Check, &Failed)> {
        self.actions.iter().flat_map(|(action, checks)| {
            checks.iter().flat_map(move |(check, outcome)| {
                let failures = if let Outcome::Failed { failures } = outcome { failures.as_slice() } else { &[] };
                failures.iter().map(move |it| (action.as_str(), *check, it))
            })
        })
    }

    /// Whether anything failed; an action that was not exercised has not.
    pub fn has_failed(&self) -> bool {
        matches!(self.contract, Outcome::Failed { .. }) || self.failures().next().is_some()
    }
}

/// What came of it, with what is too much for the result.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The result.
    pub certification: Certification,
    /// Of each failure.
    pub transcripts: Vec<Transcript>,
}

/// The worse of two: an action may have several cases.
pub(crate) fn worse(one: Outcome, other: Outcome) -> Outcome {
    match (one, other) {
        (Outcome::Failed { mut failures }, Outcome::Failed { failures: more }) => {
            failures.extend(more);
            Outcome::Failed { failures }
        }
        (failed @ Outcome::Failed { .. }, _) | (_, failed @ Outcome::Failed { .. }) => failed,
        (Outcome::NotApplicable { why }, Outcome::NotApplicable { .. }) => Outcome::NotApplicable { why },
        _ => Outcome::Passed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_reads_back_and_its_form_does_not_change() {
        let failed = Failed { case: None, at: 2, position: "p".into(), expected: "e".into(), seen: "s".into() };
        let checks = [
            (Check::Run, Outcome::Passed),
            (Check::Once, Outcome::Failed { failures: vec![failed] }),
            (Check::DryRun, Outcome::NotApplicable { why: "it reads".into() }),
        ];
        let certification = Certification {
            certification: RESULT_VERSION,
            suite: "0.1.0".into(),
            plugin: "jobs".into(),
            version: "0.1.0".into(),
            component: "sha256:00".into(),
            certified: false,
            contract: Outcome::Passed,
            actions: [("submit".to_owned(), checks.into())].into(),
            not_exercised: BTreeMap::new(),
            at: None,
        };
        let golden = include_str!("golden/result.v1.json");
        assert_eq!(certification.to_json(), golden);
        let read: Certification = serde_json::from_str(golden).expect("it is read");
        assert_eq!(read, certification);
        assert!(read.has_failed());
    }

    #[test]
    fn of_several_cases_the_worst_counts() {
        let na = || Outcome::NotApplicable { why: "w".into() };
        let failed = || Outcome::Failed { failures: Vec::new() };
        assert_eq!(worse(na(), Outcome::Passed), Outcome::Passed);
        assert_eq!(worse(na(), na()), na());
        assert!(matches!(worse(failed(), Outcome::Passed), Outcome::Failed { .. }));
        assert!(matches!(worse(na(), failed()), Outcome::Failed { .. }));
    }

    #[test]
    fn checks_have_names_of_their_own() {
        for check in Check::ALL {
            assert_eq!(check.name().parse::<Check>().as_ref(), Ok(check));
        }
        assert!("twice".parse::<Check>().expect_err("it is none").contains("`once`"));
    }
}
