//! The simulated Jenkins, as a plugin meets it.

use crate::client::{Client, start, start_with};
use serde_json::json;
use std::time::Duration;
use windlass_counterparts::SimulatorKind::Jenkins;

/// The path below the simulator of a URL it gave.
fn item_path(location: &str) -> String {
    format!("{location}api/json")
}

async fn build(client: &Client, query: &str) -> u64 {
    let answer = client.post(&format!("/job/payments/buildWithParameters?{query}")).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let item = client.until(&item_path(answer.header("location")), |item| item["executable"].is_object()).await;
    item["executable"]["number"].as_u64().expect("a build number")
}

#[tokio::test]
async fn a_build_goes_from_the_queue_to_its_end() {
    let running = start_with(Jenkins, |options| options.duration = Duration::from_secs(1)).await;
    let client = Client::new(&running.url);
    let number = build(&client, "VERSION=1.2.3&WINDLASS_KEY=k1&NOT_DECLARED=x").await;
    let path = format!("/job/payments/{number}");
    let early = client.get(&format!("{path}/api/json")).await.json();
    assert_eq!(early["building"], true);
    assert_eq!(early["artifacts"], json!([]));
    assert_eq!(client.get(&format!("{path}/testReport/api/json")).await.status, 404);
    let done = client.until(&format!("{path}/api/json"), |build| build["building"] == false).await;
    assert_eq!(done["result"], "SUCCESS");
    assert_eq!(
        done["actions"][0]["parameters"],
        json!([
            { "_class": "hudson.model.StringParameterValue", "name": "VERSION", "value": "1.2.3" },
            { "_class": "hudson.model.StringParameterValue", "name": "WINDLASS_KEY", "value": "k1" },
        ])
    );
    assert_eq!(done["artifacts"][0]["relativePath"], "build/image.json");
    let artifact = client.get(&format!("{path}/artifact/build/image.json")).await;
    assert_eq!(artifact.json()["image"], "example.test/payments:1.2.3");
    let report = client.get(&format!("{path}/testReport/api/json")).await.json();
    assert_eq!((report["passCount"].as_u64(), report["failCount"].as_u64()), (Some(42), Some(0)));
    let kinds: Vec<_> = running.effects().into_iter().map(|effect| (effect.kind, effect.target, effect.key)).collect();
    assert_eq!(
        kinds,
        [
            ("build.queued".to_owned(), "payments".to_owned(), Some("k1".to_owned())),
            ("build.started".to_owned(), "payments#1".to_owned(), Some("k1".to_owned())),
        ]
    );
}

#[tokio::test]
async fn progressive_text_adds_up_to_the_console() {
    let running = start(Jenkins).await;
    let client = Client::new(&running.url);
    let number = build(&client, "VERSION=7").await;
    let mut text = String::new();
    loop {
        let path = format!("/job/payments/{number}/logText/progressiveText?start={}", text.len());
        let answer = client.get(&path).await;
        text.push_str(&answer.text());
        assert_eq!(answer.header("x-text-size"), text.len().to_string());
        if answer.header("x-more-data") != "true" {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(text.starts_with("Started by user windlass\n"), "{text}");
    assert!(text.ends_with("Finished: SUCCESS\n"), "{text}");
    assert_eq!(text, client.get(&format!("/job/payments/{number}/consoleText")).await.text());
    let beyond = client.get(&format!("/job/payments/{number}/logText/progressiveText?start=99999")).await;
    assert_eq!(beyond.text(), text, "a start beyond the end begins anew");
}

#[tokio::test]
async fn equal_waiting_items_are_one_and_different_ones_are_not() {
    let running = start_with(Jenkins, |options| options.queue = Duration::from_secs(60)).await;
    let client = Client::new(&running.url);
    let mut locations = Vec::new();
    for key in ["a", "a", "b"] {
        let path = format!("/job/payments/buildWithParameters?WINDLASS_KEY={key}");
        locations.push(client.post(&path).await.header("location").to_owned());
    }
    assert_eq!(locations[0], locations[1]);
    assert_ne!(locations[0], locations[2]);
    assert_eq!(running.effects_of("build.queued").len(), 2);
    let queue = client.get("/queue/api/json?tree=items[id,actions[parameters[name,value]]]").await.json();
    let keys: Vec<_> = queue["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| item["actions"][0]["parameters"][1]["value"].clone())
        .collect();
    assert_eq!(keys, [json!("b"), json!("a")], "newest first: {queue}");
    let cancelled = client.post("/queue/cancelItem?id=1").await;
    assert_eq!(cancelled.status, 204);
    assert_eq!(client.get("/queue/item/1/api/json").await.json()["cancelled"], true);
    assert_eq!(client.post("/queue/cancelItem?id=99").await.status, 404);
    assert_eq!(running.effects_of("build.cancelled")[0].key.as_deref(), Some("a"));
}

#[tokio::test]
async fn a_running_build_can_be_stopped_once() {
    let running = start_with(Jenkins, |options| options.duration = Duration::from_secs(60)).await;
    let client = Client::new(&running.url);
    let number = build(&client, "VERSION=1&WINDLASS_KEY=stop").await;
    for _ in 0..2 {
        let answer = client.post(&format!("/job/payments/{number}/stop")).await;
        assert_eq!(answer.status, 302);
    }
    let build = client.get(&format!("/job/payments/{number}/api/json")).await.json();
    assert_eq!((&build["result"], &build["building"]), (&json!("ABORTED"), &json!(false)));
    assert_eq!(running.effects_of("build.stopped").len(), 1);
    assert!(
        client
            .get(&format!("/job/payments/{number}/consoleText"))
            .await
            .text()
            .ends_with("Aborted by windlass\nFinished: ABORTED\n")
    );
}

#[tokio::test]
async fn jobs_are_configured_with_folders_failures_and_no_concurrency() {
    let running = start(Jenkins).await;
    let client = Client::new(&running.url);
    let configured = client
        .json(
            "POST",
            "/_sim/jobs",
            json!([
                { "name": "team/a b/build", "parameters": [{ "name": "VERSION", "default": "0" }],
                  "fail_when": { "VERSION": "6.6.6" }, "concurrent": false, "duration_ms": 1000,
                  "tests": { "pass": 1, "fail": 2 }, "artifacts": { "x.txt": "${VERSION}" } },
                { "name": "plain" },
                { "name": "off", "disabled": true },
            ]),
        )
        .await;
    assert_eq!(configured.status, 200, "{}", configured.text());
    let folder = client.get("/job/team/api/json?tree=jobs[name,jobs[name,url]]").await.json();
    assert_eq!(folder["jobs"][0]["jobs"][0]["name"], "build", "{folder}");

    let path = "/job/team/job/a%20b/job/build";
    for version in ["6.6.6", "1"] {
        let answer = client
            .send(
                "POST",
                &format!("{path}/buildWithParameters"),
                &[("content-type", "application/x-www-form-urlencoded")],
                format!("VERSION={version}"),
            )
            .await
            .expect("an answer");
        assert_eq!(answer.status, 201);
    }
    let blocked = client.until("/queue/item/2/api/json", |item| item["blocked"] == true).await;
    assert_eq!(blocked["why"], "Build #1 is already in progress");
    let failed = client.until(&format!("{path}/1/api/json"), |build| build["building"] == false).await;
    assert_eq!(failed["result"], "FAILURE");
    client.until("/queue/item/2/api/json", |item| item["executable"].is_object()).await;
    let second = client.until(&format!("{path}/2/api/json"), |build| build["building"] == false).await;
    assert_eq!(second["result"], "UNSTABLE");
    let ended = |build: &serde_json::Value| {
        build["timestamp"].as_i64().expect("a start") + build["duration"].as_i64().expect("a duration")
    };
    assert!(second["timestamp"].as_i64() >= Some(ended(&failed)), "they ran side by side");

    let tree = "tree=builds[number,url,actions[parameters[name,value]]]{0,50}";
    let job = client.get(&format!("{path}/api/json?{tree}")).await.json();
    let versions: Vec<_> = job["builds"]
        .as_array()
        .expect("builds")
        .iter()
        .map(|build| build["actions"][0]["parameters"][0]["value"].clone())
        .collect();
    assert_eq!(versions, [json!("1"), json!("6.6.6")], "{job}");
    assert!(job.get("name").is_none());

    assert_eq!(client.post("/job/plain/buildWithParameters").await.status, 500);
    assert_eq!(client.post("/job/plain/build").await.status, 201);
    assert_eq!(client.post("/job/off/build").await.status, 409);
    assert_eq!(client.post("/job/payments/build").await.status, 400);
    assert_eq!(client.get("/job/plain/build").await.status, 405);
    assert_eq!(client.get("/job/absent/api/json").await.status, 404);
    assert_eq!(client.get("/job/plain/api/json?tree=a[").await.status, 400);
}

#[tokio::test]
async fn a_queue_item_is_forgotten_after_its_time() {
    let running = start_with(Jenkins, |options| {
        options.queue = Duration::ZERO;
        options.queue_item_retention = Duration::ZERO;
    })
    .await;
    let client = Client::new(&running.url);
    let answer = client.post("/job/payments/buildWithParameters?VERSION=1").await;
    let path = item_path(answer.header("location"));
    let mut status = 200;
    while status == 200 {
        status = client.get(&path).await.status;
    }
    assert_eq!(status, 404);
    let builds = client.get("/job/payments/api/json").await.json();
    assert_eq!(builds["builds"][0]["number"], 1, "the build is still there");
}

#[tokio::test]
async fn credentials_are_checked_and_everything_says_simulated() {
    let running = start_with(Jenkins, |options| options.bearer = Some("b-token".to_owned())).await;
    let cases = [
        (Client::new(&running.url), 200),
        (Client::with(&running.url, Some("Bearer b-token".to_owned())), 200),
        (Client::basic(&running.url, "windlass", "wrong"), 401),
        (Client::with(&running.url, Some("Bearer wrong".to_owned())), 401),
        (Client::with(&running.url, Some("Nonsense".to_owned())), 401),
        (Client::with(&running.url, None), 403),
    ];
    for (client, status) in &cases {
        let answer = client.get("/me/api/json").await;
        assert_eq!(answer.status, *status);
        assert_eq!(answer.header("server"), "windlass-simulator (simulated Jenkins)");
        assert_eq!(answer.header("x-jenkins"), "2.479.1");
    }
    let wrong = cases[2].0.post("/job/payments/buildWithParameters?VERSION=1").await;
    assert_eq!(wrong.status, 401);
    assert_eq!(running.effects(), []);
    let authorised: Vec<bool> = running.requests().iter().map(|it| it.authorised).collect();
    assert_eq!(authorised, [true, true, false, false, false, false, false]);
}

#[tokio::test]
async fn a_required_crumb_is_bound_to_its_session() {
    let running = start_with(Jenkins, |options| options.require_crumb = true).await;
    let client = Client::new(&running.url);
    let path = "/job/payments/buildWithParameters?VERSION=1";
    assert_eq!(client.post(path).await.status, 403);
    let answer = client.get("/crumbIssuer/api/json").await;
    let crumb = answer.json()["crumb"].as_str().expect("a crumb").to_owned();
    let cookie = answer.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    let without_cookie = client.send("POST", path, &[("Jenkins-Crumb", &crumb)], "").await;
    assert_eq!(without_cookie.expect("an answer").status, 403);
    let headers = [("Jenkins-Crumb", crumb.as_str()), ("Cookie", cookie.as_str())];
    assert_eq!(client.send("POST", path, &headers, "").await.expect("an answer").status, 201);
}
