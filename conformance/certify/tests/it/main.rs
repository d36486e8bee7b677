//! The suite against a plugin with one flaw in each action: each is found, by the check that is meant for it and by no other.

mod ledger;
mod plugin;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;

use tokio::sync::OnceCell;
use windlass_certify::{
    Broken, Certification, Check, Conformance, Only, Outcome, Report, Subject, certify, sandbox_options,
};
use windlass_model::manifest::EffectiveLimits;
use windlass_sandbox::{Sandbox, SandboxOptions, embed_manifest};

use crate::ledger::Ledger;

struct World {
    sandbox: Sandbox,
    component: Vec<u8>,
    manifest: String,
}

async fn world() -> &'static World {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    WORLD
        .get_or_init(async || {
            let usual = sandbox_options(None);
            // What is never answered is given up sooner.
            let bound = EffectiveLimits { wall_ms: 1_500, ..usual.bound };
            let sandbox = Sandbox::new(SandboxOptions { bound, ..usual }).expect("a sandbox");
            let component = plugin::faulty();
            let manifest = sandbox.describe(&component).await.expect("a manifest");
            let component = embed_manifest(&component, &manifest).expect("a component");
            World { sandbox, component, manifest }
        })
        .await
}

/// The file for one action; `more` are further lines of its case.
fn file(ledger: &Ledger, action: &str, more: &str) -> Conformance {
    let text = format!(
        "certify: v1\ncounterpart: {{ address: '{}' }}\nconnections: {{ ledger: {{ credential: bearer, path: /v1 }} }}\nprobes: {{ entries: {{ get: /entries }} }}\ncases:\n  - action: {action}\n    input: {{ title: index }}\n{more}",
        ledger.url
    );
    read(&text)
}

/// The same for one that runs a native tool, which may be killed in the middle of its work.
fn file_with_a_desk(action: &str, halfway: bool) -> Conformance {
    let desk = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/desk.sh");
    let text = format!(
        "certify: v1\ntools: {{ desk: {{ command: [/bin/sh, '{}', '{{state}}'], halfway: {} }} }}\nconnections: {{ office: {{ kubeconfig: 'user: {{ token: \"{{secret}}\" }}' }} }}\nprobes: {{ entries: {{ run: [desk, list], count: '' }} }}\ncases:\n  - action: {action}\n    input: {{ title: index }}\n",
        desk.display(),
        if halfway { "[put]" } else { "[]" }
    );
    read(&text)
}

/// In a folder that stays: programs of the file run there.
fn read(text: &str) -> Conformance {
    let mut file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a file");
    file.write_all(text.as_bytes()).expect("a file");
    Conformance::read(file.path()).expect("it is good")
}

async fn certified(action: &str, more: &str, only: Only) -> Result<Report, Broken> {
    let ledger = Ledger::start().await;
    certified_by(&file(&ledger, action, more), only).await
}

async fn certified_by(file: &Conformance, only: Only) -> Result<Report, Broken> {
    let world = world().await;
    let subject =
        Subject { component: &world.component, file, sandbox: &world.sandbox, ours: None, only, progress: &|_| {} };
    certify(subject).await
}

fn failed(certification: &Certification) -> BTreeSet<Check> {
    certification.failures().map(|(_, check, _)| check).collect()
}

/// Checks that an action fails exactly these checks, and that a transcript of each failure tells what happened.
async fn finds(action: &str, file: impl Fn(&Ledger) -> Conformance, checks: &[Check]) {
    let ledger = Ledger::start().await;
    let report = certified_by(&file(&ledger), Only::default()).await.expect("it is checked");
    let Report { certification, transcripts } = report;
    let found = failed(&certification);
    assert_eq!(found, checks.iter().copied().collect(), "{action}: {}", certification.to_json());
    assert!(!certification.certified, "the other actions were not exercised");
    assert_eq!(transcripts.len(), certification.failures().count());
    let Some(first) = transcripts.first() else { return };
    assert!(first.told().contains("call "), "{}", first.told());
    // The same scenario alone comes to the same, with a counterpart that knows nothing of the one before.
    let other = Ledger::start().await;
    let again = certified_by(&file(&other), first.only.clone()).await.expect("it is checked");
    assert!(again.certification.has_failed(), "{}", first.to_json());
}

macro_rules! flaws {
    ($($test:ident: $action:literal $more:literal => $($check:ident)*;)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            finds($action, |ledger| file(ledger, $action, $more), &[$(Check::$check),*]).await;
        })*
    };
}

/// The same of actions that run a tool, without or with a middle of its work.
macro_rules! flaws_with_a_tool {
    ($halfway:literal: $($test:ident: $action:literal => $($check:ident)*;)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            finds($action, |_| file_with_a_desk($action, $halfway), &[$(Check::$check),*]).await;
        })*
    };
}

flaws_with_a_tool! { true:
    a_good_run_over_half_of_one_passes: "runs-well" => ;
    half_of_its_work_in_its_way: "stands-before-half" => Once;
    half_of_its_work_that_is_left: "leaves-half" => Rollback;
}

flaws_with_a_tool! { false:
    a_good_run_passes: "runs-well" => ;
    a_run_that_a_dry_run_denies: "knows-of-no-dry-run" => ;
    a_run_that_writes_in_a_read: "puts-in-a-read" => Run;
    two_effects_of_runs: "puts-twice" => Once;
    two_effects_of_the_first_run: "puts-twice-at-once" => Once Limits;
    a_run_that_failed_and_was_done: "minds-no-exit-code" => Retry;
    what_a_rollback_forgets_of_a_run_before: "forgets-the-first-put" => Rollback;
    a_panic_at_what_is_printed: "panics-at-print" => Retry;
    a_log_without_end: "logs-without-end" => Limits;
    a_run_that_goes_on_after_a_cancel: "leaves-it" => Cancel;
    a_rollback_that_needs_an_output: "forgets-what-was-cut-off" => Rollback;
    a_rollback_that_minds_no_exit_code: "shrugs-at-a-refusal" => Rollback;
    a_dry_run_form_that_writes: "puts-by-peeking" => DryRun;
    a_credential_in_arguments: "says-it-on" => Secrets;
}

flaws! {
    a_good_action_passes: "good" "" => ;
    what_varies_and_is_nowhere: "good" "    varies: [/nowhere]\n" => Run;
    another_end: "ends-otherwise" "" => Run;
    a_read_that_writes: "writes-in-a-read" "" => Run;
    an_output_beside_its_schema: "output-lies" "" => Schemas;
    a_panic_at_an_input_that_its_schema_accepts: "panics-at-input" "" => Schemas;
    an_input_that_its_schema_accepts_and_nobody_understands: "misunderstands" "" => Schemas;
    what_is_kept_in_memory: "remembers-in-memory" "" => Resume;
    what_can_be_gone_on_with_once: "takes-twice" "" => Resume Once;
    more_than_is_recorded: "sends-too-much" "" => Replay;
    two_effects: "posts-twice" "" => Once;
    two_effects_of_the_first_request: "posts-twice-at-once" "" => Once Limits;
    a_429_that_is_taken_for_the_end: "gives-up" "" => Retry;
    a_403_that_is_tried_again: "tries-for-ever" "" => Retry;
    what_goes_on_after_a_cancel: "ignores-cancel" "" => Cancel;
    what_a_rollback_forgets: "half-a-rollback" "    varies: [/said]\n" => Rollback;
    what_a_rollback_forgets_of_an_attempt_before: "forgets-the-first" "    varies: [/said]\n" => Rollback;
    what_is_rolled_back_twice: "rolls-back-once" "" => Rollback;
    a_rollback_that_was_refused_and_says_that_it_is_done: "swallows-a-refusal" "" => Rollback;
    a_get_that_writes: "writes-by-get" "" => DryRun;
    a_body_without_end: "reads-all-there-is" "" => Limits;
    a_credential_in_an_output: "repeats-the-credential" "" => Secrets;
    a_credential_in_a_state: "keeps-the-credential" "" => Secrets;
    a_panic_at_a_state_that_it_never_wrote: "panics-at-its-state" "" => Schemas;
    a_poll_without_end: "polls-for-ever" "" => Retry;
    a_person_who_need_not_be_asked: "asks-a-person" "" => Once;
    another_output_of_another_attempt: "says-which-attempt" "" => Once Retry Limits;
    a_panic_at_a_page: "panics-at-html" "" => Retry;
    a_wait_without_end_at_a_page: "stands-still-at-html" "" => Retry;
    a_cancel_that_does_not_end: "never-stops" "" => Cancel;
    a_credential_in_a_request: "sends-the-credential" "" => Secrets;
    a_topic_in_an_output: "tells-its-topic" "    callback: hello\n" => Secrets;
}

fn file_with_a_flag(ledger: &Ledger, action: &str, before_rollback: &str) -> Conformance {
    let text = format!(
        "certify: v1\ncounterpart: {{ address: '{}' }}\nconnections: {{ ledger: {{ path: /v1 }} }}\nprobes: {{ flag: {{ get: /flag, value: /value }} }}\ncases:\n  - action: {action}\n    prepare: [{{ path: '/flag?to=before' }}]\n    before_rollback: [{before_rollback}]\n",
        ledger.url
    );
    read(&text)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rollback_overwrites_of_somebody_else() {
    let by_somebody = "{ path: '/flag?to=theirs' }";
    finds("sets-back", |ledger| file_with_a_flag(ledger, "sets-back", by_somebody), &[Check::Rollback]).await;
    finds("looks-first", |ledger| file_with_a_flag(ledger, "looks-first", by_somebody), &[]).await;
    // Nothing is judged by what changes nothing.
    finds("looks-first", |ledger| file_with_a_flag(ledger, "looks-first", "{ path: /entries }"), &[Check::Rollback])
        .await;
}

/// Whether this probe sees what an action does, where nothing goes wrong.
async fn sees(action: &str, probe: &str) -> bool {
    let ledger = Ledger::start().await;
    let text = format!(
        "certify: v1\ncounterpart: {{ address: '{}' }}\nconnections: {{ ledger: {{ path: /v1 }} }}\nprobes: {{ n: {{ {probe} }} }}\ncases: [{{ action: {action}, input: {{ title: t }} }}]\n",
        ledger.url
    );
    let only = Only { check: Some(Check::Run), ..Only::default() };
    !certified_by(&read(&text), only).await.expect("it is checked").certification.has_failed()
}

/// What a value was before does not matter, but whether it is another.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_compared_as_values_are() {
    for (action, expected) in [("good", true), ("panics-at-html", true), ("writes-in-a-read", false)] {
        assert_eq!(sees(action, "get: /number, value: /n").await, expected, "{action}");
    }
}

/// What a service marks instead of removing it is not counted.
#[tokio::test(flavor = "multi_thread")]
async fn elements_are_left_out_by_their_values() {
    for (except, expected) in [
        ("{ /open: false }", true),
        ("{ /open: true }", false),
        ("{ /open: [false, gone] }", true),
        ("{ /open: [gone, true] }", false),
    ] {
        assert_eq!(sees("good", &format!("get: /entries, except: {except}")).await, expected, "{except}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_check_can_be_passed() {
    let report = certified("good-at-all", "    callback: hello\n", Only::default()).await.expect("it is checked");
    let checks = &report.certification.actions["good-at-all"];
    assert_eq!(checks.len(), Check::ALL.len());
    let passed = checks.values().all(|it| *it == Outcome::Passed);
    assert!(passed, "{}", report.certification.to_json());
}

/// It fails when it is gone on with, and the case names another failure: its line is wrong, and not its state.
#[tokio::test(flavor = "multi_thread")]
async fn a_case_that_ends_in_another_way_is_told_as_such_whatever_was_asked_for() {
    let more = "    ends: { failed: { code: another, class: rejected } }\n";
    for check in [None, Some(Check::Run), Some(Check::Once)] {
        let only = Only { check, ..Only::default() };
        let Report { certification, .. } = certified("remembers-in-memory", more, only).await.expect("it is checked");
        assert_eq!(failed(&certification), BTreeSet::from([Check::Run]), "{}", certification.to_json());
        let told = certification.to_json();
        assert!(told.contains("it fails with `another` (rejected), as `ends` of the case says"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_something_else_of_itself_breaks_the_contract() {
    let world = world().await;
    let mut manifest: serde_json::Value = serde_json::from_str(&world.manifest).expect("JSON");
    manifest["actions"]["good"]["effect"] = "read".into();
    let component = embed_manifest(&world.component, &manifest.to_string()).expect("a component");
    let ledger = Ledger::start().await;
    let file = file(&ledger, "good", "");
    let subject = Subject {
        component: &component,
        file: &file,
        sandbox: &world.sandbox,
        ours: None,
        only: Only::default(),
        progress: &|_| {},
    };
    let report = certify(subject).await.expect("it is checked");
    let Outcome::Failed { failures } = &report.certification.contract else { panic!("{report:?}") };
    assert!(failures[0].seen.contains("/actions/good/effect"), "{failures:?}");
    assert!(report.certification.has_failed() && !report.certification.certified);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_no_verdict() {
    let error = certified("god", "", Only::default()).await.expect_err("there is no such action").to_string();
    assert!(error.contains("no action `god`; it has"), "{error}");
    let only = Only { action: Some("posts-twice".parse().expect("a name")), ..Only::default() };
    let error = certified("good", "", only).await.expect_err("it has no case").to_string();
    assert!(error.contains("there are `good`"), "{error}");
    for at in [0, 99] {
        let only = Only { check: Some(Check::Once), at: Some(at), ..Only::default() };
        let error = certified("good", "", only).await.expect_err("it has no such scenario").to_string();
        assert!(error.contains(&format!("`once` of `good` has no scenario {at}: it has 2")), "{error}");
    }
    let later = "    before_rollback: [{ path: /entries }]\n";
    for (action, ends, why) in [
        ("good", "", "its action has no `rollback`"),
        ("half-a-rollback", "    ends: { failed: { code: x } }\n", "what fails as it should is not rolled back here"),
    ] {
        let error = certified(action, &format!("{later}{ends}"), Only::default()).await.expect_err("it is for nothing");
        assert!(error.to_string().contains(why), "{error}");
    }
    let prepared = "    prepare: [{ path: /nowhere }]\n";
    let tool = |command: &str| {
        let file = format!(
            "certify: v1\ntools: {{ desk: {{ command: ['{command}', '{{state}}'] }} }}\nconnections: {{ office: {{ kubeconfig: 'a: b' }} }}\nprobes: {{ p: {{ run: [desk, list], count: '' }} }}\ncases: [{{ action: runs-well }}]\n"
        );
        async move { certified_by(&read(&file), Only::default()).await.expect_err("it cannot be run").to_string() }
    };
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("desk");
    std::fs::write(&program, "#!/no/such/shell\n").expect("a file");
    let shown = program.display().to_string();
    assert_eq!(tool(&shown).await, format!("the tool `desk`: {shown} is not executable: `chmod +x` it"));
    let outer = folder.path().display().to_string();
    assert_eq!(tool(&outer).await, format!("the tool `desk`: {outer} is a folder"));
    assert_eq!(tool("no-such-program").await, "the tool `desk`: `no-such-program` is not on the path");
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("ours");
    let told = tool(&shown).await;
    assert!(
        told.starts_with("the probe `p`: `desk list` does not start: ") && told.ends_with("is not there"),
        "{told}"
    );
    let error = certified("good", prepared, Only::default()).await.expect_err("it cannot be prepared").to_string();
    assert!(error.contains("`POST /nowhere` was answered with 404"), "{error}");
    let form = "    prepare: [{ path: /form, form: { a: x y, b: '1' }, keep: { sent: /sent } }, { path: '/nowhere/{sent}' }]\n";
    let error = certified("good", form, Only::default()).await.expect_err("it cannot be prepared").to_string();
    assert!(error.contains("`POST /nowhere/a=x+y&b=1` was answered with 404"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_transcript_has_the_credential() {
    let report = certified("repeats-the-credential", "", Only::default()).await.expect("it is checked");
    let text: String = report.transcripts.iter().map(windlass_certify::Transcript::to_json).collect();
    assert!(!text.is_empty() && !text.contains("windlass-certify-4b1f9c2e7a"), "{text}");
    let read = windlass_certify::Transcript::parse(&report.transcripts[0].to_json()).expect("it reads back");
    assert_eq!(read, report.transcripts[0]);
}
