//! OAuth2 client credentials: fetched once, shared, renewed.

use serde_json::{Value, json};
use windlass_sandbox::CallReport;

use crate::support::server::Server;
use crate::support::{Given, call, code, done, message, target, world};

async fn request(server: &Server, token_path: &str, path: &str) -> (CallReport, String) {
    ask("request", server, token_path, path).await
}

async fn ask(action: &str, server: &Server, token_path: &str, path: &str) -> (CallReport, String) {
    world().await.secrets.set("OAUTH", "cl1ent s3cret");
    let authentication = json!({
        "type": "oauth2_client_credentials", "token_url": format!("{}{token_path}", server.url()),
        "client_id": "windlass", "client_secret": "env:OAUTH", "scope": "build read"
    });
    let given = Given {
        input: json!({"url": format!("{}{path}", server.url())}),
        access: target(&server.url(), json!({"authentication": authentication})),
        ..Given::default()
    };
    let host = given.host.clone();
    let report = call(action, given).await;
    let text = format!("{report:?} {host:?}");
    (report, text)
}

fn fetched(server: &Server) -> usize {
    server.seen().iter().filter(|it| it.path == "/token").count()
}

async fn works(server: &Server) -> Value {
    let (report, text) = request(server, "/token", "/open/needs-token").await;
    assert!(!text.contains("t0k3n") && !text.contains("cl1ent"), "{text}");
    done(report)
}

#[tokio::test]
async fn a_token_is_fetched_once_and_renewed_when_it_is_not_taken() {
    let server = Server::start().await;
    assert_eq!(works(&server).await["status"], 200);
    let asked = server.seen()[0].clone();
    assert_eq!(asked.header("authorization"), Some("Basic d2luZGxhc3M6Y2wxZW50K3MzY3JldA=="));
    assert_eq!(asked.body, "grant_type=client_credentials&scope=build+read");
    assert_eq!(works(&server).await["status"], 200);
    assert_eq!(fetched(&server), 1);
    server.renew_token();
    assert_eq!(works(&server).await["status"], 200);
    assert_eq!(fetched(&server), 2);
}

#[tokio::test]
async fn many_who_need_a_token_fetch_it_once() {
    let server = Server::start().await;
    let all = futures::future::join_all((0..10).map(|_| works(&server))).await;
    assert!(all.iter().all(|it| it["status"] == 200));
    assert_eq!(fetched(&server), 1);
}

#[tokio::test]
async fn a_token_that_is_over_is_fetched_again() {
    let server = Server::start().await;
    server.token_lasts(0);
    works(&server).await;
    works(&server).await;
    assert_eq!(fetched(&server), 2);
}

#[tokio::test]
async fn a_token_is_scrubbed_from_answers() {
    let server = Server::start().await;
    let (report, text) = request(&server, "/token", "/open/echo").await;
    assert!(done(report)["body"].as_str().expect("a body").contains("Bearer ***"));
    assert!(!text.contains("t0k3n"), "{text}");
}

#[tokio::test]
async fn token_servers_that_lie_or_never_answer_give_no_token() {
    let server = Server::start().await;
    for (path, says) in [
        ("nothing", "no `access_token`"),
        ("page", "no `access_token`"),
        ("short", "too short"),
        ("other", "another type than bearer"),
        ("lines", "a line end or another control character"),
        ("moved", "302 Found"),
        ("long", "broke off or is too long"),
    ] {
        let (report, text) = request(&server, &format!("/lying-token/{path}"), "/open/needs-token").await;
        assert_eq!(code(&report), "credential-not-available", "{path}");
        assert!(message(&report).contains(says), "{path}: {}", message(&report));
        assert!(!text.contains("d2luZGxhc3M6") && !text.contains("t0k3n"), "{path}: {text}");
    }
    assert_eq!(fetched(&server), 0, "no redirect was followed");
    assert!(server.seen().iter().all(|it| it.path != "/open/needs-token"), "nothing was sent without a token");
    // Whoever waits for one in vain keeps nobody else from asking.
    for _ in 0..2 {
        let (report, _) = ask("slow-answer", &server, "/open/never", "/open/needs-token").await;
        assert_eq!(code(&report), "wall-limit");
    }
    assert_eq!(server.seen().iter().filter(|it| it.path == "/open/never").count(), 2);
}

#[tokio::test]
async fn a_token_that_is_refused_is_told_without_the_secret() {
    let server = Server::start().await;
    let (report, text) = request(&server, "/broken-token", "/open/hello").await;
    assert_eq!(code(&report), "credential-not-available");
    assert!(message(&report).contains("400 Bad Request invalid_client: Basic ***"), "{}", message(&report));
    assert!(!text.contains("d2luZGxhc3M6"), "{text}");
}
