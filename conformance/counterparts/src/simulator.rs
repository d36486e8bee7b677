//! The HTTP server all simulators share: accepting, faults, the record of requests, and shutting down.
//!
//! **Invariant:** one lock guards all state and is never held across an await, so requests take effect one
//! after the other, in the order in which they were handled.

use crate::authentication::Presented;
use crate::control;
use crate::echo::Echo;
use crate::effect::{Effect, EffectLog};
use crate::fault::{Fault, FaultAction, FaultTable};
use crate::http::{Reply, ReplyBody, Request};
use crate::jenkins::{Jenkins, JobConfiguration};
use crate::recipes::Recipes;
use crate::servicenow::ServiceNow;
use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::BoxBody};
use hyper::StatusCode;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How many requests `GET /_sim/requests` remembers.
const REQUESTS_MAX: usize = 1_000;
/// The largest request body.
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SimulatorKind {
    /// A Jenkins controller.
    Jenkins,
    /// A ServiceNow instance.
    ServiceNow,
    /// A server which says what it was sent.
    Echo,
    /// The services of the cookbook.
    Recipes,
}

impl SimulatorKind {
    /// The value of the `Server` header.
    fn server_header(self) -> &'static str {
        match self {
            SimulatorKind::Jenkins => "windlass-simulator (simulated Jenkins)",
            SimulatorKind::ServiceNow => "windlass-simulator (simulated ServiceNow)",
            SimulatorKind::Echo => "windlass-simulator (echo)",
            SimulatorKind::Recipes => "windlass-simulator (recipes)",
        }
    }
}

/// How a simulator is set up. The default is what the tests and the demo use.
#[derive(Debug, Clone)]
pub struct SimulatorOptions {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The user of basic authentication.
    pub user: String,
    /// The password or API token of basic authentication.
    pub password: String,
    /// A bearer token which is also accepted.
    pub bearer: Option<String>,
    /// Jenkins: treat the password as a password, for which a POST needs a crumb.
    pub require_crumb: bool,
    /// ServiceNow: the client which may take tokens from `/oauth_token.do`.
    pub client_id: String,
    /// ServiceNow: its secret.
    pub client_secret: String,
    /// ServiceNow: how long a token is good.
    pub token_lifetime: Duration,
    /// Jenkins: a build of the default job with this `VERSION` fails.
    pub fail_version: Option<String>,
    /// Jenkins: how long the default job's builds wait in the queue.
    pub queue: Duration,
    /// Jenkins: how long the default job's builds run.
    pub duration: Duration,
    /// Jenkins: how long a queue item can be asked for after it left the queue.
    pub queue_item_retention: Duration,
}

impl Default for SimulatorOptions {
    fn default() -> SimulatorOptions {
        SimulatorOptions {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            user: "windlass".to_owned(),
            password: "simulated-token".to_owned(),
            bearer: None,
            require_crumb: false,
            client_id: "windlass-client".to_owned(),
            client_secret: "simulated-secret".to_owned(),
            token_lifetime: Duration::from_secs(1_800),
            fail_version: None,
            queue: Duration::from_millis(500),
            duration: Duration::from_millis(3_000),
            queue_item_retention: Duration::from_secs(300),
        }
    }
}

/// A request as `GET /_sim/requests` shows it: no header values, no bodies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The status that was made for it; none when the request was not handled.
    pub status: Option<u16>,
    /// Whether it carried a credential the simulator accepts.
    pub authorised: bool,
    /// The names of its headers.
    pub header_names: Vec<String>,
    /// The fault it met, by kind.
    pub fault: Option<String>,
}

/// Starts simulators.
pub struct Simulator;

impl Simulator {
    /// Starts a simulator which stops when [`Running`] is dropped.
    pub async fn start(kind: SimulatorKind, options: SimulatorOptions) -> io::Result<Running> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let url = format!("http://{address}");
        let vendor = match kind {
            SimulatorKind::Jenkins => Vendor::Jenkins(Box::new(Jenkins::new(&url, &options))),
            SimulatorKind::ServiceNow => Vendor::ServiceNow(Box::new(ServiceNow::new(&url, &options))),
            SimulatorKind::Echo => Vendor::Echo(Echo::default()),
            SimulatorKind::Recipes => Vendor::Recipes(Recipes::default()),
        };
        let (stop, stopped) = watch::channel(false);
        let shared = Arc::new(Shared {
            kind,
            url: url.clone(),
            stop,
            state: Mutex::new(State {
                vendor,
                effects: EffectLog::default(),
                faults: FaultTable::default(),
                requests: VecDeque::new(),
            }),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared), stopped));
        Ok(Running { url, address, shared, task })
    }
}

/// A simulator which answers. Dropping it stops it.
pub struct Running {
    /// Where it answers, without a slash at the end.
    pub url: String,
    /// The same as a socket address.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    /// What was changed so far, as `GET /_sim/effects` tells it.
    pub fn effects(&self) -> Vec<Effect> {
        let mut state = self.shared.lock();
        state.advance(now_ms());
        state.effects.all().to_vec()
    }

    /// The effects of one kind.
    pub fn effects_of(&self, kind: &str) -> Vec<Effect> {
        self.effects().into_iter().filter(|effect| effect.kind == kind).collect()
    }

    /// Orders faults, as `POST /_sim/faults` does.
    pub fn order_faults(&self, faults: Vec<Fault>) {
        self.shared.lock().faults.order(faults);
    }

    /// The last requests, oldest first.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.lock().requests.iter().cloned().collect()
    }

    /// Adds or changes a job of a simulated Jenkins; tells whether this is one.
    pub fn configure_job(&self, job: JobConfiguration) -> bool {
        match &mut self.shared.lock().vendor {
            Vendor::Jenkins(jenkins) => {
                jenkins.configure(job);
                true
            }
            Vendor::ServiceNow(_) | Vendor::Echo(_) | Vendor::Recipes(_) => false,
        }
    }

    /// Waits until the simulator was told to stop, by [`Running::stop`] or by `POST /_sim/shutdown`.
    pub async fn stopped(&mut self) {
        // The task only ends by returning; a panic in it means the same for the caller: nothing answers.
        let _ = (&mut self.task).await;
    }

    /// Stops the simulator and waits until nothing answers.
    pub async fn stop(mut self) {
        self.shared.stop.send_replace(true);
        self.stopped().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stop.send_replace(true);
        self.task.abort();
    }
}

/// What the connections of one simulator share.
pub(crate) struct Shared {
    pub(crate) kind: SimulatorKind,
    pub(crate) url: String,
    pub(crate) stop: watch::Sender<bool>,
    state: Mutex<State>,
}

impl Shared {
    /// The state. A panic while it was held cannot leave it half changed in a way that matters to a test.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// All that a simulator remembers.
pub(crate) struct State {
    pub(crate) vendor: Vendor,
    pub(crate) effects: EffectLog,
    pub(crate) faults: FaultTable,
    pub(crate) requests: VecDeque<RequestRecord>,
}

/// The simulated system.
pub(crate) enum Vendor {
    Jenkins(Box<Jenkins>),
    ServiceNow(Box<ServiceNow>),
    Echo(Echo),
    Recipes(Recipes),
}

impl State {
    /// Lets everything happen that is due.
    pub(crate) fn advance(&mut self, now_ms: i64) {
        match &mut self.vendor {
            Vendor::Jenkins(jenkins) => jenkins.advance(now_ms, &mut self.effects),
            Vendor::ServiceNow(_) | Vendor::Echo(_) | Vendor::Recipes(_) => {}
        }
    }

    /// Answers a request to the simulated system and tells whether it was authorised.
    fn answer(&mut self, request: &Request, now_ms: i64, queue_extra_ms: i64) -> (Reply, bool) {
        let presented = Presented::of(request);
        self.advance(now_ms);
        match &mut self.vendor {
            Vendor::Jenkins(jenkins) => jenkins.answer(request, &presented, now_ms, queue_extra_ms, &mut self.effects),
            Vendor::ServiceNow(servicenow) => servicenow.answer(request, &presented, now_ms, &mut self.effects),
            Vendor::Echo(echo) => (echo.answer(request), true),
            Vendor::Recipes(recipes) => (recipes.answer(request), true),
        }
    }

    /// The answer of a fault of the kind `status`, in the vendor's shape.
    fn fault_reply(&self, status: StatusCode) -> Reply {
        match &self.vendor {
            Vendor::Jenkins(_) => crate::jenkins::error_page(status, "ordered fault (simulated)"),
            Vendor::ServiceNow(_) => crate::servicenow::fault_reply(status),
            Vendor::Echo(_) | Vendor::Recipes(_) => Reply::text(status, "ordered fault (simulated)"),
        }
    }

    fn record(&mut self, record: RequestRecord) {
        if self.requests.len() == REQUESTS_MAX {
            self.requests.pop_front();
        }
        self.requests.push_back(record);
    }
}

/// The time in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Why a connection is closed without an answer.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("connection closed by an ordered fault")
    }
}

impl std::error::Error for Closed {}

/// Waits until the simulator is to stop.
async fn told(stopped: &mut watch::Receiver<bool>) {
    // An error means that nobody can say it any more, which is the same.
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            () = told(&mut stopped) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                // A failed accept (too many open files) concerns that connection only.
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let service = service_fn(|request| serve(Arc::clone(&shared), request));
                    // Errors are the client going away or a fault that closes the connection.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .timer(TokioTimer::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        }
    }
    drop(listener);
    // Answers which are being written, such as that of the shutdown request, may end.
    let end = tokio::time::sleep(Duration::from_millis(200));
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            next = connections.join_next() => if next.is_none() { break },
        }
    }
}

type Body = BoxBody<Bytes, Infallible>;

async fn serve(shared: Arc<Shared>, request: hyper::Request<Incoming>) -> Result<hyper::Response<Body>, Closed> {
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(finish(&shared, Reply::new(StatusCode::PAYLOAD_TOO_LARGE))),
    };
    let request = Request::new(parts.method, &parts.uri, parts.headers, body);
    if request.segments.first().is_some_and(|first| first == "_sim") {
        let reply = control::answer(&shared, &request, now_ms());
        return Ok(finish(&shared, reply));
    }

    let fault = shared.lock().faults.meet(request.method.as_str(), &request.path);
    let mut record = RequestRecord {
        method: request.method.to_string(),
        path: request.path.clone(),
        status: None,
        authorised: false,
        header_names: request.headers.keys().map(ToString::to_string).collect(),
        fault: None,
    };
    let mut queue_extra_ms = 0;
    let mut lose_response = false;
    match fault {
        None => {}
        Some(FaultAction::Latency { ms }) => {
            record.fault = Some("latency".to_owned());
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        Some(FaultAction::Status { status, retry_after }) => {
            record.fault = Some("status".to_owned());
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            record.status = Some(status.as_u16());
            let mut state = shared.lock();
            state.record(record);
            let mut reply = state.fault_reply(status);
            drop(state);
            if let Some(seconds) = retry_after {
                reply = reply.with("retry-after", seconds.to_string());
            }
            return Ok(finish(&shared, reply));
        }
        Some(FaultAction::Drop) => {
            record.fault = Some("drop".to_owned());
            shared.lock().record(record);
            return Err(Closed);
        }
        Some(FaultAction::LoseResponse) => {
            record.fault = Some("lose_response".to_owned());
            lose_response = true;
        }
        Some(FaultAction::SlowQueue { ms }) => {
            record.fault = Some("slow_queue".to_owned());
            queue_extra_ms = i64::try_from(ms).unwrap_or(i64::MAX / 4);
        }
    }

    let (reply, delay) = {
        let mut state = shared.lock();
        let (reply, authorised) = state.answer(&request, now_ms(), queue_extra_ms);
        record.authorised = authorised;
        record.status = Some(reply.status.as_u16());
        state.record(record);
        let delay = reply.delay;
        (reply, delay)
    };
    if lose_response {
        return Err(Closed);
    }
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    Ok(finish(&shared, reply))
}

/// Makes the response of a reply, with the headers which say that it is simulated.
fn finish(shared: &Shared, reply: Reply) -> hyper::Response<Body> {
    let body = match reply.body {
        ReplyBody::Full(bytes) => Full::new(bytes).boxed(),
        ReplyBody::Drip { bytes, pause } => StreamBody::new(stream::unfold(bytes, move |left| async move {
            let left = left.checked_sub(1)?;
            tokio::time::sleep(pause).await;
            Some((Ok(Frame::data(Bytes::from_static(b"."))), left))
        }))
        .boxed(),
    };
    let mut response = hyper::Response::new(body);
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.extend(reply.headers);
    headers.insert(hyper::header::SERVER, hyper::header::HeaderValue::from_static(shared.kind.server_header()));
    headers.insert("x-simulated-by", hyper::header::HeaderValue::from_static("windlass-simulator"));
    response
}
