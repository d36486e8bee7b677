//! The simulated ServiceNow, as a plugin meets it.

use crate::client::{Client, start, start_with};
use serde_json::{Value, json};
use std::time::Duration;
use windlass_counterparts::SimulatorKind::ServiceNow;

const CHANGE: &str = "/api/sn_chg_rest/change";
const TABLE: &str = "/api/now/table";

async fn create(client: &Client, kind: &str, body: Value) -> String {
    let answer = client.json("POST", &format!("{CHANGE}/{kind}"), body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["result"]["sys_id"]["value"].as_str().expect("a sys_id").to_owned()
}

async fn move_to(client: &Client, change: &str, state: &str) -> u16 {
    client.json("PATCH", &format!("{CHANGE}/{change}"), json!({ "state": state })).await.status
}

async fn state(client: &Client, change: &str) -> String {
    let answer = client.get(&format!("{TABLE}/change_request/{change}?sysparm_fields=state")).await;
    answer.json()["result"]["state"].as_str().expect("a state").to_owned()
}

#[tokio::test]
async fn a_normal_change_goes_through_its_states() {
    let running = start(ServiceNow).await;
    let client = Client::new(&running.url);
    let change = create(
        &client,
        "normal",
        json!({ "short_description": "Deploy", "correlation_id": "k1", "cab_date_time": "2030-01-02 03:04:05", "bogus": 1 }),
    )
    .await;
    let shown = client.get(&format!("{CHANGE}/normal/{change}")).await.json();
    assert_eq!(shown["result"]["state"], json!({ "display_value": "New", "value": -5.0 }));
    assert_eq!(shown["result"]["active"]["value"], true);
    assert_eq!(shown["result"]["cab_date_time"]["value"], "2030-01-02 03:04:05");

    assert_eq!(move_to(&client, &change, "-1").await, 403);
    assert_eq!(move_to(&client, &change, "-4").await, 200);
    let next = client.get(&format!("{CHANGE}/{change}/nextstates")).await.json();
    assert_eq!(next["result"]["available_states"], json!(["-5", "4", "-4"]));
    let to_authorize = &next["result"]["state_transitions"][0][0];
    assert_eq!(to_authorize["display_value"], "Assess to Authorize");
    assert_eq!(to_authorize["transition_available"], false);
    assert_eq!(to_authorize["automatic_transition"], true);
    assert_eq!(to_authorize["conditions"][0]["condition"]["name"], "Approved");
    assert_eq!(move_to(&client, &change, "-3").await, 403, "not without the approval");

    let stage = json!({ "change": change, "by": "ben.okoro", "approved": true, "stage_only": true });
    let answered = client.json("POST", "/_sim/approve", stage).await.json();
    assert_eq!(answered["state"], "-3", "{answered}");
    assert_eq!(answered["answered"][0]["by"], "ben.okoro");
    let asked = client
        .get(&format!(
            "{TABLE}/sysapproval_approver?sysparm_query=sysapproval={change}^state=requested&sysparm_fields=approver.name,group.assignment_group.name"
        ))
        .await
        .json();
    let names: Vec<_> = asked["result"].as_array().expect("a list").iter().collect();
    assert_eq!(names.len(), 2, "{asked}");
    assert_eq!(names[0]["group.assignment_group.name"], "CAB Approval");
    let answered =
        client.json("POST", "/_sim/approve", json!({ "change": "CHG0000001", "approved": true })).await.json();
    assert_eq!((&answered["state"], &answered["approval"]), (&json!("-2"), &json!("approved")));
    let nothing = client.json("POST", "/_sim/approve", json!({ "change": change, "approved": true })).await;
    assert_eq!(nothing.status, 409);

    assert_eq!(move_to(&client, &change, "-1").await, 200);
    assert_eq!(move_to(&client, &change, "0").await, 200);
    let refused = client.json("PATCH", &format!("{CHANGE}/{change}"), json!({ "state": 3 })).await;
    assert_eq!(refused.status, 403);
    assert_eq!(
        refused.json()["error"]["detail"],
        "Data Policy Exception: The following fields are mandatory: Close code, Close notes"
    );
    let closed = json!({ "state": "3", "close_code": "successful", "close_notes": "done" });
    assert_eq!(client.json("PATCH", &format!("{CHANGE}/{change}"), closed).await.status, 200);
    assert_eq!(state(&client, &change).await, "3");

    let effects: Vec<_> = running.effects().into_iter().map(|it| (it.kind, it.key)).collect();
    let kinds: Vec<&str> = effects.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "change.created",
            "change.updated",
            "approval.answered",
            "change.advanced",
            "approval.answered",
            "change.advanced",
            "change.updated",
            "change.updated",
            "change.updated",
        ]
    );
    assert!(effects.iter().all(|(_, key)| key.as_deref() == Some("k1")));
}

#[tokio::test]
async fn a_rejected_change_goes_back_and_a_canceled_one_ends() {
    let running = start(ServiceNow).await;
    let client = Client::new(&running.url);
    let change = create(&client, "normal", json!({})).await;
    assert_eq!(move_to(&client, &change, "-4").await, 200);
    let answer = json!({ "change": change, "approved": false, "comments": "not today" });
    let answered = client.json("POST", "/_sim/approve", answer).await.json();
    assert_eq!((&answered["state"], &answered["approval"]), (&json!("-5"), &json!("rejected")));
    let comments = client
        .get(&format!("{TABLE}/sysapproval_approver?sysapproval={change}&state=rejected&sysparm_display_value=true"))
        .await
        .json();
    assert!(comments["result"][0]["comments"].as_str().expect("text").contains("not today"), "{comments}");
    assert_eq!(move_to(&client, &change, "-4").await, 200, "it may be asked again");
    assert_eq!(move_to(&client, &change, "4").await, 200);
    let open = client.get(&format!("{TABLE}/sysapproval_approver?sysapproval={change}&state=requested")).await.json();
    assert_eq!(open["result"], json!([]));
    assert_eq!(move_to(&client, &change, "-5").await, 403, "canceled is an end");
}

#[tokio::test]
async fn a_write_that_changes_nothing_has_no_effect() {
    let running = start(ServiceNow).await;
    let client = Client::new(&running.url);
    let change = create(&client, "emergency", json!({ "short_description": "a" })).await;
    let path = format!("{TABLE}/change_request/{change}");
    for (text, count) in [("a", "0"), ("b", "1"), ("b", "1")] {
        let answer = client.json("PATCH", &path, json!({ "short_description": text })).await;
        assert_eq!(answer.json()["result"]["sys_mod_count"], count);
    }
    assert_eq!(running.effects_of("change.updated").len(), 1);
}

#[tokio::test]
async fn tasks_hang_on_their_change_and_the_last_one_takes_it_on() {
    let running = start(ServiceNow).await;
    let client = Client::new(&running.url);
    let templates = client.get(&format!("{CHANGE}/standard/template")).await.json();
    let template = templates["result"][0]["sys_id"]["value"].as_str().expect("a template").to_owned();
    assert!(templates["result"][1]["__meta"].is_object(), "the last element is about the query");
    let change = create(&client, &format!("standard/{template}"), json!({ "correlation_id": "k2" })).await;
    assert_eq!(move_to(&client, &change, "-2").await, 200, "a standard change needs no approval");
    assert_eq!(move_to(&client, &change, "-1").await, 200);
    let mut tasks = Vec::new();
    for name in ["deploy", "verify"] {
        let answer =
            client.json("POST", &format!("{CHANGE}/{change}/task"), json!({ "short_description": name })).await;
        tasks.push(answer.json()["result"]["sys_id"]["value"].as_str().expect("a task").to_owned());
    }
    for (task, after) in tasks.iter().zip(["-1", "0"]) {
        let answer = client.json("PATCH", &format!("{CHANGE}/{change}/task/{task}"), json!({ "state": "3" })).await;
        assert_eq!(answer.status, 200);
        assert_eq!(state(&client, &change).await, after);
    }
    let created = running.effects_of("task.created");
    assert_eq!(created.len(), 2);
    assert_eq!(created[0].key.as_deref(), Some("k2"));
    assert_eq!(client.json("POST", &format!("{CHANGE}/standard"), json!({})).await.status, 405);
    let wrong = client.json("POST", &format!("{CHANGE}/standard/{change}"), json!({})).await;
    assert_eq!(wrong.status, 404);
}

#[tokio::test]
async fn lists_are_paged_and_shown_as_asked() {
    let running = start(ServiceNow).await;
    let client = Client::new(&running.url);
    for index in 0..5 {
        let body = json!({ "short_description": format!("n{index}"), "assignment_group": "Payments" });
        let answer = client.json("POST", &format!("{TABLE}/change_request"), body).await;
        assert_eq!(answer.status, 201);
        assert!(answer.header("location").contains("/api/now/table/change_request/"));
    }
    let path = format!(
        "{TABLE}/change_request?sysparm_query=ORDERBYDESCnumber&sysparm_limit=2&sysparm_offset=2&sysparm_fields=number,assignment_group"
    );
    let answer = client.get(&path).await;
    assert_eq!(answer.header("x-total-count"), "5");
    for rel in ["first", "prev", "next", "last"] {
        assert!(answer.header("link").contains(&format!("rel=\"{rel}\"")), "{rel}");
    }
    let page = answer.json();
    assert_eq!(page["result"][0]["number"], "CHG0000003");
    assert!(page["result"][0]["assignment_group"]["link"].is_string());
    let label = client.get(&format!("{path}&sysparm_display_value=true")).await.json();
    assert_eq!(label["result"][0]["assignment_group"]["display_value"], "Payments");
    let bare = client.get(&format!("{path}&sysparm_exclude_reference_link=true")).await.json();
    assert_eq!(bare["result"][0]["assignment_group"].as_str().map(str::len), Some(32));
    assert_eq!(client.get(&format!("{TABLE}/no_such_table")).await.status, 400);
    let missing = client.get(&format!("{TABLE}/change_request/{}", "0".repeat(32))).await;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.json()["status"], "failure");
    assert_eq!(client.send("POST", &format!("{TABLE}/incident"), &[], "{").await.expect("an answer").status, 400);
}

#[tokio::test]
async fn conflicts_are_found_by_item_and_time() {
    let running = start(ServiceNow).await;
    let client = Client::new(&running.url);
    let window = |from: &str, to: &str| json!({ "cmdb_ci": "payments", "start_date": format!("2030-01-01 {from}:00"), "end_date": format!("2030-01-01 {to}:00") });
    let first = create(&client, "normal", window("10:00", "12:00")).await;
    let apart = create(&client, "normal", window("13:00", "14:00")).await;
    create(&client, "normal", window("11:00", "12:30")).await;
    for (change, conflicts) in [(&first, json!(["CHG0000003"])), (&apart, json!([]))] {
        let answer = client.post(&format!("{CHANGE}/{change}/conflict")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = client.get(&format!("{CHANGE}/{change}/conflict")).await.json();
        assert_eq!(answer["result"]["state"]["display_value"], "Complete");
        let found: Vec<_> =
            answer["result"]["conflicts"].as_array().expect("a list").iter().map(|it| it["change"].clone()).collect();
        assert_eq!(json!(found), conflicts);
    }
}

#[tokio::test]
async fn an_attachment_comes_back_as_it_was() {
    let running = start(ServiceNow).await;
    let client = Client::new(&running.url);
    let change = create(&client, "normal", json!({ "correlation_id": "k3" })).await;
    let bytes: Vec<u8> = (0..=255).collect();
    let path = format!("/api/now/attachment/file?table_name=change_request&table_sys_id={change}&file_name=e.bin");
    let answer = client
        .send("POST", &path, &[("content-type", "application/octet-stream")], bytes.clone())
        .await
        .expect("an answer");
    assert_eq!(answer.status, 201, "{}", answer.text());
    let made = answer.json()["result"].clone();
    assert_eq!(made["size_bytes"], "256");
    let kept = client.get(made["download_link"].as_str().expect("a link")).await;
    assert_eq!(kept.body, bytes);
    let effect = &running.effects_of("attachment.created")[0];
    assert_eq!((effect.target.as_str(), effect.key.as_deref()), ("e.bin", Some("k3")));
    let elsewhere = path.replace(&change, &"0".repeat(32));
    let refused = client.send("POST", &elsewhere, &[("content-type", "text/plain")], "x").await;
    assert_eq!(refused.expect("an answer").status, 404);
}

#[tokio::test]
async fn tokens_are_given_to_the_client_and_end() {
    let running = start_with(ServiceNow, |options| options.token_lifetime = Duration::from_secs(60)).await;
    let anonymous = Client::with(&running.url, None);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let ask = |secret: &str| format!("grant_type=client_credentials&client_id=windlass-client&client_secret={secret}");
    let refused = anonymous.send("POST", "/oauth_token.do", &form, ask("wrong")).await.expect("an answer");
    assert_eq!(refused.status, 401);
    assert_eq!(refused.json(), json!({ "error_description": "access_denied", "error": "server_error" }));
    let granted =
        anonymous.send("POST", "/oauth_token.do", &form, ask("simulated-secret")).await.expect("an answer").json();
    assert_eq!((&granted["token_type"], &granted["expires_in"]), (&json!("Bearer"), &json!(60)));
    let token = granted["access_token"].as_str().expect("a token");
    let client = Client::with(&running.url, Some(format!("Bearer {token}")));
    assert_eq!(client.get(&format!("{TABLE}/incident")).await.status, 200);
    assert_eq!(client.post("/_sim/expire-tokens").await.json(), json!({ "expired": 1 }));
    let over = client.get(&format!("{TABLE}/incident")).await;
    assert_eq!(over.status, 401);
    assert_eq!(over.json()["error"]["message"], "User Not Authenticated");
    assert_eq!(anonymous.get(&format!("{TABLE}/incident")).await.status, 401);
}

#[tokio::test]
async fn a_token_of_no_lifetime_is_over_at_once() {
    let running = start_with(ServiceNow, |options| options.token_lifetime = Duration::ZERO).await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let granted = Client::basic(&running.url, "windlass-client", "simulated-secret")
        .send("POST", "/oauth_token.do", &form, "grant_type=client_credentials")
        .await
        .expect("an answer")
        .json();
    let token = granted["access_token"].as_str().expect("a token");
    let client = Client::with(&running.url, Some(format!("Bearer {token}")));
    assert_eq!(client.get(&format!("{TABLE}/incident")).await.status, 401);
}
