//! Alerts that roll releases back: over the network, by hand, with a confirmation, after the end; and from a real
//! Alertmanager where there is one.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use windlass_model::time::Timestamp;

use crate::support::release::{Deployment, PAYMENTS, payments};
use crate::support::{Counterparts, DEADLINE, Process, Site, eventually};

const SERVE: [&str; 3] = ["serve", "--callbacks", "127.0.0.1:0"];
const TOKEN: &str = "a-token-of-alertmanager-4711";
const RUN: [&str; 5] = ["run", "payments.yaml", "--param", "version=1.2.3", "--detach"];

/// Alerts of this version roll a release back, or ask.
fn site(rule: &str) -> (Site, Counterparts) {
    let (site, counterparts) = payments(Deployment::Succeeds, 0, 0);
    let rules = format!(
        "rollback:\n  objective: 10m\n  alerts:\n    - {{ name: HighErrorRate, labels: {{ version: '${{{{ parameters.version }}}}' }}, {rule} }}\nsteps:\n"
    );
    site.write("payments.yaml", &PAYMENTS.replacen("steps:\n", &rules, 1));
    site.write("token", TOKEN);
    let token = format!("file:{}", site.state().parent().expect("its folder").join("token").display());
    site.good(&["alert", "source", "add", "prom", "--token", &token]);
    site.good(&["alert", "source", "add", "pager", "--hmac", &token]);
    (site, counterparts)
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Timestamp(u64::try_from(since.as_millis()).expect("a time"))
}

fn alert(status: &str, version: &str, starts_at: Timestamp) -> Value {
    json!({
        "status": status,
        "labels": { "alertname": "HighErrorRate", "version": version, "severity": "page" },
        "annotations": { "summary": "5 % of requests fail", "value": "0.05" },
        "startsAt": starts_at.to_string(),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "9f0c2b7a1e5d4c38"
    })
}

fn webhook(alerts: &[Value]) -> String {
    let body = json!({
        "version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": "firing", "receiver": "windlass",
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://am", "alerts": alerts
    });
    body.to_string()
}

/// Where a source sends its alerts.
fn address(site: &Site, source: &str) -> String {
    let (_, status) = site.get("/v1/status");
    format!("{}/alerts/{source}", status["callbacks"].as_str().expect("callbacks are taken"))
}

/// Sends a request; the status of the answer.
fn send(method: &str, url: &str, header: &str, body: &str) -> u16 {
    let (host, path) = url.strip_prefix("http://").and_then(|it| it.split_once('/')).expect("an address");
    let mut stream = TcpStream::connect(host).expect("somebody listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let head = format!("{method} /{path} HTTP/1.1\r\nhost: x\r\n{header}\r\ncontent-length: {}\r\n\r\n", body.len());
    // It may be refused before all was sent.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    answer.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or_else(|| panic!("an answer: {answer}"))
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\ncontent-type: application/json")
}

fn waits_for_approval(site: &Site, release: &str) {
    site.until(release, "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
}

#[test]
fn an_alert_over_the_network_rolls_a_release_back_once() {
    let (site, counterparts) = site("then: rollback");
    let mut serve = site.start(&SERVE);
    site.good(&RUN);
    waits_for_approval(&site, "payments-1");
    let url = address(&site, "prom");
    let firing = webhook(&[alert("firing", "1.2.3", now())]);
    let before = site.show("payments-1").expect("a release").records;

    // Nobody who may, nothing that is one, and nothing that is about this release.
    for (method, url, header, body, status) in [
        ("POST", url.as_str(), bearer("wrong"), firing.as_str(), 401),
        ("POST", &url, bearer(&TOKEN[..TOKEN.len() - 1]), &firing, 401),
        ("POST", &url, format!("authorization: Basic {TOKEN}"), &firing, 401),
        ("POST", &url, "x-a: b".to_owned(), &firing, 401),
        ("POST", &address(&site, "nobody"), bearer(TOKEN), &firing, 401),
        ("POST", &address(&site, "pager"), bearer(TOKEN), &firing, 401),
        ("POST", &address(&site, "pager"), format!("x-windlass-signature: sha256={}", "0".repeat(64)), &firing, 401),
        ("POST", &address(&site, "../v1/status"), bearer(TOKEN), &firing, 401),
        ("GET", &url, bearer(TOKEN), "", 405),
        ("POST", &url, bearer(TOKEN), &"x".repeat(1024 * 1024 + 1), 413),
        ("POST", &url, bearer(TOKEN), "{ it broke off", 400),
        ("POST", &url, bearer(TOKEN), "{}", 422),
        ("POST", &url, bearer(TOKEN), &firing.replace("\"version\":\"4\"", "\"version\":\"5\""), 422),
        ("POST", &url, bearer(TOKEN), &firing.replace("firing", "smoking"), 422),
        ("POST", &url, bearer(TOKEN), &webhook(&[alert("resolved", "1.2.3", now())]), 200),
        ("POST", &url, bearer(TOKEN), &webhook(&[alert("firing", "1.2.4", now())]), 200),
        ("POST", &url, bearer(TOKEN), &webhook(&[alert("firing", "1.2.3", Timestamp(1))]), 200),
    ] {
        let head: String = body.chars().take(80).collect();
        assert_eq!(send(method, url, &header, body), status, "{method} {url} {header} {head}");
    }
    assert_eq!(site.show("payments-1").expect("a release").records, before, "none of these did anything");

    // It is durable when it is answered.
    assert_eq!(send("POST", &url, &bearer(TOKEN), &firing), 200);
    serve.kill_9();
    let _serve = site.start(&SERVE);
    let view = site.ended("payments-1");
    assert_eq!(view.state, "rolled back");
    let rollback = view.rollback.expect("it was rolled back");
    assert_eq!(rollback.trigger, "alert HighErrorRate (severity=page, version=1.2.3): 5 % of requests fail");
    assert_eq!(rollback.steps, ["task", "change"], "each after all that ran after it");
    let [taken] = view.alerts.as_slice() else { panic!("one alert: {:?}", view.alerts) };
    assert_eq!(taken.alert.annotations["value"], "0.05");
    assert_eq!((taken.alert.labels["severity"].as_str(), taken.alert.source.as_str()), ("page", "webhook prom"));
    let changed: Vec<String> = counterparts.servicenow.effects().into_iter().map(|it| it.kind).collect();
    assert_eq!(changed, ["change.created", "task.created", "task.updated", "change.updated"]);

    // Sent again, as Alertmanager does while it fires.
    for url in [address(&site, "prom"), address(&site, "prom")] {
        assert_eq!(send("POST", &url, &bearer(TOKEN), &firing), 200);
    }
    assert_eq!(site.show("payments-1").expect("a release").records, view.records, "nothing more came of it");
    let shown = site.good(&["release", "show", "payments-1"]).stdout;
    assert!(shown.contains("alert HighErrorRate") && shown.contains("by webhook prom: it is rolled back"), "{shown}");
    site.check();
}

#[test]
fn a_signed_alert_is_taken() {
    use hmac::Mac as _;
    let (site, _counterparts) = site("then: rollback");
    let _serve = site.start(&SERVE);
    site.good(&RUN);
    waits_for_approval(&site, "payments-1");
    let body = webhook(&[alert("firing", "1.2.3", now())]);
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(TOKEN.as_bytes()).expect("a key");
    mac.update(body.as_bytes());
    let signature = format!("x-windlass-signature: sha256={}", hex::encode(mac.finalize().into_bytes()));
    let url = address(&site, "pager");
    assert_eq!(send("POST", &url, &signature, &format!("{body} ")), 401, "another body");
    assert_eq!(send("POST", &url, &signature, &body), 200);
    assert_eq!(site.ended("payments-1").state, "rolled back");
}

#[test]
fn with_a_confirmation_somebody_decides() {
    let (site, _counterparts) = site("then: after_confirmation");
    let mut serve = site.serve();
    let fire = ["alert", "fire", "HighErrorRate", "--label", "version=1.2.3", "--annotation", "summary=many fail"];
    for release in ["payments-1", "payments-2"] {
        site.good(&RUN);
        waits_for_approval(&site, release);
    }
    for (more, says) in [
        (&["--label", "version=1.2.4"][..], "the label `version` is given twice"),
        (&["--label", "alertname=Slow"], "`alertname` is the alert's name"),
        (&["--annotation", "summary=few fail"], "the annotation `summary` is given twice"),
        (&["--since", "2100-01-01T00:00:00Z"], "that is still to come"),
    ] {
        let refused = site.run(&[&fire[..], more].concat());
        assert!(refused.code == Some(2) && refused.stderr.contains(says), "{says}: {refused:?}");
    }
    assert_eq!(site.run(&["alert", "fire", ""]).code, Some(2));
    let told = site.good(&[&fire[..], &["--as", "ana"]].concat()).stdout;
    assert!(told.contains("payments-1 took alert HighErrorRate (version=1.2.3): many fail"), "{told}");
    assert!(told.contains("payments-2 took"), "{told}");
    serve.kill_9();
    let _serve = site.serve();
    for release in ["payments-1", "payments-2"] {
        let view = site.until(release, "it asks", |it| it.waits.iter().any(|it| it.cause == "rollback"));
        assert_eq!(view.state, "paused");
        let wait = &view.waits[0];
        assert!(wait.text.contains("many fail") && wait.text.contains("windlass release keep"), "{wait:?}");
        assert_eq!(wait.command, format!("windlass release rollback {release} --reason …"));
        // It holds what is new, whoever approves it.
        site.good(&["release", "approve", release, "--as", "ana"]);
    }
    let refused = site.run(&["release", "keep", "payments-1", "--reason", " "]);
    assert!(refused.stderr.contains("a reason is missing"), "{refused:?}");
    assert_eq!(site.show("payments-1").expect("a release").steps[3].state, "held");
    site.good(&["release", "keep", "payments-1", "--reason", "the probe was down", "--as", "ben"]);
    assert_eq!(site.ended("payments-1").state, "succeeded");
    site.good(&["release", "rollback", "payments-2", "--reason", "it is real", "--as", "ben"]);
    let view = site.ended("payments-2");
    assert_eq!(
        (view.state.as_str(), view.rollback.expect("it was").trigger.as_str()),
        ("rolled back", "ben: it is real")
    );
    let refused = site.run(&["release", "keep", "payments-1", "--reason", "again"]);
    assert!(refused.stderr.contains("no decision is asked for"), "{refused:?}");
    let shown = site.good(&["release", "show", "payments-1"]).stdout;
    assert!(shown.contains("asked to not roll back: the probe was down"), "{shown}");
    site.check();
}

#[test]
fn after_the_end_the_newest_release_that_is_not_stable_yet_is_rolled_back() {
    let (site, _counterparts) = site("stabilisation: 1h");
    let _serve = site.serve();
    for release in ["payments-1", "payments-2"] {
        site.good(&RUN);
        waits_for_approval(&site, release);
        site.good(&["release", "approve", release, "--as", "ana"]);
        assert_eq!(site.ended(release).state, "succeeded");
    }
    let body = webhook(&[alert("firing", "1.2.3", now())]);
    site.write("webhook.json", &body);
    let taken = site.json(&["alert", "send", "webhook.json"]);
    assert_eq!(taken["taken"].as_array().map(Vec::len), Some(1), "{taken}");
    eventually("it is rolled back", || site.show("payments-2").filter(|it| it.state == "rolled back"));
    // The same again, and another one from the same trouble: the release before is not rolled back, too.
    let mut pod = alert("firing", "1.2.3", now());
    pod["fingerprint"] = "another-pod".into();
    site.write("both.json", &webhook(&[alert("firing", "1.2.3", now()), pod]));
    for file in ["webhook.json", "both.json"] {
        let again = site.json(&["alert", "send", file]);
        assert_eq!(again["taken"], serde_json::json!([]), "{again}");
    }
    assert_eq!(site.show("payments-1").expect("a release").state, "succeeded", "what it was built on stays");
    // Of the one that is there now it says what it did not say before: that it is wrong, too.
    let refused = site.run(&["alert", "send", "token"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("the body is no JSON"), "{refused:?}");
}

#[test]
fn a_decision_card_says_all_and_silence_asks_the_next_one() {
    const CARD: &str = "  decision:
    criteria:
      - { text: many fail, when: 'release.alerts.exists(it, it.labels.version == parameters.version)' }
      - { text: the build was wrong, when: steps.build.output.number > 100 }
    owners:
      - { who: user:ana, escalate_after: 1s }
      - { who: group:release-managers }
    inform: [group:support]
";
    let (site, _counterparts) = site("then: after_confirmation");
    let file = std::fs::read_to_string(site.state().parent().expect("its folder").join("payments.yaml"));
    site.write("payments.yaml", &file.expect("the file").replacen("rollback:\n", &format!("rollback:\n{CARD}"), 1));
    let mut serve = site.serve();
    site.good(&RUN);
    waits_for_approval(&site, "payments-1");
    let card = site.json(&["release", "card", "payments-1"]);
    assert_eq!((&card["asked"], &card["commands"]), (&Value::Null, &json!([])), "nothing is asked yet: {card}");
    assert_eq!(card["criteria"][0]["is_met"], false);
    site.good(&["alert", "fire", "HighErrorRate", "--label", "version=1.2.3"]);
    // Whoever goes on with it asks the next one in time.
    serve.kill_9();
    let _serve = site.serve();
    site.until("payments-1", "the next one is asked", |it| it.waits[0].owner == "group:release-managers");
    let card = site.json(&["release", "card", "payments-1"]);
    assert_eq!(card["criteria"][0]["is_met"], true);
    assert_eq!(card["criteria"][1]["values"][0][0], "steps.build.output.number");
    assert_eq!(card["owners"][1]["is_asked"], true, "{card}");
    assert_eq!(card["inform"], json!(["group:support"]));
    let shown = site.good(&["release", "card", "payments-1"]).stdout;
    for says in ["✘ met  many fail", "✔ not met  the build was wrong", "is asked", "windlass release keep payments-1"]
    {
        assert!(shown.contains(says), "{says}: {shown}");
    }
    let shown = site.good(&["release", "show", "payments-1"]).stdout;
    assert!(shown.contains("nobody decided in time whether it is rolled back: group:release-managers"), "{shown}");
    assert!(shown.contains("windlass release card payments-1"), "{shown}");
    site.good(&["release", "rollback", "payments-1", "--reason", "it is real", "--as", "ben"]);
    assert_eq!(site.ended("payments-1").state, "rolled back");
    let decided = &site.json(&["release", "card", "payments-1"])["decided"];
    assert_eq!((&decided["by"], &decided["reason"]), (&json!("ben"), &json!("it is real")));
    site.check();
}

#[test]
fn a_rollback_stays_under_review_until_its_cause_is_given() {
    let (site, _counterparts) = site("then: rollback");
    let mut serve = site.serve();
    site.good(&RUN);
    waits_for_approval(&site, "payments-1");
    let cause = ["release", "cause", "payments-1", "--category", "configuration", "--cause", "a pool was too small"];
    let refused = site.run(&cause);
    assert!(refused.stderr.contains("was not rolled back"), "{refused:?}");
    site.good(&["alert", "fire", "HighErrorRate", "--label", "version=1.2.3"]);
    assert!(site.ended("payments-1").rollback.expect("it was").review_open);
    let listed = || site.json(&["release", "list", "--open-reviews"]);
    assert_eq!(listed()[0]["release"], "payments-1");
    let shown = site.good(&["release", "show", "payments-1"]).stdout;
    assert!(shown.contains("windlass release cause payments-1 --category"), "{shown}");
    let refused = site.run(&["release", "cause", "payments-1", "--category", "bad luck", "--cause", "x"]);
    assert!(refused.stderr.contains("configuration"), "it says what there is: {refused:?}");
    let refused = site.run(&[&cause[..], &["--as", " "]].concat());
    assert!(refused.code == Some(2) && refused.stderr.contains("a name on one line"), "{refused:?}");
    site.good(&[&cause[..], &["--risk", "medium", "--runbook", "https://wiki/pool", "--as", "ana"]].concat());
    serve.kill_9();
    let _serve = site.serve();
    assert_eq!(listed(), json!([]));
    let rollback = site.show("payments-1").expect("a release").rollback.expect("it was");
    let given = rollback.cause.expect("it was given");
    assert_eq!((given.by.as_str(), given.cause.risk.as_deref()), ("ana", Some("medium")));
    assert!(!rollback.review_open);
    let shown = site.good(&["release", "show", "payments-1"]).stdout;
    for says in ["cause (configuration, by ana): a pool was too small", "risk: medium", "runbook: https://wiki/pool"] {
        assert!(shown.contains(says), "{says}: {shown}");
    }
    site.check();
}

#[test]
fn what_nothing_rolls_back_does_not_enter_production() {
    let (site, counterparts) = payments(Deployment::Succeeds, 0, 0);
    let url = counterparts.jenkins.url.as_str();
    let secret = format!("file:{}", counterparts.secret().display());
    let ci =
        ["connection", "add", "ci", "--url", url, "--auth", "basic", "--username", "windlass", "--password", &secret];
    let shown = site.good(&[&ci[..], &["--private-network", "--needs-rollback-trigger"]].concat()).stdout;
    assert!(shown.contains("needs a rollback trigger"), "{shown}");
    let _serve = site.serve();
    let bare = PAYMENTS.replacen("    on_failure: rollback\n", "", 1);
    site.write("payments.yaml", &bare);
    let outer = "windlass: v1\nworkflow: outer\nsteps:\n  it: { uses: ./payments.yaml, with: { version: 1.2.3 } }\n";
    site.write("outer.yaml", outer);
    let nightly =
        ["schedule", "set", "nightly", "--workflow", "payments.yaml", "--cron", "0 3 * * *", "-p", "version=1.2.3"];
    let validate = ["validate", "payments.yaml"];
    for run in [&RUN[..], &["run", "outer.yaml", "--detach"], &["validate", "outer.yaml"], &validate, &nightly] {
        let ran = site.run(run);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        for says in ["step `build` of `payments` changes something at `ci`", "add `rollback.alerts`"] {
            assert!(ran.stderr.contains(says), "{says}: {ran:?}");
        }
    }
    assert!(counterparts.jenkins.effects().is_empty(), "nothing was started");
    // Each of these is one.
    for rules in [
        "rollback: { alerts: [{ name: HighErrorRate }] }\nsteps:\n",
        "rollback: { triggers: [breaker] }\nsteps:\n",
        "deadline: { within: 4h, then: rollback }\nsteps:\n",
    ] {
        site.write("payments.yaml", &bare.replacen("steps:\n", rules, 1));
        site.good(&RUN);
    }
    site.write("payments.yaml", &bare);
    site.write("outer.yaml", &outer.replace("steps:", "rollback: { triggers: [breaker] }\nsteps:"));
    site.good(&["run", "outer.yaml", "--detach"]);
    // A rehearsal is on copies.
    site.good(&[
        "rehearse",
        "payments.yaml",
        "--param",
        "version=1.2.3",
        "--on",
        "ci=ci",
        "--on",
        "itsm=itsm",
        "--detach",
    ]);
}

/// A port that nobody has.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port()
}

#[test]
fn a_real_alertmanager_rolls_a_release_back() {
    const ALERTMANAGER: &str = "prometheus-alertmanager";
    let version = Command::new(ALERTMANAGER).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !version.is_ok_and(|it| it.success()) {
        return crate::support::skipped("`prometheus-alertmanager` (Debian's package of this name) is not installed");
    }
    let (site, _counterparts) = site("then: rollback");
    let _serve = site.start(&SERVE);
    site.good(&RUN);
    waits_for_approval(&site, "payments-1");
    let folder = site.state().parent().expect("its folder").to_owned();
    site.write(
        "am.yml",
        &format!(
            "route: {{ receiver: windlass, group_wait: 0s, group_interval: 1s, repeat_interval: 1h }}\nreceivers:\n  - name: windlass\n    webhook_configs:\n      - url: {}\n        http_config: {{ authorization: {{ credentials_file: {} }} }}\n",
            address(&site, "prom"),
            folder.join("token").display()
        ),
    );
    let port = free_port();
    let mut alertmanager = Command::new(ALERTMANAGER);
    alertmanager
        .arg(format!("--config.file={}", folder.join("am.yml").display()))
        .arg(format!("--storage.path={}", folder.join("am").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--cluster.listen-address=")
        .stdout(Stdio::null());
    let _alertmanager = Process::start(&mut alertmanager);
    let url = format!("http://127.0.0.1:{port}/api/v2/alerts");
    eventually("it listens", || TcpStream::connect(("127.0.0.1", port)).ok());
    let posted = json!([{
        "labels": { "alertname": "HighErrorRate", "version": "1.2.3", "severity": "page" },
        "annotations": { "summary": "5 % of requests fail" },
    }]);
    eventually("it is ready", || {
        (send("POST", &url, "content-type: application/json\r\nconnection: close", &posted.to_string()) == 200)
            .then_some(())
    });
    let view = site.ended("payments-1");
    assert_eq!(view.state, "rolled back");
    let [taken] = view.alerts.as_slice() else { panic!("one alert: {:?}", view.alerts) };
    assert_eq!(taken.alert.fingerprint.len(), 16, "{taken:?}");
    assert_eq!(taken.alert.source, "webhook prom");
}
