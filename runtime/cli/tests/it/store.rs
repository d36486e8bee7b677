//! Finished releases are archived and removed, and lists come in pages.

use crate::support::release::{Deployment, RELEASE, payments};
use crate::support::{Site, eventually};

const RUN: [&str; 5] = ["run", "payments.yaml", "--param", "version=1.2.3", "--detach"];

/// Runs a release to its end.
fn run(site: &Site, release: &str) {
    site.good(&RUN);
    site.until(release, "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    site.good(&["release", "approve", release, "--as", "ana"]);
    site.ended(release);
}

/// Every finished release is archived: nothing of it is left to archive.
fn archive(site: &Site, releases: u64) {
    let archived = site.json(&["store", "archive"]);
    assert_eq!(archived["releases"], releases, "{archived}");
    assert_eq!(site.json(&["store", "archive"])["releases"], 0);
    let checked = site.good(&["store", "check"]).stdout;
    assert!(checked.contains("nothing is wrong"), "{checked}");
}

#[test]
fn an_archived_release_is_shown_and_rolled_back_like_any_other() {
    let (site, counterparts) = payments(Deployment::Succeeds, 0, 0);
    let mut serve = site.serve();
    run(&site, RELEASE);
    let before = site.good(&["release", "show", RELEASE]).stdout;
    // It ended just now.
    assert_eq!(site.json(&["store", "archive", "--older-than", "1h"])["releases"], 0);
    archive(&site, 1);
    assert!(site.good(&["store", "check"]).stdout.starts_with("1 releases (1 archived), "));
    assert_eq!(site.good(&["release", "show", RELEASE]).stdout, before);
    serve.kill_9();

    let _serve = site.serve();
    assert_eq!(site.good(&["release", "show", RELEASE]).stdout, before);
    let refused = site.run(&["release", "rerun", RELEASE, "--step", "build", "--reason", "again"]);
    assert!(refused.code == Some(2) && refused.stderr.contains("error: "), "{refused:?}");
    site.good(&["release", "rollback", RELEASE, "--reason", "it was the wrong one"]);
    let view = site.until(RELEASE, "it is rolled back", |it| it.ended && it.state.contains("rolled back"));
    assert_eq!(view.steps.iter().filter(|it| it.state == "rolled back").count(), 2, "{view:#?}");
    let changes: Vec<String> = counterparts.servicenow.effects().into_iter().map(|it| it.kind).collect();
    assert!(changes.ends_with(&["task.updated".to_owned(), "change.updated".to_owned()]), "{changes:?}");
    archive(&site, 1);
}

#[test]
fn an_archived_release_that_failed_is_run_again() {
    let (site, _counterparts) = payments(Deployment::Fails, 0, 0);
    let _serve = site.serve();
    site.good(&RUN);
    site.until(RELEASE, "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    site.good(&["release", "cancel", RELEASE, "--reason", "not today"]);
    eventually("it has ended", || site.show(RELEASE).filter(|it| it.ended));
    archive(&site, 1);
    site.good(&["release", "rerun", RELEASE, "--step", "build", "--reason", "today"]);
    let view = site.until(RELEASE, "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    assert!(!view.ended);
    // Open again, it is not archived.
    archive(&site, 0);
    assert!(site.good(&["store", "check"]).stdout.starts_with("1 releases (1 archived), "));
}

#[test]
fn what_is_young_is_not_removed_and_what_is_asked_for_wrongly_neither() {
    let (site, _counterparts) = payments(Deployment::Succeeds, 0, 0);
    let _serve = site.serve();
    run(&site, RELEASE);
    let dry = site.json(&["store", "expire", "--older-than", "1d", "--dry-run"]);
    assert_eq!((&dry["releases"], &dry["dry_run"]), (&0.into(), &true.into()), "{dry}");
    assert_eq!(site.json(&["store", "expire", "--older-than", "1d"])["releases"], 0);
    for (arguments, said) in [
        (&["store", "expire"][..], "--older-than <TIME>"),
        (&["store", "expire", "--older-than", "400"], "`400` is no length of time"),
        (&["store", "expire", "--older-than", "0s"], "not 0"),
        (&["store", "archive", "--older-than", "soon"], "`soon` is no length of time"),
        (&["serve", "--retention", "400m"], "a retention is at least 1d"),
        (&["release", "list", "--limit", "0"], "invalid value '0'"),
    ] {
        let refused = site.run(arguments);
        assert!(refused.code == Some(2) && refused.stderr.contains(said), "{arguments:?}: {refused:?}");
    }
    assert!(site.show(RELEASE).expect("it is there").succeeded);

    // A millisecond is long ago enough; the release, its log and its number's successor.
    let log = site.state().join("logs").join(format!("{RELEASE}.jsonl"));
    assert!(log.is_file());
    let dry = site.json(&["store", "expire", "--older-than", "1ms", "--dry-run"]);
    assert_eq!((&dry["releases"], &dry["examples"]), (&1.into(), &serde_json::json!([RELEASE])), "{dry}");
    assert!(site.show(RELEASE).is_some());
    assert_eq!(site.json(&["store", "expire", "--older-than", "1ms"])["releases"], 1);
    assert!(site.show(RELEASE).is_none() && !log.exists());
    assert!(site.good(&["store", "check"]).stdout.contains("nothing is wrong"));
    run(&site, "payments-2");
}

#[test]
fn a_list_has_the_newest_and_says_that_there_are_more() {
    let (site, _counterparts) = payments(Deployment::Succeeds, 0, 0);
    let _serve = site.serve();
    for number in 1..=3 {
        site.good(&RUN);
        let release = format!("payments-{number}");
        site.until(&release, "it waits", |it| it.waits.iter().any(|it| it.cause == "approval"));
    }
    site.good(&["release", "cancel", "payments-2", "--reason", "not this one"]);
    eventually("it has ended", || site.show("payments-2").filter(|it| it.ended));
    let listed = |arguments: &[&str]| -> Vec<String> {
        let listed = site.json(&[&["release", "list"], arguments].concat());
        listed.as_array().expect("a list").iter().map(|it| it["release"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(listed(&[]), ["payments-1", "payments-2", "payments-3"]);
    assert_eq!(listed(&["--limit", "2"]), ["payments-2", "payments-3"]);
    assert_eq!(listed(&["--open"]), ["payments-1", "payments-3"]);
    assert_eq!(listed(&["--open", "--limit", "1"]), ["payments-3"]);
    assert_eq!(listed(&["--in-state", "canceled"]), ["payments-2"]);
    assert_eq!(listed(&["--in-state", "rollback blocked"]), [""; 0]);
    let refused = site.run(&["release", "list", "--in-state", "canceld"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("states are `queued`, `running`"), "{refused:?}");
    assert!(refused.stderr.contains("did you mean `canceled`?"), "{refused:?}");
    let cut = site.good(&["release", "list", "--limit", "2"]);
    assert!(cut.stderr.contains("the newest 2; --limit shows more"), "{cut:?}");
    let whole = site.good(&["release", "list", "--limit", "3"]);
    assert!(!whole.stderr.contains("--limit shows more"), "{whole:?}");

    let page = |query: &str| site.get(&format!("/v1/releases{query}"));
    let (status, first) = page("?limit=2");
    assert_eq!(
        (status, &first["next"], &first["releases"][0]["release"]),
        (200, &"payments-2".into(), &"payments-3".into())
    );
    let (_, second) = page("?limit=2&after=payments-2");
    assert_eq!((&second["next"], &second["releases"][0]["release"]), (&serde_json::Value::Null, &"payments-1".into()));
    for (query, status, said) in [
        ("?limit=0", 400, "from 1 to 1000"),
        ("?limit=1001", 400, "from 1 to 1000"),
        ("?after=payments-9", 404, "no release `payments-9`"),
        ("?after=Nobody", 400, "Nobody"),
    ] {
        let (found, body) = page(query);
        let error = body["error"].as_str().unwrap_or_default().to_owned();
        assert!(found == status && error.contains(said), "{query}: {found} {body}");
    }
}

/// Garbles the second record of a release behind the store's back.
fn garble(site: &Site, workflow: &str, number: u64) {
    // Whoever opens the store hands sled what the process that was killed had only in its log of commits.
    site.good(&["release", "list"]);
    let folder = site.state().join("store/data/sled");
    // sled lets go of its lock a moment after the process that had it.
    let database = eventually("the store is free", || sled::open(&folder).ok());
    let mut key = vec![b'j'];
    key.extend(workflow.as_bytes());
    key.push(0);
    key.extend(number.to_be_bytes());
    key.extend(1_u64.to_be_bytes());
    let before = database.insert(key, &[1, 0, 0xff][..]).expect("inserted");
    assert!(before.is_some(), "the record is where this looks for it");
    database.flush().expect("flushed");
}

#[test]
fn a_release_with_a_damaged_journal_is_quarantined_and_all_others_go_on() {
    let (site, counterparts) = payments(Deployment::Succeeds, 0, 0);
    let mut serve = site.serve();
    // One that waits for somebody, and one in which something goes on: both ways by which a release comes back.
    counterparts.slow_down(400);
    for release in ["payments-1", "payments-2"] {
        site.good(&RUN);
        site.until(release, "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    }
    site.good(&RUN);
    site.until("payments-3", "it has begun", |it| it.records >= 2);
    serve.kill_9();
    garble(&site, "payments", 1);
    garble(&site, "payments", 3);
    let _serve = site.serve();
    site.good(&["release", "approve", "payments-2", "--as", "ana"]);
    assert!(site.ended("payments-2").succeeded, "nobody else is in its way");
    // Nobody looks at a release that waits until somebody wants something of it.
    let refused = site.run(&["release", "approve", "payments-1", "--step", "deploy", "--as", "ana"]);
    assert!(
        refused.code == Some(2) && refused.stderr.contains("record 1 of release payments-1 is damaged"),
        "{refused:?}"
    );
    for release in ["payments-1", "payments-3"] {
        let says = format!("release {release} is quarantined: record 1 of release {release} is damaged");
        eventually("it is in quarantine", || {
            site.run(&["release", "show", release]).stderr.contains(&says).then_some(())
        });
    }
    for (release, asked) in [("payments-1", "cancel"), ("payments-3", "rollback")] {
        let refused = site.run(&["release", asked, release, "--reason", "it is in the way"]);
        let says = format!("release {release} is quarantined: record 1 of release {release} is damaged");
        assert!(refused.code == Some(2) && refused.stderr.contains(&says), "{refused:?}");
    }
    let listed = site.good(&["release", "list"]);
    assert!(!listed.stdout.contains("payments-1") && listed.stdout.contains("payments-2"), "{listed:?}");
    assert!(listed.stderr.contains("in quarantine, out of use: payments-1: record 1 of release"), "{listed:?}");
    let checked = site.run(&["store", "check"]);
    for release in ["payments-1", "payments-3"] {
        let line = format!("in quarantine, out of use: {release}: record 1 of release {release} is damaged");
        assert!(checked.stdout.contains(&line), "{checked:?}");
    }
    assert!(checked.stdout.contains("nothing is wrong"), "nothing else is: {checked:?}");
    // A release that nobody can read is in nobody's way back, and may be on top of what goes back.
    let preview = site.json(&["release", "rollback", "payments-2", "--preview"]);
    assert_eq!(preview["newer"], serde_json::json!(["payments-3"]), "{preview}");
    site.good(&["release", "rollback", "payments-2", "--reason", "back"]);
    assert_eq!(site.ended("payments-2").state, "rolled back");
    site.good(&RUN);
    assert!(site.show("payments-4").is_some(), "their numbers are not used again");
}
