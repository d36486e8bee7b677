//! Which connection a request is for, and whether both sides grant it.
//!
//! Pure: nothing is resolved or sent here.

use http::{HeaderMap, Method, Request, Uri};
use windlass_model::connection::{Authentication, Connection};
use windlass_model::dry_run::is_override;
use windlass_model::grant::{Denial, Missing, RequestLine, allows, is_plain_path};
use windlass_model::manifest::Action;
use windlass_model::name::{ActionName, PluginName, RoleName};

use crate::call::Access;

/// A connection of the step with its address taken apart.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) role: RoleName,
    pub(crate) connection: Connection,
    origin: Origin,
    /// `/base`, or nothing.
    prefix: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    https: bool,
    host: String,
    port: u16,
}

impl Origin {
    fn of(uri: &Uri) -> Option<Self> {
        let https = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        // A user in an address is a credential, or an attempt to look like another host.
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return None;
        }
        let port = match authority.port() {
            Some(port) => port.as_str().parse().ok()?,
            None if https => 443,
            None => 80,
        };
        Some(Self { https, host: authority.host().trim_end_matches('.').to_ascii_lowercase(), port })
    }
}

/// Who asks, and for what.
pub(crate) struct Asking<'a> {
    pub(crate) plugin: &'a PluginName,
    pub(crate) name: &'a ActionName,
    pub(crate) action: &'a Action,
    /// Whether this is a dry run, which stops and lists what is no plain read.
    pub(crate) dry_run: bool,
}

/// The connections of a step that requests can be for; those with a broken address are left out.
pub(crate) fn routes(access: &Access) -> Vec<Route> {
    let mut routes: Vec<Route> = access
        .connections
        .iter()
        .filter_map(|(role, connection)| {
            let uri: Uri = connection.base_url.as_ref()?.parse().ok()?;
            let prefix = uri.path().trim_end_matches('/').to_owned();
            Some(Route { role: role.clone(), connection: connection.clone(), origin: Origin::of(&uri)?, prefix })
        })
        .collect();
    // The most specific first; the order of roles among equals.
    routes.sort_by_key(|it| std::cmp::Reverse(it.prefix.len()));
    routes
}

impl Route {
    /// The path below the connection's address, if it is below it.
    pub(super) fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(self.prefix.as_str())?;
        match rest {
            "" => Some("/"),
            rest if rest.starts_with('/') => Some(rest),
            _ => None,
        }
    }
}

/// What is shown of a path.
const PATH_CHARS_SHOWN_MAX: usize = 1000;

/// What a request looks like in messages: without its query, which may hold anything.
pub(crate) fn shown<B>(request: &Request<B>) -> String {
    let uri = request.uri();
    let (scheme, host) = (uri.scheme_str().unwrap_or("?"), uri.host().unwrap_or("?"));
    let port = uri.port().map(|it| format!(":{it}")).unwrap_or_default();
    format!("{} {scheme}://{host}{port}{}", request.method(), cut(uri.path()))
}

/// As much of a path as a person reads.
fn cut(path: &str) -> String {
    match path.char_indices().nth(PATH_CHARS_SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &path[..end]),
        None => path.to_owned(),
    }
}

/// Decides whether a request may be sent, and with which connection's credential.
pub(crate) fn decide<'a, B>(
    routes: &'a [Route],
    request: &Request<B>,
    asking: &Asking<'_>,
) -> Result<&'a Route, Box<Denial>> {
    let denial = |missing: Missing, remedy: String| Box::new(Denial { asked: shown(request), missing, remedy });
    let uri = request.uri();
    let origin = Origin::of(uri);
    let same_origin: Vec<&Route> = routes.iter().filter(|it| Some(&it.origin) == origin.as_ref()).collect();
    if same_origin.is_empty() {
        let remedy = format!(
            "bind a connection with this address to a role of the step: `windlass connection add NAME --url {}://{}`",
            uri.scheme_str().unwrap_or("https"),
            uri.authority().map_or("HOST", |it| it.as_str().rsplit('@').next().unwrap_or_default()),
        );
        return Err(denial(Missing::Connection, remedy));
    }
    if !is_plain_path(uri.path()) {
        return Err(denial(Missing::PlainPath, "send the path in its plain form".to_owned()));
    }
    let mut refused = None;
    for route in same_origin {
        let Some(path) = route.below(uri.path()) else { continue };
        match granted(route, request.method(), path, request.headers(), asking) {
            Ok(()) => return Ok(route),
            Err((missing, remedy)) => refused = refused.or(Some(denial(missing, remedy))),
        }
    }
    Err(refused.unwrap_or_else(|| {
        let remedy = "the step's connections to this host have another path at the end of their address".to_owned();
        denial(Missing::Connection, remedy)
    }))
}

fn granted(
    route: &Route,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    asking: &Asking<'_>,
) -> Result<(), (Missing, String)> {
    let Route { role, connection, .. } = route;
    let Asking { plugin, name, action, dry_run } = asking;
    let line = RequestLine { method: method.as_str(), path };
    // These two make a proxy or an echo of the server; no grant is meant to say that.
    if *method == Method::CONNECT || *method == Method::TRACE {
        return Err((Missing::Manifest, format!("`{method}` requests are never sent")));
    }
    let rules = action.connections.get(role).map(|it| it.requests.as_slice()).unwrap_or_default();
    let Some(rule) = rules.iter().find(|it| allows(std::slice::from_ref(it), line)) else {
        // What authors write is their language's; the manifest is made of it.
        return Err((
            Missing::Manifest,
            format!(
                "let the action `{name}` of `{plugin}` ask for `{method} {}` among the requests of its role `{role}` (`*` stands for a segment), and build it anew",
                cut(path)
            ),
        ));
    };
    let connection_name = &connection.name;
    if !connection.plugins.is_empty() && !connection.plugins.contains(plugin) {
        return Err((
            Missing::PluginGrant,
            format!(
                "add the plugin to the connection: `windlass connection change {connection_name} --plugin {plugin}`"
            ),
        ));
    }
    if !connection.allow.is_empty() && !allows(&connection.allow, line) {
        // As the action asks for it: the next one is to another path. Whoever asks for all is not to get it for one.
        let pattern = if rule.path == "/**" { cut(path) } else { rule.path.clone() };
        return Err((
            Missing::ConnectionGrant,
            format!(
                "add the request to the connection: `windlass connection change {connection_name} --allow '{method} {pattern}'`",
            ),
        ));
    }
    if let Some(header) = own_header(&connection.authentication)
        && headers.contains_key(header)
    {
        return Err((
            Missing::HostHeader,
            format!(
                "leave the header `{header}` out: the host sets it with the credential of connection `{connection_name}`"
            ),
        ));
    }
    // `X-HTTP-Method-Override: DELETE` makes of a POST that is granted what is not.
    let overriding = headers.keys().find(|it| is_override(it.as_str()));
    if let Some(header) = overriding.filter(|_| !dry_run) {
        return Err((Missing::Override, format!("leave `{header}` out, and send the request that is meant")));
    }
    Ok(())
}

/// The header that the host sets for this authentication.
pub(crate) fn own_header(authentication: &Authentication) -> Option<&str> {
    match authentication {
        Authentication::None | Authentication::Kubeconfig { .. } => None,
        Authentication::Basic { .. }
        | Authentication::Bearer { .. }
        | Authentication::OAuth2ClientCredentials { .. } => Some("authorization"),
        Authentication::Header { header, .. } => Some(header),
    }
}
