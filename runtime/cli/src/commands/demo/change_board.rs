//! The simulated change board: says yes in the simulated ServiceNow a while after a release asks.
//!
//! Not Windlass deciding for itself: a real board answers in the real ServiceNow, and the step that
//! waits for it learns of it in the same way.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use windlass_server::Client;
use windlass_server::view::ReleaseView;

/// How long the board takes.
const SITTING: std::time::Duration = std::time::Duration::from_secs(2);

/// Approves the change of `release` once a step waits for that.
pub(super) async fn sit(client: Client, release: String, servicenow: String) {
    let (asked, mut asks) = tokio::sync::watch::channel(None::<String>);
    let watching = tokio::spawn(async move {
        let path = format!("/v1/releases/{release}/watch");
        client
            .lines(&path, |view: ReleaseView| {
                asked.send_if_modified(|it| {
                    let change = waiting_change(&view);
                    let is_new = change.is_some() && *it != change;
                    if is_new {
                        *it = change;
                    }
                    is_new
                });
            })
            .await
    });
    while asks.changed().await.is_ok() {
        let change = asks.borrow_and_update().clone();
        if let Some(change) = change {
            tokio::time::sleep(SITTING).await;
            let body = serde_json::json!({ "change": change, "by": "the simulated change board", "approved": true });
            if let Err(error) = post(&servicenow, "/_sim/approve", body.to_string()).await {
                tracing::warn!(%error, "the simulated change board could not answer");
            }
        }
    }
    watching.abort();
}

/// The change that a step waits for the approval of.
fn waiting_change(view: &ReleaseView) -> Option<String> {
    let step = view.steps.iter().find(|it| it.uses == "servicenow/await-approval" && it.state == "suspended")?;
    Some(step.input.get("change")?.as_str()?.to_owned())
}

async fn post(url: &str, path: &str, body: String) -> anyhow::Result<()> {
    let authority = url.trim_start_matches("http://");
    let stream = tokio::net::TcpStream::connect(authority).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = hyper::Request::post(path)
        .header("host", authority)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let answer = response.into_body().collect().await?.to_bytes();
    anyhow::ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));
    Ok(())
}
