//! Schedules as people use them, with a process that is killed.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use jiff::{SignedDuration, Timestamp, Unit};
use serde_json::Value;

use crate::support::{Site, eventually, noop};

const QUICK: &str = "windlass: v1\nworkflow: quick\nsteps:\n  look:\n    uses: noop/noop\n";

/// Open until ana approves it.
const HELD: &str = r"windlass: v1
workflow: held
parameters:
  version: { type: string, default: '1' }
steps:
  look:
    uses: noop/noop
    gates:
      - approval: { from: user:ben }
";

fn site() -> Site {
    let site = Site::empty();
    site.good(&["plugin", "install", noop().to_str().expect("text")]);
    site.write("quick.yaml", QUICK);
    site.write("held.yaml", HELD);
    site
}

fn schedule(site: &Site, name: &str) -> Value {
    site.json(&["schedule", "show", name])
}

fn list<'v>(view: &'v Value, key: &str) -> &'v [Value] {
    view[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

#[test]
fn a_one_off_fires_when_it_is_time_and_once() {
    let site = site();
    let mut serve = site.serve();
    let at = (Timestamp::now() + SignedDuration::from_secs(3)).round(Unit::Second).expect("a time");
    let set = ["schedule", "set", "soon", "--at", &at.to_string(), "--workflow", "quick.yaml", "--as", "ana"];
    let view = site.json(&set);
    assert_eq!((view["state"].as_str(), view["fires"].as_bool()), (Some("active"), Some(true)), "{view}");
    let release = site.ended("quick-1");
    assert!(release.succeeded && release.requested_by == "ana", "{release:#?}");
    let created = i64::try_from(release.created_at.as_millis()).expect("a time");
    assert!(created >= at.as_millisecond(), "not before its time");
    let view = eventually("that is told", || Some(schedule(&site, "soon")).filter(|it| it["state"] == "over"));
    assert_eq!(list(&view, "history").len(), 1, "{view}");
    assert_eq!(view["history"][0]["release"], "quick-1");
    // Another process has nothing to make up for.
    serve.kill_9();
    let _serve = site.serve();
    assert_eq!(list(&schedule(&site, "soon"), "history").len(), 1);
    site.check();
}

#[test]
fn what_was_due_while_nothing_ran_comes_at_the_next_start() {
    let site = site();
    // Nothing runs: it is kept all the same, and that nothing will fire it is said.
    for policy in ["latest", "none"] {
        let at = eventually("it is set before its time", || {
            let at = (Timestamp::now() + SignedDuration::from_secs(2)).to_string();
            let set = ["schedule", "set", policy, "--at", &at, "--workflow", "quick.yaml", "--catch-up", policy];
            let ran = site.run(&set);
            assert!(ran.code == Some(0) || ran.stderr.contains("would never come again"), "{ran:?}");
            assert!(ran.code != Some(0) || ran.stderr.contains("nothing fires schedules at the moment"), "{ran:?}");
            (ran.code == Some(0)).then_some(at)
        });
        eventually("its time comes", || (Timestamp::now() > at.parse::<Timestamp>().expect("a time")).then_some(()));
    }
    let refused = site.run(&["schedule", "run", "latest"]);
    assert!(refused.code == Some(2) && refused.stderr.contains("start `windlass serve` first"), "{refused:?}");
    let _serve = site.serve();
    // Both are less than a minute late, which is not late.
    assert!(site.ended("quick-1").succeeded && site.ended("quick-2").succeeded);
}

/// Every second for some seconds, with a process that is killed over and over.
#[test]
fn killed_over_and_over_it_fires_each_second_once() {
    let site = site();
    let mut serve = site.serve();
    let set = [
        "schedule",
        "set",
        "pulse",
        "--cron",
        "* * * * * *",
        "--workflow",
        "quick.yaml",
        "--catch-up",
        "all",
        "--overlap",
        "allow",
    ];
    site.good(&set);
    for round in 1..=5 {
        let seen = list(&schedule(&site, "pulse"), "history").len();
        eventually("another firing", || (list(&schedule(&site, "pulse"), "history").len() > seen).then_some(()));
        serve.kill_9();
        // So that something is missed while nothing runs.
        let down = Timestamp::now() + SignedDuration::from_millis(round * 300);
        eventually("some time has passed", || (Timestamp::now() > down).then_some(()));
        serve = site.serve();
    }
    let seen = list(&schedule(&site, "pulse"), "history").len();
    eventually("what was missed comes", || (list(&schedule(&site, "pulse"), "history").len() > seen).then_some(()));
    let view = site.json(&["schedule", "pause", "pulse", "--as", "ben"]);
    assert_eq!((&view["state"], &view["changes"][1]["by"]), (&"paused".into(), &"ben".into()), "{view}");
    let history = list(&view, "history");
    assert!((7..50).contains(&history.len()), "{} firings", history.len());
    assert!(history.iter().all(|it| it["outcome"] == "started"), "{view}");
    let second = |it: &Value| {
        let due: jiff::Zoned = it["due"].as_str().and_then(|it| it.parse().ok()).expect("a time");
        due.timestamp().as_second()
    };
    for pair in history.windows(2) {
        assert_eq!(second(&pair[0]) + 1, second(&pair[1]), "each second once: {view}");
    }
    let released: BTreeSet<&str> = history.iter().filter_map(|it| it["release"].as_str()).collect();
    let releases = site.json(&["release", "list"]);
    let there: BTreeSet<&str> =
        releases.as_array().into_iter().flatten().filter_map(|it| it["release"].as_str()).collect();
    assert_eq!(there, released, "a release for each firing, and no other");
    assert_eq!(released.len(), history.len());
    serve.stop();
    site.check();
}

#[test]
fn one_that_runs_by_hand_waits_for_the_last_one_or_cancels_it() {
    let site = site();
    let _serve = site.serve();
    let set = |overlap: &str| {
        let command = [
            "schedule",
            "set",
            "held",
            "--cron",
            "@yearly",
            "--workflow",
            "held.yaml",
            "-p",
            "version=2",
            "--overlap",
            overlap,
        ];
        site.json(&command)
    };
    let run = || site.json(&["schedule", "run", "held", "--as", "zoe"]);
    set("skip");
    assert_eq!(run()["history"][0]["release"], "held-1");
    let skipped = run();
    assert_eq!(skipped["history"][1]["reason"], "held-1 still runs", "{skipped}");
    set("queue");
    assert_eq!(list(&run(), "queued").len(), 1);
    assert!(site.show("held-2").is_none(), "it waits");
    // Who ran it by hand is who asked for it.
    site.until("held-1", "it waits for approval", |it| !it.waits.is_empty());
    assert_eq!(site.show("held-1").expect("a release").requested_by, "zoe");
    site.good(&["release", "approve", "held-1", "--as", "ben"]);
    site.until("held-2", "it is held in turn", |it| !it.waits.is_empty());
    set("cancel_running");
    run();
    assert_eq!(site.ended("held-2").state, "canceled");
    site.until("held-3", "the newest runs", |it| !it.waits.is_empty());
    assert_eq!(site.show("held-3").expect("a release").parameters["version"], "2");
    site.good(&["schedule", "delete", "held", "--reason", "the pipeline does it", "--as", "ben"]);
    let gone = site.json(&["schedule", "list", "--deleted"]);
    let told = (&gone[0]["name"], &gone[0]["state"], &gone[0]["deleted"]["by"], &gone[0]["deleted"]["what"]);
    let text = |it: &str| serde_json::Value::String(it.to_owned());
    let expected = [text("held"), text("deleted"), text("ben"), text("the pipeline does it")];
    assert_eq!([told.0, told.1, told.2, told.3], expected.each_ref(), "{gone}");
    let drawn = site.good(&["schedule", "list", "--deleted"]).stdout;
    assert!(drawn.contains("deleted by ben (") && drawn.contains(": the pipeline does it"), "{drawn}");
    let gone = site.run(&["schedule", "show", "held"]);
    assert!(gone.code == Some(2) && gone.stderr.contains("there is no schedule `held`; there are none"), "{gone:?}");
    // Set anew it is there again, and keeps its story.
    let again = set("skip");
    let changes: Vec<&str> = list(&again, "changes").iter().filter_map(|it| it["what"].as_str()).collect();
    assert_eq!(changes.last_chunk(), Some(&["deleted: the pipeline does it", "set"]), "{again}");
    assert_eq!(again["history"][0]["release"], "held-1");
    assert_eq!(site.json(&["schedule", "list", "--deleted"]), serde_json::json!([]));
}

#[test]
fn what_cannot_be_a_schedule_is_refused_and_nothing_is_kept() {
    let site = site();
    let set =
        |arguments: &[&str]| site.run(&[&["schedule", "set", "x", "--workflow", "quick.yaml"], arguments].concat());
    let table: &[(&[&str], &str)] = &[
        (&["--cron", "0 25 * * *"], "0 25 * * *\n  |   ^^ in the field of the hour"),
        (&["--cron", "0 0 30 2 *"], "never comes"),
        (&["--cron", "@daily", "--zone", "Europe/Berln"], "did you mean `Europe/Berlin`?"),
        (&["--at", "2020-01-01T00:00Z"], "would never come again"),
        (&["--at", "noon"], "write `2026-12-01T22:00[Europe/Berlin]`"),
        (&["--cron", "@daily", "--ends", "2020-01-01T00:00Z"], "would never come again"),
        (&["--cron", "@daily", "--catch-up", "some"], "`all:N` for the last N"),
        (&["--cron", "@daily", "--overlap", "maybe"], "`skip`, `queue`, `allow` and `cancel_running`"),
        (&["--cron", "@daily", "-p", "nonsense=1"], "nonsense"),
        (&["--cron", "@daily", "--at", "2030-01-01T00:00Z"], "cannot be used with"),
    ];
    for (arguments, expected) in table {
        let ran = set(arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(expected), "{arguments:?}: {ran:?}");
    }
    site.write("wrong.yaml", "windlass: v1\nworkflow: wrong\nsteps:\n  look:\n    uses: nop/noop\n");
    let wrong = site.run(&["schedule", "set", "x", "--cron", "@daily", "--workflow", "wrong.yaml"]);
    assert!(wrong.code == Some(1) && wrong.stderr.contains("wrong.yaml:5"), "{wrong:?}");
    let name = site.run(&["schedule", "set", "X", "--cron", "@daily", "--workflow", "quick.yaml"]);
    assert!(name.code == Some(2) && name.stderr.contains("`X` is no schedule name"), "{name:?}");
    assert_eq!(site.json(&["schedule", "list"]), serde_json::json!([]));
}

#[test]
fn next_lists_what_comes_across_a_clock_change() {
    let site = Site::empty();
    let next = |arguments: &[&str]| site.good(&[&["schedule", "next"], arguments].concat()).stdout;
    let berlin = ["--cron", "30 2 * * *", "--zone", "Europe/Berlin", "--count", "3"];
    assert_eq!(
        next(&[&berlin[..], &["--from", "2026-03-28T00:00"]].concat()),
        "2026-03-28T02:30:00+01:00[Europe/Berlin]\n\
         2026-03-29T03:00:00+02:00[Europe/Berlin]  (the clock skips the time that is meant)\n\
         2026-03-30T02:30:00+02:00[Europe/Berlin]\n"
    );
    assert_eq!(
        next(&[&berlin[..], &["--from", "2026-10-24T12:00Z"]].concat()),
        "2026-10-25T02:30:00+02:00[Europe/Berlin]\n\
         2026-10-26T02:30:00+01:00[Europe/Berlin]\n\
         2026-10-27T02:30:00+01:00[Europe/Berlin]\n"
    );
    assert!(!site.state().exists(), "nothing is opened for that");
    let kept = self::site();
    let set = ["schedule", "set", "nightly", "--cron", "30 2 * * *", "--zone", "Europe/Berlin"];
    kept.good(&[&set[..], &["--workflow", "quick.yaml"]].concat());
    let of_it = kept.json(&["schedule", "next", "nightly", "--count", "2", "--from", "2040-03-24T12:00"]);
    assert_eq!(of_it[0]["local"], "2040-03-25T03:00:00+02:00[Europe/Berlin]");
    assert_eq!((&of_it[0]["moved"], &of_it[1]["moved"]), (&true.into(), &Value::Null));
}

/// The status and the body of an answer of the API.
fn get(site: &Site, path: &str) -> (u16, Value) {
    let mut socket = UnixStream::connect(site.state().join("socket")).expect("somebody answers");
    write!(socket, "GET {path} HTTP/1.0\r\nhost: windlass\r\n\r\n").expect("written");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).expect("JSON"))
}

#[test]
fn the_api_says_what_is_wrong_and_where() {
    let site = Site::empty();
    let _serve = site.serve();
    let (status, times) =
        get(&site, "/v1/times?cron=30%202%20*%20*%20*&zone=Europe/Berlin&from=2026-03-28T12:00&count=1");
    assert_eq!((status, &times[0]["local"]), (200, &"2026-03-29T03:00:00+02:00[Europe/Berlin]".into()), "{times}");
    let (status, refused) = get(&site, "/v1/times?cron=0%2025%20*%20*%20*");
    let problem = &refused["problems"]["problems"][0];
    assert_eq!((status, &problem["code"], &problem["column"]), (422, &"bad-cron-field".into(), &3.into()), "{refused}");
    let (status, refused) = get(&site, "/v1/times?cron=@daily&zone=Berlin");
    assert_eq!(status, 422, "{refused}");
    assert!(refused["error"].as_str().is_some_and(|it| it.contains("did you mean `Europe/Berlin`?")), "{refused}");
    assert_eq!(get(&site, "/v1/times?cron=@daily&count=1001").0, 422);
    assert_eq!(get(&site, "/v1/schedules/none/next").0, 404);
}
