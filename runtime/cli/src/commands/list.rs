//! `windlass release list`

use windlass_server::Client;
use windlass_server::api::{LIMIT_MAX, OutlineView, ReleasesPage};

use super::Context;

/// List releases, the newest last
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  windlass release list --open\n  windlass release list --open-reviews\n  windlass release list --in-state failed --limit 10\n  windlass release list --limit 1000 --json"
)]
pub(crate) struct ListArgs {
    /// Only those that have not ended
    #[arg(long)]
    open: bool,

    /// Only those that were rolled back, and nobody has said why they had to be (`windlass release cause`)
    #[arg(long)]
    open_reviews: bool,

    /// Only those in this state, for example `succeeded`, `failed` or `running`
    // Not `state`: that is where everything is kept.
    #[arg(long, value_name = "STATE")]
    in_state: Option<String>,

    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
}

pub(crate) async fn list(args: ListArgs, client: &Client, context: &Context<'_>) -> anyhow::Result<u8> {
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut query = String::new();
    if args.open {
        query.push_str("&open=true");
    }
    if args.open_reviews {
        query.push_str("&review_open=true");
    }
    if let Some(state) = &args.in_state {
        let encoded: String = url::form_urlencoded::byte_serialize(state.as_bytes()).collect();
        query.push_str(&format!("&state={encoded}"));
    }
    let (mut releases, mut quarantined): (Vec<OutlineView>, _) = (Vec::new(), Vec::new());
    let mut after = String::new();
    let more = loop {
        let rest = (limit - releases.len()).min(LIMIT_MAX);
        let page: ReleasesPage = client.get(&format!("/v1/releases?limit={rest}{query}{after}")).await?;
        releases.extend(page.releases);
        quarantined.extend(page.quarantined);
        match page.next {
            None => break false,
            Some(_) if releases.len() >= limit => break true,
            Some(next) => after = format!("&after={next}"),
        }
    };
    releases.reverse();
    context.output.data(&releases, |it| table(it));
    if more {
        context.output.note(format_args!("the newest {limit}; --limit shows more"));
    }
    for release in quarantined {
        context.output.note(format_args!("in quarantine, out of use: {release}"));
    }
    Ok(0)
}

fn table(releases: &[OutlineView]) -> String {
    if releases.is_empty() {
        return "no releases; `windlass run WORKFLOW` starts one".to_owned();
    }
    let wide = releases.iter().map(|it| it.release.len()).max().unwrap_or(0);
    let lines = releases.iter().map(|it| {
        let says = if it.open { Some(it.headline.as_str()) } else { it.failure.as_deref() };
        let kinds = [it.rehearsal.then_some("rehearsal"), it.dry_run.then_some("dry run")];
        let mut rest: Vec<&str> = kinds.into_iter().flatten().chain(it.priority.as_deref()).collect();
        rest.extend(says.filter(|it| !rest.contains(it)));
        let line = format!(
            "{:wide$}  {:22} {}  {:10} {}",
            it.release,
            it.state,
            it.created_at,
            it.requested_by,
            rest.join(" · ")
        );
        format!("{}\n", line.trim_end())
    });
    lines.collect()
}
