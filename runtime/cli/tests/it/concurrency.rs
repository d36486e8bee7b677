//! Releases that wait for each other: groups in their four orders, limits of tenants and of the whole installation,
//! priorities, and what a release that waits survives.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};
use windlass_server::admission::QueueView;
use windlass_server::view::{ReleaseView, WaitView};

use crate::support::{Site, noop};

/// A release of it runs until ana approves.
fn file(name: &str, top: &str) -> String {
    format!(
        "windlass: v1\nworkflow: {name}\n{top}steps:\n  work:\n    uses: noop/noop\n    gates: [{{ approval: {{ from: user:ana }} }}]\n"
    )
}

fn site() -> Site {
    let site = Site::empty();
    site.good(&["plugin", "install", noop().to_str().expect("text")]);
    site
}

fn start(site: &Site, name: &str, more: &[&str]) -> String {
    let file = format!("{name}.yaml");
    let started = site.json(&[&["run", file.as_str(), "--detach"], more].concat());
    started["release"].as_str().expect("a release").to_owned()
}

fn place(view: &ReleaseView) -> Option<&WaitView> {
    view.waits.iter().find(|it| it.cause == "queue")
}

/// Waits until a release waits with this text.
fn queued(site: &Site, release: &str, text: &str) -> QueueView {
    let view = site.until(release, text, |it| place(it).is_some_and(|it| it.text == text));
    let wait = place(&view).expect("just seen");
    assert_eq!((view.state.as_str(), view.headline.as_str()), ("queued", text));
    assert_eq!(wait.command, format!("windlass release cancel {release} --reason …"));
    assert!(!wait.owner.is_empty() && view.steps.iter().all(|it| it.state == "waiting"), "{view:#?}");
    wait.queue.clone().expect("its place")
}

fn runs(site: &Site, release: &str) {
    site.until(release, "it runs", |it| it.waits.iter().any(|it| it.cause == "approval"));
}

fn finish(site: &Site, release: &str) {
    runs(site, release);
    site.good(&["release", "approve", release, "--as", "ana"]);
    assert!(site.ended(release).succeeded, "{release}");
}

fn refused(site: &Site, arguments: &[&str], says: &str) {
    let ran = site.run(arguments);
    assert!(ran.code == Some(2) && ran.stderr.contains(says), "{arguments:?}: {ran:?}");
}

#[test]
fn releases_of_a_group_go_on_in_its_order() {
    let site = site();
    let _serve = site.serve();
    for (order, expected) in [
        ("oldest_first", [1, 4, 2, 3]),
        ("unordered", [1, 4, 2, 3]),
        ("newest_first", [1, 4, 3, 2]),
        ("latest_only", [1, 4, 0, 0]),
    ] {
        let name = order.replace('_', "-");
        let group = format!(
            "parameters: {{ where: {{ type: string }} }}\nconcurrency: {{ group: '{name}-${{{{ parameters.where }}}}', order: {order} }}\n"
        );
        site.write(&format!("{name}.yaml"), &file(&name, &group));
        let param = ["--param", "where=prod"];
        let first = start(&site, &name, &param);
        runs(&site, &first);
        for number in 2..=3 {
            let release = start(&site, &name, &param);
            assert_eq!(release, format!("{name}-{number}"));
            site.until(&release, "it waits", |it| it.state == "queued");
        }
        let urgent = start(&site, &name, &["--param", "where=prod", "--priority", "urgent"]);
        let count = if order == "latest_only" { 1 } else { 3 };
        let told = queued(&site, &urgent, &format!("group {name}-prod: {first} runs; 1st of {count} in line"));
        assert_eq!((told.r#for.as_str(), told.holders), ("group", vec![first]));
        // Another group of the same workflow has nothing to do with it.
        let elsewhere = start(&site, &name, &["--param", "where=test"]);
        finish(&site, &elsewhere);
        for number in expected.into_iter().filter(|it| *it > 0) {
            finish(&site, &format!("{name}-{number}"));
        }
        if order == "latest_only" {
            for (number, newer) in [(2, 3), (3, 4)] {
                let view = site.ended(&format!("{name}-{number}"));
                let why = format!("{name}-{newer} is newer, and only the newest that waits goes on");
                assert_eq!((view.state.as_str(), view.headline), ("canceled", format!("canceled: {why}")));
                let story = site.good(&["release", "show", &view.release]).stdout;
                assert!(story.contains(&format!("{name}-{newer} is newer")), "{story}");
            }
        }
    }
    site.check();
}

#[test]
fn who_waits_and_who_runs_is_as_it_was_after_kill_9() {
    let site = site();
    site.write("a.yaml", &file("a", "concurrency: { group: one }\n"));
    let mut serve = site.serve();
    let releases: Vec<String> = (1..=4).map(|_| start(&site, "a", &[])).collect();
    runs(&site, &releases[0]);
    queued(&site, "a-4", "group one: a-1 runs; 3rd of 3 in line");
    serve.kill_9();
    // While nothing runs it is told all the same, and one that waits can be canceled.
    queued(&site, "a-3", "group one: a-1 runs; 2nd of 3 in line");
    site.check();
    site.good(&["release", "cancel", "a-2", "--reason", "not needed"]);
    assert_eq!(site.ended("a-2").state, "canceled");
    let mut serve = site.serve();
    queued(&site, "a-3", "group one: a-1 runs; 1st of 2 in line");
    // One that holds is killed with the process at once after it was let in.
    finish(&site, "a-1");
    serve.kill_9();
    let mut serve = site.serve();
    runs(&site, "a-3");
    queued(&site, "a-4", "group one: a-3 runs; 1st of 1 in line");
    site.good(&["release", "cancel", "a-4", "--reason", "not needed"]);
    assert_eq!(site.ended("a-4").state, "canceled");
    finish(&site, "a-3");
    // Begun and ended by commands of their own, with nobody in between.
    serve.stop();
    site.write(
        "quick.yaml",
        "windlass: v1\nworkflow: quick\nconcurrency: { group: one }\nsteps:\n  work: { uses: noop/noop }\n",
    );
    assert!(site.good(&["run", "quick.yaml"]).stdout.contains("succeeded"));
    site.check();
}

#[test]
fn tenants_have_their_share_and_an_installation_as_much_as_it_can_take() {
    let site = site();
    for tenant in ["web", "shop"] {
        site.write(&format!("{tenant}.yaml"), &file(tenant, &format!("tenant: {tenant}\n")));
    }
    site.write("plain.yaml", &file("plain", ""));
    // Without a process that runs, too.
    let set = site.json(&["limit", "set", "--tenant", "web", "--releases", "2", "--as", "ben"]);
    assert_eq!((&set["tenant"], &set["releases"], &set["set_by"]), (&json!("web"), &json!(2), &json!("ben")));
    let mut serve = site.serve();
    for release in ["web-1", "web-2"] {
        assert_eq!(start(&site, "web", &[]), release);
        runs(&site, release);
    }
    start(&site, "web", &[]);
    let told = queued(&site, "web-3", "tenant web: 2 of 2 releases run; 1st of 1 in line");
    assert_eq!((told.r#for.as_str(), told.name.as_str()), ("tenant", "web"));
    // What runs already counts when a limit is set while it does.
    start(&site, "plain", &[]);
    runs(&site, "plain-1");
    site.good(&["limit", "set", "--releases", "3"]);
    start(&site, "plain", &[]);
    start(&site, "shop", &[]);
    queued(&site, "plain-2", "3 of 3 releases run; 2nd of 3 in line");
    serve.kill_9();
    let _serve = site.serve();
    queued(&site, "shop-1", "3 of 3 releases run; 3rd of 3 in line");
    // Of shop none runs: it goes before those that came before it.
    finish(&site, "web-1");
    runs(&site, "shop-1");
    let list: Value = site.json(&["limit", "list"]);
    let of = |at: usize, what: &str| list[at][what].clone();
    assert_eq!((of(0, "releases"), of(0, "running_now"), of(0, "waiting_now")), (json!(3), json!(3), json!(2)));
    assert_eq!((of(1, "tenant"), of(1, "running_now"), of(1, "waiting_now")), (json!("web"), json!(1), json!(1)));
    let drawn = site.good(&["limit", "list"]).stdout;
    assert!(drawn.contains("installation  3 of 3 run  2 of 10000 wait  set by "), "{drawn}");
    // An urgent one goes before all that wait.
    start(&site, "plain", &["--priority", "urgent"]);
    queued(&site, "plain-3", "3 of 3 releases run; 1st of 3 in line");
    finish(&site, "web-2");
    runs(&site, "plain-3");
    // What is lifted holds nobody any more.
    site.good(&["limit", "remove"]);
    runs(&site, "plain-2");
    runs(&site, "web-3");
    for release in ["plain-1", "plain-2", "plain-3", "shop-1", "web-3"] {
        finish(&site, release);
    }
    refused(&site, &["limit", "remove"], "no limit is set for installation; set are tenant:web");
    refused(&site, &["limit", "set"], "say how many releases may run");
    refused(&site, &["limit", "set", "--releases", "0"], "`releases` is a whole number from 1 to 1000000, not 0");
    refused(&site, &["limit", "set", "--tenant", "Web", "--releases", "1"], "`Web` is no tenant name");
    site.check();
}

#[test]
fn what_runs_is_counted_without_limits_and_what_is_urgent_says_so() {
    let site = site();
    site.write("plain.yaml", &file("plain", ""));
    let mut serve = site.serve();
    start(&site, "plain", &["--priority", "urgent"]);
    start(&site, "plain", &[]);
    runs(&site, "plain-1");
    runs(&site, "plain-2");
    let counted = || {
        let all = site.json(&["limit", "list"]);
        assert_eq!((&all[0]["running_now"], &all[0]["waiting_now"]), (&json!(2), &json!(0)), "{all}");
    };
    counted();
    let list = site.json(&["release", "list"]);
    assert_eq!((&list[0]["priority"], &list[1]["priority"]), (&json!("urgent"), &Value::Null), "{list}");
    let drawn = site.good(&["release", "list"]).stdout;
    assert_eq!(drawn.matches("urgent").count(), 1, "{drawn}");
    assert!(
        site.good(&["release", "show", "plain-1"]).stdout.lines().next().is_some_and(|it| it.ends_with("· urgent"))
    );
    assert_eq!(site.show("plain-2").expect("a release").priority, None);
    // Whoever only looks tells the same.
    serve.kill_9();
    counted();
}

#[test]
fn of_several_files_each_is_validated_though_one_does_not_take_the_parameters() {
    let site = site();
    let _serve = site.serve();
    let version = "parameters: { version: { type: string } }\n";
    for (name, top) in [("first", ""), ("second", version), ("third", version)] {
        site.write(&format!("{name}.yaml"), &file(name, top));
    }
    let arguments = ["validate", "first.yaml", "second.yaml", "third.yaml", "--param", "version=1"];
    let ran = site.run(&arguments);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("first.yaml: ") && ran.stderr.contains("version"), "{ran:?}");
    assert_eq!(ran.stdout.matches("can be released").count(), 2, "{ran:?}");
    let json = site.run(&[&["--json"], &arguments[..]].concat());
    let checked: Value = serde_json::from_str(&json.stdout).expect("JSON");
    let said = checked["first.yaml"][0]["message"].as_str().expect("a message");
    assert!(json.code == Some(2) && said.contains("version") && checked["third.yaml"] == json!([]), "{checked}");
}

#[test]
fn when_too_many_wait_more_are_refused_and_nothing_is_left_of_them() {
    let site = site();
    site.write("a.yaml", &file("a", "concurrency: { group: one }\n"));
    site.write("plain.yaml", &file("plain", ""));
    let _serve = site.serve();
    site.good(&["limit", "set", "--waiting", "1"]);
    start(&site, "a", &[]);
    runs(&site, "a-1");
    start(&site, "a", &[]);
    queued(&site, "a-2", "group one: a-1 runs; 1st of 1 in line");
    refused(&site, &["run", "a.yaml", "--detach"], "1 releases wait already, and 1 may: start it when fewer do");
    let body = json!({ "file": "a.yaml", "workflow": file("a", "concurrency: { group: one }\n") }).to_string();
    let mut socket = UnixStream::connect(site.state().join("socket")).expect("somebody answers");
    let head = format!(
        "POST /v1/releases HTTP/1.0\r\nhost: windlass\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(format!("{head}{body}").as_bytes()).expect("written");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    assert!(answer.lines().next().is_some_and(|it| it.contains(" 429 ")), "{answer}");
    // What need not wait is started all the same, and what runs is not touched.
    start(&site, "plain", &[]);
    finish(&site, "plain-1");
    finish(&site, "a-1");
    finish(&site, "a-2");
    let next = start(&site, "a", &[]);
    finish(&site, &next);
    let releases = site.json(&["release", "list"]);
    assert_eq!(releases.as_array().or(releases["releases"].as_array()).map(Vec::len), Some(4), "{releases}");
    // A group without a name is refused before anything is recorded.
    site.write(
        "named.yaml",
        &file(
            "named",
            "parameters: { where: { type: string, default: '' } }\nconcurrency: { group: '${{ parameters.where }}' }\n",
        ),
    );
    refused(&site, &["run", "named.yaml", "--detach"], "the concurrency group would be \"\"");
}

const PART: &str = "windlass: v1\nworkflow: part\nconcurrency: { group: GROUP }\nsteps:\n  work: { uses: noop/noop }\n";

const OUTER: &str = r"windlass: v1
workflow: outer
concurrency: { group: one }
steps:
  part: { uses: ./part.yaml }
  wait:
    needs: [part]
    uses: noop/noop
    gates: [{ approval: { from: user:ana } }]
";

#[test]
fn a_release_inside_of_another_is_in_its_place_and_waits_for_no_limit() {
    let site = site();
    site.write("outer.yaml", OUTER);
    site.write("part.yaml", &PART.replace("GROUP", "one"));
    site.write("a.yaml", &file("a", "concurrency: { group: two }\n"));
    let mut serve = site.serve();
    site.good(&["limit", "set", "--releases", "2"]);
    start(&site, "a", &[]);
    start(&site, "outer", &[]);
    runs(&site, "outer-1");
    assert!(site.ended("part-1").succeeded);
    finish(&site, "outer-1");
    // One that needs a place that none of those around it has waits for that, and says so.
    site.write("part.yaml", &PART.replace("GROUP", "two"));
    start(&site, "outer", &["--priority", "urgent"]);
    queued(&site, "part-2", "group two: a-1 runs; 1st of 1 in line");
    serve.kill_9();
    let _serve = site.serve();
    queued(&site, "part-2", "group two: a-1 runs; 1st of 1 in line");
    assert_eq!(site.show("outer-2").expect("a release").state, "running");
    site.good(&["release", "cancel", "outer-2", "--reason", "enough"]);
    assert_eq!(site.ended("outer-2").state, "canceled");
    assert_eq!(site.ended("part-2").state, "canceled");
    start(&site, "outer", &[]);
    queued(&site, "part-3", "group two: a-1 runs; 1st of 1 in line");
    finish(&site, "a-1");
    assert!(site.ended("part-3").succeeded);
    finish(&site, "outer-3");
    site.check();
}

#[test]
fn a_place_is_kept_through_a_pause_and_a_rollback_until_the_release_is_over() {
    let site = site();
    site.write("outer.yaml", OUTER);
    // There is no way back for the inner release, so that its step's rollback waits for a person.
    site.write("part.yaml", &PART.replace("GROUP", "one").replace("uses: noop/noop", "uses: noop/noop, pivot: true"));
    let _serve = site.serve();
    start(&site, "outer", &[]);
    runs(&site, "outer-1");
    start(&site, "outer", &[]);
    let text = "group one: outer-1 runs; 1st of 1 in line";
    queued(&site, "outer-2", text);
    site.good(&["release", "pause", "outer-1", "--reason", "lunch"]);
    // Old as it is, the inner release stays as long as the outer one is open.
    site.ended("part-1");
    site.good(&["store", "expire", "--older-than", "1ms"]);
    assert!(site.show("part-1").is_some());
    site.good(&["release", "rollback", "outer-1", "--reason", "back"]);
    site.until("outer-1", "its rollback is blocked", |it| it.state == "rollback blocked");
    queued(&site, "outer-2", text);
    site.good(&["release", "settle", "outer-1", "--step", "part", "--done", "--reason", "looked at"]);
    assert_eq!(site.ended("outer-1").state, "rolled back");
    runs(&site, "outer-2");
    // Rolled back after its end it takes its place again, whoever has it by now; those that wait wait for both.
    finish(&site, "outer-2");
    start(&site, "outer", &[]);
    runs(&site, "outer-3");
    site.ended("part-2");
    site.good(&["store", "expire", "--older-than", "1ms"]);
    finish(&site, "outer-3");
    site.check();
}

#[test]
fn a_rehearsal_waits_for_rehearsals_only_and_nobody_else_waits_for_one() {
    let site = site();
    site.write("one.yaml", &file("one", "concurrency: { group: one }\n"));
    let _serve = site.serve();
    let rehearse = || {
        let started = site.json(&["rehearse", "one.yaml", "--detach"]);
        started["release"].as_str().expect("a release").to_owned()
    };
    let first = start(&site, "one", &[]);
    runs(&site, &first);
    let rehearsal = rehearse();
    runs(&site, &rehearsal);
    queued(&site, &rehearse(), &format!("group rehearsals of one: {rehearsal} runs; 1st of 1 in line"));
    let second = start(&site, "one", &[]);
    queued(&site, &second, &format!("group one: {first} runs; 1st of 1 in line"));
    finish(&site, &first);
    runs(&site, &second);
}

#[test]
fn a_dry_run_takes_no_place() {
    let site = Site::new();
    // It takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    site.good(&["connection", "add", "silent", "--url", &url, "--private-network"]);
    let asks = "windlass: v1\nworkflow: asks\nconcurrency: { group: one }\nsteps:\n  work:\n    uses: http/get\n    connection: silent\n    with: { path: /state }\n";
    site.write("asks.yaml", asks);
    site.write("one.yaml", &file("one", "concurrency: { group: one }\n"));
    let mut serve = site.serve();
    site.good(&["limit", "set", "--releases", "1"]);
    let dry = || {
        let dry = start(&site, "asks", &["--dry-run"]);
        site.until(&dry, "it asks", |it| it.steps[0].state == "running");
        dry
    };
    let before = dry();
    let first = start(&site, "one", &[]);
    runs(&site, &first);
    // One that begins while there is no place begins, too.
    let after = dry();
    let running = || site.json(&["limit", "list"])[0]["running_now"].clone();
    assert_eq!(running(), 1);
    serve.kill_9();
    let _serve = site.serve();
    runs(&site, &first);
    assert_eq!(running(), 1);
    finish(&site, &first);
    finish(&site, &start(&site, "one", &[]));
    for dry in [before, after] {
        site.good(&["release", "cancel", &dry, "--reason", "seen"]);
        assert_eq!(site.ended(&dry).state, "canceled");
    }
    site.check();
}
