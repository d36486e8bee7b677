//! `windlass release callback`

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use windlass_server::Client;
use windlass_server::api::CalledBack;
use windlass_server::callbacks::CALLBACK_BODY_BYTES_MAX;
use windlass_server::view::ReleaseView;

use super::Context;
use super::wish::shown;

#[derive(Debug, clap::Args)]
pub(crate) struct CallbackArgs {
    /// The topic, or the whole address that ends with it; `-` reads it from standard input, where other users of the
    /// machine do not see it
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// What the other side would send, as JSON; a file
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
}

pub(crate) async fn callback(client: &Client, args: CallbackArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let given = if args.topic == "-" { first_line()? } else { args.topic };
    let Some(topic) = topic_of(&given) else {
        // What was given may be a topic with a typing error, and is not repeated.
        bail!("this is no callback topic: it begins with `wcb_` and goes on with letters, digits, `-` and `_`");
    };
    let body = args.body.as_deref().map(read).transpose()?.unwrap_or_default();
    let called: CalledBack = client.post_bytes(&format!("/v1/callbacks/{topic}"), body.into()).await?;
    let view: ReleaseView = client.get(&format!("/v1/releases/{}", called.release)).await?;
    shown(&view, client, false, context);
    Ok(0)
}

fn first_line() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().take(4096).read_to_string(&mut text).context("the topic on standard input")?;
    Ok(text.trim().to_owned())
}

/// The topic in what was given: all of it, or the end of an address.
fn topic_of(given: &str) -> Option<&str> {
    let topic = given.rsplit_once('/').map_or(given, |(_, topic)| topic);
    let is_one = topic.starts_with("wcb_") && topic.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it));
    is_one.then_some(topic)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let name = path.display();
    let mut body = Vec::new();
    let file = std::fs::File::open(path).with_context(|| format!("{name} cannot be read"))?;
    let most = CALLBACK_BODY_BYTES_MAX as u64;
    file.take(most + 1).read_to_end(&mut body).with_context(|| format!("{name} cannot be read"))?;
    if body.len() as u64 > most {
        bail!("{name} is too large: the body of a callback has {} KiB at most", most / 1024);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_found_at_the_end_of_an_address() {
        for good in ["wcb_aB-_9", "https://x.example.com/hooks/callbacks/wcb_aB-_9", "/v1/callbacks/wcb_aB-_9"] {
            assert_eq!(topic_of(good), Some("wcb_aB-_9"), "{good}");
        }
        for bad in ["", "payments-3", "wcb_a?b=c", "wcb_a b", "wcb_ä", "https://x/wcb_a/", "../wcb_%2f"] {
            assert_eq!(topic_of(bad), None, "{bad}");
        }
    }
}
