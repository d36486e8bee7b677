//! The scripted host.

use crate::host::{
    Begun, BodyReader, CallbackAddress, Connection, Host, Level, Slot, ToolCommand, ToolError, ToolProcess, ToolStream,
    WireRequest, WireResponse,
};
use crate::http::{Method, TransportError, TransportErrorKind};
use crate::tool::ToolOutput;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A scripted answer to one request.
#[derive(Clone, Debug)]
pub struct Reply {
    result: Result<u16, TransportErrorKind>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    takes: Duration,
}

impl Reply {
    /// A status without a body.
    pub fn status(status: u16) -> Self {
        Self { result: Ok(status), headers: Vec::new(), body: Vec::new(), takes: Duration::ZERO }
    }

    /// A JSON answer.
    pub fn json(status: u16, body: Value) -> Self {
        let mut reply = Self::status(status).header("Content-Type", "application/json");
        reply.body = body.to_string().into_bytes();
        reply
    }

    /// A text answer.
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        let mut reply = Self::status(status).header("Content-Type", "text/plain");
        reply.body = body.into().into_bytes();
        reply
    }

    /// No answer, for this reason.
    pub fn error(kind: TransportErrorKind) -> Self {
        let mut reply = Self::status(0);
        reply.result = Err(kind);
        reply
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Lets the clock go on by this much before the answer.
    pub fn takes(mut self, time: Duration) -> Self {
        self.takes = time;
        self
    }
}

/// A request that the mock host saw.
#[derive(Clone, Debug)]
pub struct SeenRequest {
    /// Method.
    pub method: Method,
    /// Below the connection's base URL, without the query.
    pub path: String,
    /// The query's parameters, decoded.
    pub query: BTreeMap<String, String>,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl SeenRequest {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).expect("the request's body is JSON")
    }

    /// The body as a form.
    pub fn form(&self) -> BTreeMap<String, String> {
        pairs(&String::from_utf8_lossy(&self.body))
    }

    /// `POST /job/a/build`.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// The line.
    pub message: String,
    /// Its fields.
    pub fields: Vec<(String, String)>,
}

/// What a manifest asks of a tool.
#[derive(Debug)]
pub(super) struct AskedTool {
    pub(super) subcommands: Vec<String>,
    pub(super) dry_run: Vec<String>,
}

type Server = Box<dyn FnMut(&SeenRequest) -> Option<Reply>>;
type Toolbox = Box<dyn FnMut(&ToolCommand) -> Result<ToolOutput, ToolError>>;
type Grants = BTreeMap<String, Vec<(String, String)>>;

/// A host whose answers a test scripts.
pub struct MockHost {
    connections: BTreeMap<String, Connection>,
    server: RefCell<Option<Server>>,
    toolbox: RefCell<Option<Toolbox>>,
    routes: RefCell<BTreeMap<String, VecDeque<Reply>>>,
    standing: RefCell<BTreeMap<String, Reply>>,
    /// What the manifest of the action asks, by role: (method, path pattern). Set by [`super::TestStep`].
    pub(super) grants: RefCell<Grants>,
    /// What the manifest of the action asks of tools, by name. Set by [`super::TestStep`].
    pub(super) tools_asked: RefCell<Option<BTreeMap<String, AskedTool>>>,
    /// Whether what writes is denied. Set by [`super::TestStep`].
    pub(super) dry_run: Cell<bool>,
    requests: RefCell<Vec<SeenRequest>>,
    log: RefCell<Vec<LogLine>>,
    status: RefCell<Option<String>>,
    percent: Cell<Option<u8>>,
    links: RefCell<Vec<(String, String)>>,
    checkpoints: Rc<RefCell<BTreeMap<String, Vec<u8>>>>,
    callbacks: Cell<u32>,
    takes_callbacks: bool,
    clock: Cell<Duration>,
}

impl Default for MockHost {
    fn default() -> Self {
        Self::new()
    }
}

/// `METHOD /path`
fn is_route(route: &str) -> bool {
    let is_method = |it: &str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_uppercase());
    route
        .split_once(' ')
        .is_some_and(|(method, path)| is_method(method) && path.starts_with('/') && !path.contains('?'))
}

impl MockHost {
    /// A host without connections at 2026-01-05 09:00 UTC.
    pub fn new() -> Self {
        Self {
            connections: BTreeMap::new(),
            server: RefCell::default(),
            toolbox: RefCell::default(),
            routes: RefCell::default(),
            standing: RefCell::default(),
            grants: RefCell::default(),
            tools_asked: RefCell::default(),
            dry_run: Cell::default(),
            requests: RefCell::default(),
            log: RefCell::default(),
            status: RefCell::default(),
            percent: Cell::default(),
            links: RefCell::default(),
            checkpoints: Rc::default(),
            callbacks: Cell::default(),
            takes_callbacks: true,
            clock: Cell::new(Duration::from_secs(1_767_603_600)),
        }
    }

    /// As of an installation that takes no callbacks from the network: addresses have no URL.
    pub fn without_callbacks(mut self) -> Self {
        self.takes_callbacks = false;
        self
    }

    /// Binds a connection to a role.
    pub fn connection(mut self, role: &str, base_url: &str) -> Self {
        let connection =
            Connection { name: format!("{role}-test"), base_url: base_url.to_owned(), properties: Vec::new() };
        self.connections.insert(role.to_owned(), connection);
        self
    }

    /// Answers requests that no scripted reply is left for; none means that none was expected.
    pub fn serve(self, server: impl FnMut(&SeenRequest) -> Option<Reply> + 'static) -> Self {
        *self.server.borrow_mut() = Some(Box::new(server));
        self
    }

    /// Runs tools.
    pub fn tools(self, toolbox: impl FnMut(&ToolCommand) -> Result<ToolOutput, ToolError> + 'static) -> Self {
        *self.toolbox.borrow_mut() = Some(Box::new(toolbox));
        self
    }

    /// Scripts the next answer to `METHOD /path` (below the base URL, without the query).
    ///
    /// Panics if the route is written otherwise.
    pub fn reply(&self, route: &str, reply: Reply) {
        assert!(is_route(route), "`{route}` is no route: write `METHOD /path`");
        self.routes.borrow_mut().entry(route.to_owned()).or_default().push_back(reply);
    }

    /// Scripts the answer to `METHOD /path` for when no other is left.
    ///
    /// Panics if the route is written otherwise.
    pub fn always(&self, route: &str, reply: Reply) {
        assert!(is_route(route), "`{route}` is no route: write `METHOD /path`");
        self.standing.borrow_mut().insert(route.to_owned(), reply);
    }

    /// Lets time pass.
    pub fn advance(&self, time: Duration) {
        self.clock.set(self.clock.get() + time);
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.requests.borrow().clone()
    }

    /// How many requests went to `METHOD /path`.
    pub fn count(&self, route: &str) -> usize {
        self.requests.borrow().iter().filter(|request| request.line() == route).count()
    }

    /// The log so far.
    pub fn log_lines(&self) -> Vec<LogLine> {
        self.log.borrow().clone()
    }

    /// The messages of the log so far, one per line.
    pub fn log_text(&self) -> String {
        self.log.borrow().iter().map(|line| format!("{}\n", line.message)).collect()
    }

    /// The last status.
    pub fn last_status(&self) -> Option<String> {
        self.status.borrow().clone()
    }

    /// The last percentage.
    pub fn last_percent(&self) -> Option<u8> {
        self.percent.get()
    }

    /// The links so far.
    pub fn links(&self) -> Vec<(String, String)> {
        self.links.borrow().clone()
    }

    fn answer(&self, seen: &SeenRequest) -> Reply {
        let line = seen.line();
        let scripted = self.routes.borrow_mut().get_mut(&line).and_then(VecDeque::pop_front);
        scripted
            .or_else(|| self.server.borrow_mut().as_mut().and_then(|server| server(seen)))
            .or_else(|| self.standing.borrow().get(&line).cloned())
            .unwrap_or_else(|| {
                panic!("the mock host has no answer to {line} {:?}: {}", seen.query, self.scripted(&line))
            })
    }

    /// Why there is no answer, and what there is.
    fn scripted(&self, line: &str) -> String {
        let routes = self.routes.borrow();
        if routes.contains_key(line) {
            return "each `reply` is given once, and all were; `always` is given again and again".to_owned();
        }
        let standing = self.standing.borrow();
        let known: Vec<&str> = routes.keys().chain(standing.keys()).map(String::as_str).collect();
        if known.is_empty() { "none was scripted".to_owned() } else { format!("there is {}", known.join(", ")) }
    }

    /// Which role a URL belongs to, and the path and query below its base URL.
    fn role_of<'url>(&self, url: &'url str) -> Option<(&str, &'url str)> {
        self.connections.iter().find_map(|(role, connection)| {
            let rest = url.strip_prefix(connection.base_url.as_str())?;
            (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((role.as_str(), rest))
        })
    }

    /// Whether the manifest asks for this, as far as a host looks at it; why not.
    fn granted_tool(&self, command: &ToolCommand) -> Result<(), String> {
        let asked = self.tools_asked.borrow();
        let Some(asked) = &*asked else { return Ok(()) };
        let tool = &command.tool;
        let Some(asked) = asked.get(tool) else {
            return Err(format!("the action's manifest names no tool `{tool}`"));
        };
        let first = command.arguments.first().map_or("", String::as_str);
        if !asked.subcommands.iter().any(|it| it == first) {
            let named = asked.subcommands.join("`, `");
            return Err(format!("the manifest names no subcommand `{first}` of the tool `{tool}`, but `{named}`"));
        }
        let is_in =
            |form: &String| form.split_whitespace().eq(command.arguments.iter().take(form.split_whitespace().count()));
        if self.dry_run.get() && !asked.dry_run.iter().any(is_in) {
            return Err(format!("`{tool} {}` is in no dry-run form of the manifest", command.arguments.join(" ")));
        }
        match &command.connection {
            Some(role) if !self.grants.borrow().contains_key(role) => Err(format!(
                "the tool `{tool}` is to have the credential of `{role}`, which the action has no role for"
            )),
            _ => Ok(()),
        }
    }

    fn granted(&self, role: &str, method: Method, path: &str) -> bool {
        let grants = self.grants.borrow();
        let mut requests = grants.get(role).into_iter().flatten();
        requests.any(|(granted, pattern)| granted == method.as_str() && path_matches(pattern, path))
    }
}

impl Host for MockHost {
    fn log(&self, level: Level, message: &str, fields: &[(String, String)]) {
        self.log.borrow_mut().push(LogLine { level, message: message.to_owned(), fields: fields.to_vec() });
    }

    fn status(&self, text: &str) {
        *self.status.borrow_mut() = Some(text.to_owned());
    }

    fn percent(&self, value: u8) {
        self.percent.set(Some(value));
    }

    fn link(&self, title: &str, url: &str) {
        self.links.borrow_mut().push((title.to_owned(), url.to_owned()));
    }

    fn connection(&self, role: &str) -> Option<Connection> {
        self.connections.get(role).cloned()
    }

    fn begin(&self, name: &str) -> Begun {
        match self.checkpoints.borrow().get(name) {
            Some(recorded) => Begun::Recorded(recorded.clone()),
            None => {
                Begun::Fresh(Box::new(MockSlot { name: name.to_owned(), checkpoints: Rc::clone(&self.checkpoints) }))
            }
        }
    }

    fn callback(&self) -> CallbackAddress {
        self.callbacks.set(self.callbacks.get() + 1);
        let topic = format!("topic-{}", self.callbacks.get());
        let url = self.takes_callbacks.then(|| format!("https://windlass.test/callbacks/{topic}"));
        CallbackAddress { topic, url }
    }

    fn send(&self, request: WireRequest) -> Result<WireResponse, TransportError> {
        let denied = |why: String| TransportError::new(TransportErrorKind::Denied, why);
        let (role, below) =
            self.role_of(&request.url).ok_or_else(|| denied(format!("{} is below no connection", request.url)))?;
        let (path, query) = below.split_once('?').unwrap_or((below, ""));
        if !self.granted(role, request.method, path) {
            return Err(denied(format!("the manifest does not ask for {} {path}", request.method)));
        }
        if self.dry_run.get() && !matches!(request.method, Method::Get | Method::Head) {
            return Err(denied(format!("{} {path} writes, and this is a dry run", request.method)));
        }
        let seen = SeenRequest {
            method: request.method,
            path: path.to_owned(),
            query: pairs(query),
            headers: request.headers,
            body: request.body.unwrap_or_default(),
        };
        self.requests.borrow_mut().push(seen.clone());
        let reply = self.answer(&seen);
        self.advance(reply.takes);
        let status = reply.result.map_err(|kind| TransportError::new(kind, format!("scripted: {kind:?}")))?;
        Ok(WireResponse { status, headers: reply.headers, body: Box::new(MockBody(Some(reply.body))) })
    }

    fn run_tool(&self, command: ToolCommand) -> Result<Box<dyn ToolProcess>, ToolError> {
        self.granted_tool(&command).map_err(ToolError::Denied)?;
        let mut toolbox = self.toolbox.borrow_mut();
        let toolbox = toolbox.as_mut().expect("the mock host has no tools; see `MockHost::tools`");
        let output = toolbox(&command)?;
        for line in String::from_utf8_lossy(&output.stderr).lines() {
            self.log(Level::Info, line, &[("tool".to_owned(), command.tool.clone())]);
        }
        let chunks = VecDeque::from([(ToolStream::Stdout, output.stdout), (ToolStream::Stderr, output.stderr)]);
        Ok(Box::new(MockProcess { chunks, exit_code: output.exit_code }))
    }

    fn now(&self) -> SystemTime {
        UNIX_EPOCH + self.clock.get()
    }

    fn monotonic(&self) -> Duration {
        self.clock.get()
    }
}

struct MockSlot {
    name: String,
    checkpoints: Rc<RefCell<BTreeMap<String, Vec<u8>>>>,
}

impl Slot for MockSlot {
    fn finish(self: Box<Self>, value: &[u8]) {
        assert!(value.len() <= 65_536, "a checkpoint holds at most 64 KiB");
        self.checkpoints.borrow_mut().insert(self.name, value.to_vec());
    }
}

struct MockBody(Option<Vec<u8>>);

impl BodyReader for MockBody {
    fn read(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        Ok(self.0.take().filter(|bytes| !bytes.is_empty()))
    }
}

struct MockProcess {
    chunks: VecDeque<(ToolStream, Vec<u8>)>,
    exit_code: i32,
}

impl ToolProcess for MockProcess {
    fn read(&mut self) -> Option<(ToolStream, Vec<u8>)> {
        self.chunks.pop_front()
    }

    fn wait(&mut self) -> Result<i32, ToolError> {
        Ok(self.exit_code)
    }
}

/// Matches as the manifest says: `*` within one segment, `**` any number of segments.
fn path_matches(pattern: &str, path: &str) -> bool {
    fn segments_match(pattern: &[&str], path: &[&str]) -> bool {
        match (pattern.split_first(), path.split_first()) {
            (None, None) => true,
            (Some((&"**", rest)), _) => (0..=path.len()).any(|taken| segments_match(rest, &path[taken..])),
            (Some((pattern, patterns)), Some((segment, segments))) => {
                segment_matches(pattern.as_bytes(), segment.as_bytes()) && segments_match(patterns, segments)
            }
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
    fn segment_matches(pattern: &[u8], segment: &[u8]) -> bool {
        match pattern.split_first() {
            None => segment.is_empty(),
            Some((b'*', rest)) => (0..=segment.len()).any(|taken| segment_matches(rest, &segment[taken..])),
            Some((byte, rest)) => {
                segment.split_first().is_some_and(|(first, others)| first == byte && segment_matches(rest, others))
            }
        }
    }
    let pattern: Vec<&str> = pattern.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    segments_match(&pattern, &path)
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::path_matches;

    #[test]
    fn paths_match_as_the_manifest_says() {
        for (pattern, path, expected) in [
            ("/job/**", "/job/a/job/b/api/json", true),
            ("/job/**", "/job", true),
            ("/job/**", "/jobs/a", false),
            ("/job/**/build*", "/job/a/buildWithParameters", true),
            ("/job/**/build*", "/job/a/stop", false),
            ("/a/*/c", "/a/b/c", true),
            ("/a/*/c", "/a/b/b/c", false),
            ("/**", "/", true),
            ("/**", "/x/y", true),
        ] {
            assert_eq!(path_matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
