//! Reading a list that comes in pages, by cursor and by `Link` header, with an end in any case.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_sdk::http::Endpoint;
use windlass_sdk::{Action, Answer, Context, Effect, Failure, Method, Outcome, Response, Role};

pub(crate) struct ListByCursor;
pub(crate) struct ListByLink;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// How many issues are taken at most.
    #[serde(default = "items_max")]
    #[schemars(range(min = 1, max = 5000))]
    items_max: usize,
}

fn items_max() -> usize {
    1000
}

/// A call may make 100 requests.
const PAGES_MAX: usize = 90;

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Output {
    /// The issues' numbers, each once.
    issues: BTreeSet<u64>,
    /// Whether these are all.
    complete: bool,
}

#[derive(Deserialize)]
struct Issue {
    number: u64,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Issue>,
    /// Absent, null or empty on the last page.
    #[serde(default)]
    next: Option<String>,
}

impl Action for ListByCursor {
    const NAME: &'static str = "list-by-cursor";
    const DESCRIPTION: &'static str = "Lists open issues of a service whose pages name the next one by a cursor.";
    const EFFECT: Effect = Effect::Read;
    type Input = Input;
    type Output = Output;
    type State = ();

    fn connections() -> Vec<Role> {
        vec![Role::required("tracker", "The issue tracker.").allow(&[Method::Get], "/issues")]
    }

    fn start(ctx: &Context, input: Input) -> Answer<Self> {
        let tracker = ctx.http("tracker")?;
        pages(&input, |cursor| {
            let request = tracker.get("/issues").query("state", "open").query("limit", 100);
            let request = if let Some(cursor) = cursor { request.query("cursor", cursor) } else { request };
            let page: Page = request.send()?.json()?;
            Ok((page.items, page.next.filter(|it| !it.is_empty())))
        })
    }
}

impl Action for ListByLink {
    const NAME: &'static str = "list-by-link";
    const DESCRIPTION: &'static str =
        "Lists open issues of a service whose pages name the next one in a `Link` header.";
    const EFFECT: Effect = Effect::Read;
    type Input = Input;
    type Output = Output;
    type State = ();

    fn connections() -> Vec<Role> {
        vec![Role::required("forge", "The forge.").allow(&[Method::Get], "/issues")]
    }

    fn start(ctx: &Context, input: Input) -> Answer<Self> {
        let forge = ctx.http("forge")?;
        pages(&input, |next| {
            let response = forge.get(next.unwrap_or("/issues?state=open&limit=100")).send()?;
            let next = next_link(&response).map(|it| below(&forge, it)).transpose()?;
            Ok((response.json()?, next))
        })
    }
}

/// Page after page, until there is no next one or there were enough.
fn pages(
    input: &Input,
    mut page: impl FnMut(Option<&str>) -> Result<(Vec<Issue>, Option<String>), Failure>,
) -> Answer<ListByCursor> {
    // Issues that come while the list is read push others onto the next page: a set takes each once.
    let mut issues = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut at: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let (items, next) = page(at.as_deref())?;
        issues.extend(items.into_iter().map(|it| it.number));
        let Some(next) = next else {
            let complete = issues.len() <= input.items_max;
            return Ok(Outcome::done(Output { issues: issues.into_iter().take(input.items_max).collect(), complete }));
        };
        if issues.len() >= input.items_max {
            break;
        }
        if !seen.insert(next.clone()) {
            let message = format!("the page after `{next}` is `{next}` again: the list has no end");
            return Err(Failure::internal("pages-in-a-circle", message).never());
        }
        at = Some(next);
    }
    Ok(Outcome::done(Output { issues: issues.into_iter().take(input.items_max).collect(), complete: false }))
}

/// `<https://tracker.test/issues?page=2>; rel="next", <…>; rel="last"`
fn next_link(response: &Response) -> Option<&str> {
    let links = response.headers().iter().filter(|(name, _)| name.eq_ignore_ascii_case("link"));
    links.flat_map(|(_, value)| value.split(", <")).find_map(|link| {
        let (address, parameters) = link.trim_start_matches('<').split_once('>')?;
        let mut parameters = parameters.split(';').map(str::trim);
        parameters.any(|it| matches!(it, "rel=\"next\"" | "rel=next")).then_some(address)
    })
}

/// The part of an address below the connection's; the credential goes nowhere else.
fn below(forge: &Endpoint, address: &str) -> Result<String, Failure> {
    let base_url = &forge.connection().base_url;
    let origin = base_url.match_indices('/').nth(2).map_or(base_url.as_str(), |(at, _)| &base_url[..at]);
    let whole = if address.starts_with('/') { format!("{origin}{address}") } else { address.to_owned() };
    let rest = whole.strip_prefix(base_url.as_str()).filter(|it| it.starts_with(['/', '?']));
    rest.map(str::to_owned).ok_or_else(|| {
        let message = format!(
            "the next page is at {address}, which is not below {base_url}: is the connection's address the one that the service uses itself?"
        );
        Failure::internal("page-elsewhere", message).never()
    })
}
