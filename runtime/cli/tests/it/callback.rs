//! Steps that wait to be called back, called over the network: in time, early, twice, by liars, too late, and across
//! the death of the process.

use std::net::TcpListener;

use serde_json::json;
use windlass_server::view::ReleaseView;

use crate::support::Site;
use crate::support::asked::{Ask, Asked, call, raw, request};

const WORKFLOW: &str = r"windlass: v1
workflow: asking
parameters:
  needs_url: { type: boolean, default: false }
steps:
  ask:
    uses: noop/ask@^0.1
    connection: other
    with: { needs_url: '${{ parameters.needs_url }}' }
outputs:
  said: ${{ steps.ask.output.said }}
  from: ${{ steps.ask.output.from }}
";

const SERVE: [&str; 3] = ["serve", "--callbacks", "127.0.0.1:0"];

fn asking() -> (Site, Asked) {
    let (site, asked) = (Site::new(), Asked::start());
    site.write("asking.yaml", WORKFLOW);
    site.good(&["connection", "add", "other", "--url", &asked.url, "--private-network"]);
    (site, asked)
}

fn run(site: &Site) {
    site.good(&["run", "asking.yaml", "--detach"]);
}

fn is_suspended(view: &ReleaseView) -> bool {
    view.steps[0].state == "suspended"
}

fn suspended(site: &Site, release: &str) {
    site.until(release, "it waits to be called back", is_suspended);
}

fn outputs(site: &Site, release: &str) -> serde_json::Value {
    let view = site.ended(release);
    assert!(view.succeeded, "{view:#?}");
    serde_json::to_value(&view).expect("JSON")["outputs"].clone()
}

/// How often each of these is in the release's story.
fn story(site: &Site, release: &str) -> Vec<String> {
    let shown = site.json(&["release", "show", release]);
    shown["story"].as_array().into_iter().flatten().filter_map(|it| it["text"].as_str()).map(str::to_owned).collect()
}

fn count(story: &[String], text: &str) -> usize {
    story.iter().filter(|it| it.contains(text)).count()
}

const KEPT: &str = "was called back before it waited for it: kept";
const WOKEN: &str = "was called back";

#[test]
fn a_step_is_called_back_once() {
    let (site, asked) = asking();
    let _serve = site.start(&SERVE);
    run(&site);
    let ask = asked.next();
    let url = ask.url().to_owned();
    ask.answer();
    suspended(&site, "asking-1");
    // What is not a callback is refused, and changes nothing.
    let (base, topic) = url.rsplit_once('/').expect("a topic");
    let other = format!("wcb_A{}", &topic[5..]);
    for liar in [&topic[..topic.len() - 1], &other, "", "wcb_", "%00", &topic.to_ascii_lowercase()] {
        let said = call(&format!("{base}/{liar}"), "{}");
        assert_eq!(said, (404, "{\"error\":\"there is no such callback\"}\n".to_owned()), "{liar}");
    }
    let root = base.strip_suffix("/callbacks").expect("the path");
    for path in ["/v1/status", "/v1/releases", "/", &format!("/v1/callbacks/{topic}"), &format!("/callbacks/x/{topic}")]
    {
        assert_eq!(call(&format!("{root}{path}"), "{}").0, 404, "{path}");
    }
    assert_eq!(request("GET", &url, b"").0, 405);
    let large = vec![b'x'; 256 * 1024 + 1];
    let head = format!("POST /callbacks/{topic} HTTP/1.1\r\nhost: x\r\n");
    assert_eq!(
        raw(&url, format!("{head}content-length: {}\r\n\r\n", large.len()).as_bytes()),
        "HTTP/1.1 413 Payload Too Large"
    );
    let chunked = [head.as_bytes(), b"transfer-encoding: chunked\r\n\r\n40001\r\n", &large, b"\r\n0\r\n\r\n"].concat();
    assert_eq!(raw(&url, &chunked), "HTTP/1.1 413 Payload Too Large");
    let many = format!("{head}{}\r\n\r\n", "x-a: b\r\n".repeat(65));
    assert_eq!(raw(&url, many.as_bytes()), "HTTP/1.1 431 Request Header Fields Too Large");
    let long = format!("{head}x-a: {}\r\n\r\n", "b".repeat(17 * 1024));
    assert_eq!(raw(&url, long.as_bytes()), "HTTP/1.1 431 Request Header Fields Too Large");
    assert!(is_suspended(&site.show("asking-1").expect("the release")));
    assert_eq!(count(&story(&site, "asking-1"), WOKEN), 0);
    // The one who was asked calls: as a client does, with a query of its own.
    assert_eq!(call(&format!("{url}?by=me"), "it is ready"), (202, "{\"callback\":\"taken\"}\n".to_owned()));
    assert_eq!(outputs(&site, "asking-1"), json!({ "said": "it is ready", "from": "outside" }));
    let story = story(&site, "asking-1");
    assert_eq!((count(&story, KEPT), count(&story, WOKEN)), (0, 1), "{story:#?}");
    assert_eq!(call(&url, "again").0, 410);
    site.check();
}

#[test]
fn a_callback_that_comes_before_the_step_waits_is_kept() {
    let (site, asked) = asking();
    let _serve = site.start(&SERVE);
    run(&site);
    // The step is in its first call, which ends when the other side answers.
    let ask = asked.next();
    let url = ask.url().to_owned();
    assert_eq!(call(&url, "early").0, 202);
    assert_eq!(count(&story(&site, "asking-1"), KEPT), 1, "it is durable");
    let (status, text) = call(&url, "twice");
    assert_eq!((status, text.contains("come before")), (409, true), "{text}");
    ask.answer();
    assert_eq!(outputs(&site, "asking-1")["said"], "early");
    assert_eq!(call(&url, "late").0, 410);
}

#[test]
fn what_is_kept_survives_kill_9_and_is_taken_by_hand_while_nothing_runs() {
    let (site, asked) = asking();
    let mut serve = site.start(&SERVE);
    for release in ["asking-1", "asking-2"] {
        run(&site);
        let _ = site.until(release, "it runs", |it| it.steps[0].state == "running");
    }
    let asks = [asked.next(), asked.next()];
    // Which of them is whose, the topics say to nobody but Windlass.
    assert_eq!(call(asks[0].url(), "kept before the end").0, 202);
    serve.kill_9();
    // The other one is called while nothing runs, by an operator who was given the address.
    site.write("body.txt", "kept after the end");
    let url = asks[1].url().to_owned();
    let called = site.good(&["release", "callback", &url, "--body", "body.txt"]);
    assert!(called.stderr.contains("nothing runs"), "{called:?}");
    let refused = site.run(&["release", "callback", &url]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("has come before") && !refused.stderr.contains("wcb_"), "{refused:?}");
    let _serve = site.start(&SERVE);
    // The calls that were cut off are made again, with the topics that they had.
    let again = [asked.next(), asked.next()];
    let topics = |asks: &[Ask]| {
        let mut topics: Vec<String> = asks.iter().map(|it| it.topic.clone()).collect();
        topics.sort();
        topics
    };
    assert_eq!(topics(&asks), topics(&again));
    again.into_iter().for_each(Ask::answer);
    let mut said = ["asking-1", "asking-2"].map(|it| outputs(&site, it)["said"].as_str().expect("a text").to_owned());
    said.sort();
    assert_eq!(said, ["kept after the end", "kept before the end"]);
    site.check();
}

#[test]
fn a_suspended_step_is_called_back_after_kill_9_at_a_new_address() {
    let (site, asked) = asking();
    let mut serve = site.start(&SERVE);
    run(&site);
    let ask = asked.next();
    let topic = ask.topic.clone();
    ask.answer();
    suspended(&site, "asking-1");
    serve.kill_9();
    let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port();
    let address = format!("127.0.0.1:{port}");
    let base = format!("http://{address}/hooks");
    let _serve = site.start(&["serve", "--callbacks", &address, "--callback-url", &format!("{base}/")]);
    assert_eq!(call(&format!("http://{address}/callbacks/{topic}"), "elsewhere").0, 404);
    assert_eq!(call(&format!("{base}/callbacks/{topic}"), "back").0, 202);
    assert_eq!(outputs(&site, "asking-1")["said"], "back");
    run(&site);
    let ask = asked.next();
    assert_eq!(ask.url(), format!("{base}/callbacks/{}", ask.topic));
}

#[test]
fn where_no_callbacks_are_taken_from_the_network_everybody_is_told() {
    let (site, asked) = asking();
    let _serve = site.serve();
    // One that can do without an address gets none, and is called by hand.
    run(&site);
    let ask = asked.next();
    assert_eq!(ask.url, None);
    let topic = ask.topic.clone();
    ask.answer();
    suspended(&site, "asking-1");
    let logs = site.good(&["release", "logs", "asking-1"]).stdout;
    assert!(logs.contains("windlass serve --callbacks"), "{logs}");
    let shown = site.json(&["release", "callback", &topic]);
    assert_eq!(shown["release"], "asking-1", "{shown}");
    assert_eq!(outputs(&site, "asking-1"), json!({ "said": "", "from": null }));
    // One that cannot waits for the operator.
    site.good(&["run", "asking.yaml", "--param", "needs_url=true", "--detach"]);
    let waits = |it: &ReleaseView| it.waits.iter().any(|it| it.cause == "decision");
    let view = site.until("asking-2", "it is paused", waits);
    assert!(view.waits[0].text.contains("windlass serve --callbacks"), "{view:#?}");
}

#[test]
fn topics_are_in_no_log_and_on_no_screen() {
    let (site, asked) = asking();
    let _serve = site.start(&SERVE);
    run(&site);
    let ask = asked.next();
    let (topic, url) = (ask.topic.clone(), ask.url().to_owned());
    ask.answer();
    suspended(&site, "asking-1");
    let screens = || {
        let shown = site.good(&["release", "show", "asking-1"]).stdout;
        let json = site.good(&["--json", "release", "show", "asking-1"]).stdout;
        let logs = site.good(&["release", "logs", "asking-1", "--requests"]).stdout;
        let list = site.good(&["release", "list"]).stdout;
        [shown, json, logs, list]
    };
    let while_it_waits = screens();
    assert!(while_it_waits[..3].iter().all(|it| it.contains("wcb_***")), "the step says it: {while_it_waits:#?}");
    assert_eq!(call(&url, "{}").0, 202);
    site.ended("asking-1");
    // Its beginning, which names release and step, is no secret; what follows is.
    let secret = &topic[topic.len() - 40..];
    for screen in while_it_waits.iter().chain(&screens()) {
        assert!(!screen.contains(secret), "{screen}");
    }
    for said in [site.run(&["release", "callback", &url]), site.run(&["release", "callback", &format!("{topic}!")])] {
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(!said.stderr.contains(secret) && !said.stdout.contains(secret), "{said:?}");
    }
    for entry in std::fs::read_dir(site.state().join("logs")).expect("the logs").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("a log");
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn an_address_that_cannot_be_used_is_refused_before_anything_begins() {
    let (site, _asked) = asking();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = listener.local_addr().expect("its address").to_string();
    for (arguments, says) in [
        (&["--callbacks", "example.com"][..], "127.0.0.1:8087"),
        (&["--callbacks", "0.0.0.0:0"], "--callback-url https://release.example.com/hooks"),
        (&["--callbacks", "127.0.0.1:0", "--callback-url", "release.example.com"], "https://HOST[:PORT][/PATH]"),
        (&["--callbacks", "127.0.0.1:0", "--callback-url", "https://u:p@x"], "https://HOST[:PORT][/PATH]"),
        (&["--callback-url", "https://x"], "--callbacks"),
        (&["--callbacks", &taken], "cannot listen on"),
    ] {
        let ran = site.run(&[&["serve"], arguments].concat());
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(says), "{arguments:?}: {ran:?}");
    }
}
