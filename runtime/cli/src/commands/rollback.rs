//! `windlass release rollback`

use windlass_model::event::Outcome;
use windlass_model::name::ReleaseId;
use windlass_model::text::{one_line, part_name};
use windlass_server::Client;
use windlass_server::api::{Asked, InterventionBody};
use windlass_server::going_back::GoingBackView;
use windlass_server::view::{ReleaseView, RollbackPreviewView};

use super::wish::{WatchedArgs, Wish};
use super::{Context, watch};
use crate::output::{BAD, DIM, STRONG, WAIT, styled};

#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(group(clap::ArgGroup::new("what").args(["release", "to"]).required(true)))]
#[command(group(clap::ArgGroup::new("how").args(["preview", "reason"]).required(true)))]
pub(crate) struct RollbackArgs {
    /// Which release
    release: Option<ReleaseId>,
    /// Go back to how things were after this one: roll back all releases of its workflow that came since
    #[arg(long, value_name = "RELEASE")]
    to: Option<ReleaseId>,
    /// Only tell what would be rolled back, by what, and what would stay
    #[arg(long)]
    preview: bool,
    /// For `--to`: what nothing can roll back, such as a build, may stay as it is
    #[arg(long, requires = "to")]
    accept_what_stays: bool,
    #[command(flatten)]
    watched: WatchedArgs,
    /// Why; kept with the release
    #[arg(long)]
    reason: Option<String>,
    /// Act for this person; the journal says who did
    #[arg(long = "as", value_name = "PERSON", value_parser = super::person)]
    on_behalf_of: Option<String>,
}

fn asked(reason: String, on_behalf_of: Option<String>) -> InterventionBody {
    InterventionBody { what: Asked::RollBack, step: None, version: None, output: None, reason, on_behalf_of }
}

pub(super) async fn rollback(args: RollbackArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    anyhow::ensure!(
        !args.watched.wait || !(args.preview || args.to.is_some()),
        "`--wait` is for the rollback of one release: a preview changes nothing, and `--to` watches what it rolls back"
    );
    let reason = args.reason.unwrap_or_default();
    let body = |reason: String| asked(reason, args.on_behalf_of.clone());
    match (args.release, args.to) {
        (Some(release), _) if args.preview => {
            let client = context.client().await?;
            let preview: RollbackPreviewView = client.get(&format!("/v1/releases/{release}/rollback")).await?;
            context.output.data(&preview, |it| drawn(it, 0));
            note_newer(&preview, context);
            Ok(u8::from(preview.refused.is_some()))
        }
        (Some(release), _) => {
            let path = format!("/v1/releases/{release}/rollback");
            let wish = Wish::new(release, "interventions", &body(reason))?;
            let wish = wish.until(&[Outcome::RolledBack], args.watched);
            let client = wish.client(context).await?;
            // It says more, and stands in the way of nothing.
            let preview = client.get::<RollbackPreviewView>(&path).await.ok();
            let view = wish.say(&client).await?;
            if let Some(preview) = preview {
                note_newer(&preview, context);
            }
            wish.see(view, client, context).await
        }
        (None, Some(to)) => {
            let client = context.client().await?;
            let accept = args.accept_what_stays;
            let way: GoingBackView = client.get(&format!("/v1/releases/{to}/way-back?accept={accept}")).await?;
            if args.preview {
                context.output.data(&way, way_drawn);
                return Ok(u8::from(way.problem.is_some()));
            }
            if let Some(problem) = &way.problem {
                anyhow::bail!("nothing was rolled back: {problem}{}", nearest(&way));
            }
            if matches!(client, Client::Here(_)) && !way.releases.is_empty() {
                let which: Vec<&str> = way.releases.iter().map(|it| it.release.as_str()).collect();
                anyhow::bail!(
                    "nothing was rolled back: {} would be, and nothing runs; start `windlass serve` first",
                    which.join(", ")
                );
            }
            go_back(&way, &body(format!("back to {to}: {reason}")), &client, context).await
        }
        (None, None) => anyhow::bail!("name a release, or one to go back to with `--to`"),
    }
}

/// Says which releases came on top; nothing where nobody asked for words.
fn note_newer(preview: &RollbackPreviewView, context: &Context<'_>) {
    let RollbackPreviewView { release, newer, .. } = preview;
    let Some(newest) = newer.first() else { return };
    let which = match newer.len() {
        1 => newest.clone(),
        more => format!("{newest} and {} more", more - 1),
    };
    context.output.note(format_args!(
        "{which} came after {release}, not rolled back with it: a plugin that looks for that refuses, and waits for a person; one that does not overwrites what came since; `windlass release rollback --to RELEASE` rolls back all that came after one"
    ));
}

/// Rolls back one release after the other, the newest first; ends with the first that is not wholly rolled back.
async fn go_back(
    way: &GoingBackView,
    body: &InterventionBody,
    client: &Client,
    context: &Context<'_>,
) -> anyhow::Result<u8> {
    let mut done: Vec<ReleaseView> = Vec::new();
    for release in way.releases.iter().map(|it| &it.release) {
        let _: ReleaseView = client.post(&format!("/v1/releases/{release}/interventions"), body).await?;
        let view = watch::watch(client, release, context, watch::Approvals::Wait).await?;
        let is_good = view.ended && [Outcome::RolledBack.name(), Outcome::Canceled.name()].contains(&&*view.state);
        if !is_good {
            let state = &view.state;
            anyhow::bail!(
                "{release} is {state}: what came before it is left as it is; once that is settled, `windlass release rollback --to {}` goes on",
                way.to
            );
        }
        done.push(view);
    }
    context.output.data(&done, |it| match it.as_slice() {
        [] => format!("nothing that could be rolled back came after {}\n", way.to),
        all => {
            let names: Vec<&str> = all.iter().map(|it| it.release.as_str()).collect();
            format!("back to {}: rolled back {}\n", way.to, names.join(", "))
        }
    });
    Ok(0)
}

fn nearest(way: &GoingBackView) -> String {
    match &way.nearest {
        Some(nearest) => format!("; the nearest that one can go back to is {nearest} (`--to {nearest}`)"),
        None => String::new(),
    }
}

fn way_drawn(way: &GoingBackView) -> String {
    let mut out = String::new();
    for release in &way.releases {
        out.push_str(&drawn(release, 0));
    }
    match &way.problem {
        Some(problem) => {
            let problem = one_line(&format!("{problem}{}", nearest(way)));
            out.push_str(&format!("{} no way back to {}: {problem}\n", styled(BAD, "✘"), way.to));
        }
        None if way.releases.is_empty() => {
            out.push_str(&format!("nothing that could be rolled back came after {}\n", way.to));
        }
        None => {}
    }
    out
}

fn drawn(preview: &RollbackPreviewView, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    let mut out = format!("{indent}{}  {}\n", styled(STRONG, &preview.release), preview.state);
    if let Some(refused) = &preview.refused {
        out.push_str(&format!("{indent}  {} {}\n", styled(BAD, "✘"), one_line(refused)));
    }
    let wide = preview.steps.iter().map(|it| it.step.len()).max().unwrap_or(0);
    for (at, it) in preview.steps.iter().enumerate() {
        let version = it.version.as_ref().map(|it| format!("{it} ")).unwrap_or_default();
        let by = styled(DIM, format!("{version}{}", it.digest.get(..19).unwrap_or(&it.digest)));
        out.push_str(&format!("{indent}  {}. {:wide$}  {} {by}\n", at + 1, it.step, it.uses));
        for (name, value) in it.recorded.iter().filter(|_| it.inner.is_empty()) {
            out.push_str(&format!(
                "{indent}     {}\n",
                styled(DIM, one_line(&format!("{}: {value}", part_name(name))))
            ));
        }
        for inner in &it.inner {
            out.push_str(&drawn(inner, depth + 2));
        }
    }
    for it in &preview.stays {
        let sign = if it.is_lost { styled(WAIT, "▸") } else { styled(DIM, "○") };
        out.push_str(&format!("{indent}  {sign} {} stays: {}\n", it.step, one_line(&it.why)));
    }
    if preview.steps.is_empty() && preview.stays.is_empty() {
        out.push_str(&format!("{indent}  {}\n", styled(DIM, "nothing")));
    }
    out
}
