//! What the parts of one call share: its limits and what was used of them, its secrets, its end.
//!
//! Parts of a call run outside of the guest: HTTP bodies on the connection's task, tools on theirs. A
//! limit that any of them hits ends the call through [`Shared::stop`].
//!
//! **Invariant:** the first cause of an end is the one that is reported.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use windlass_model::dry_run::{WOULD_BODY_BYTES_MAX, WOULD_LINE_BYTES_MAX, WOULD_MAX, Would, cut};
use windlass_model::failure::{FailureClass, StepError};
use windlass_model::grant::Denial;
use windlass_model::manifest::{Action, EffectiveLimits};
use windlass_model::name::{ActionName, PluginName};

use crate::call::{Access, Usage};
use crate::cassette::{Deck, Player, Recorder};
use crate::host::{LogLevel, LogLine, LogSource, StepHost};
use crate::plugin::Plugin;
use crate::sandbox::Inner;
use crate::scrub::Scrubber;
use crate::stop::{Limit, Stop, limit_hit};

/// Standard error that is kept for the message of a panic.
const STDERR_TAIL_BYTES: usize = 4 * 1024;

/// Denials of one call that are kept.
const DENIALS_MAX: usize = 100;

/// What an entry of a list costs beside its texts, so that a million empty ones are not free.
pub(crate) const ENTRY_BYTES: usize = 64;

/// How much of a line is taken at once; a longer one is cut.
pub(crate) const LINE_BYTES_MAX: usize = 8 * 1024;

pub(crate) struct Shared {
    pub(crate) sandbox: Arc<Inner>,
    pub(crate) host: Arc<dyn StepHost>,
    pub(crate) access: Arc<Access>,
    pub(crate) limits: EffectiveLimits,
    pub(crate) dry_run: bool,
    deck: Deck,
    /// What is called; none while a component only describes itself.
    target: Option<(Arc<Plugin>, ActionName)>,
    pub(crate) started: Instant,
    polled_at: AtomicU64,
    cpu_nanos: AtomicU64,
    pub(crate) memory_peak: AtomicU64,
    log_bytes: AtomicU64,
    http_requests: AtomicU64,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    tool_calls: AtomicU64,
    stopped: OnceLock<StepError>,
    pub(crate) ended: Notify,
    denials: Mutex<Vec<(&'static str, Denial)>>,
    denied_last: AtomicBool,
    /// Which connection answered that the caller is not known, and what it had been sent.
    not_let_in: OnceLock<String>,
    changes: AtomicU64,
    would: Mutex<(Vec<Would>, u64)>,
    stderr_tail: Mutex<String>,
    secrets: Mutex<Vec<Vec<u8>>>,
    scrubber: Mutex<Scrubber>,
    tools: Mutex<Vec<JoinHandle<()>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(
        sandbox: Arc<Inner>,
        host: Arc<dyn StepHost>,
        access: Arc<Access>,
        limits: EffectiveLimits,
        target: Option<(Arc<Plugin>, ActionName)>,
        dry_run: bool,
        deck: Deck,
    ) -> Self {
        Self {
            sandbox,
            host,
            access,
            limits,
            dry_run,
            deck,
            target,
            started: Instant::now(),
            polled_at: AtomicU64::new(0),
            cpu_nanos: AtomicU64::new(0),
            memory_peak: AtomicU64::new(0),
            log_bytes: AtomicU64::new(0),
            http_requests: AtomicU64::new(0),
            request_bytes: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
            tool_calls: AtomicU64::new(0),
            stopped: OnceLock::new(),
            ended: Notify::new(),
            denials: Mutex::default(),
            denied_last: AtomicBool::new(false),
            not_let_in: OnceLock::new(),
            changes: AtomicU64::new(0),
            would: Mutex::default(),
            stderr_tail: Mutex::default(),
            secrets: Mutex::default(),
            scrubber: Mutex::default(),
            tools: Mutex::default(),
        }
    }

    /// The plugin's name, its action's name and the action; an error where there is none because a
    /// manifest is being made.
    pub(crate) fn target(&self, host_call: &str) -> Result<(&PluginName, &ActionName, &Action), Stop> {
        match &self.target {
            Some((plugin, action)) => Ok((&plugin.manifest.name, action, &plugin.actions[action].action)),
            None => Err(self.stop(StepError::host(
                FailureClass::Internal,
                "impure-manifest",
                format!("`manifest` called `{host_call}`; it has to give the same answer always and may call nothing"),
            ))),
        }
    }

    /// What writes the call down, if it is recorded.
    pub(crate) fn recorder(&self) -> Option<&Arc<Recorder>> {
        if let Deck::Recorder(recorder) = &self.deck { Some(recorder) } else { None }
    }

    /// What is asked instead of the world, if the call is played again.
    pub(crate) fn player(&self) -> Option<&Arc<Player>> {
        if let Deck::Player(player) = &self.deck { Some(player) } else { None }
    }

    /// Whether a component only describes itself: its clocks stand still and its randomness is fixed.
    pub(crate) fn is_describing(&self) -> bool {
        self.target.is_none()
    }

    /// Ends the call, unless something else has ended it already.
    pub(crate) fn stop(&self, error: StepError) -> Stop {
        let error = self.stopped.get_or_init(|| error).clone();
        self.ended.notify_one();
        Stop(error)
    }

    /// Ends the call because of a limit.
    pub(crate) fn hit(&self, limit: Limit) -> Stop {
        self.stop(limit_hit(limit, &self.limits, &self.sandbox.bound))
    }

    pub(crate) fn stopped(&self) -> Option<&StepError> {
        self.stopped.get()
    }

    fn spend(&self, limit: Limit, spent: &AtomicU64, amount: u64) -> Result<(), Stop> {
        let before = spent.fetch_add(amount, Ordering::Relaxed);
        if before.saturating_add(amount) > limit.of(&self.limits) { Err(self.hit(limit)) } else { Ok(()) }
    }

    pub(crate) fn spend_http_request(&self) -> Result<(), Stop> {
        self.spend(Limit::HttpRequests, &self.http_requests, 1)
    }

    pub(crate) fn spend_request_bytes(&self, bytes: usize) -> Result<(), Stop> {
        self.spend(Limit::RequestBytes, &self.request_bytes, bytes as u64)
    }

    pub(crate) fn spend_response_bytes(&self, bytes: usize) -> Result<(), Stop> {
        self.spend(Limit::ResponseBytes, &self.response_bytes, bytes as u64)
    }

    pub(crate) fn spend_tool_call(&self) -> Result<(), Stop> {
        self.spend(Limit::ToolCalls, &self.tool_calls, 1)
    }

    /// Counts entries of the log, with what is kept of each beside its text: when it came, from whom.
    pub(crate) fn spend_log(&self, entries: usize, bytes: usize) -> Result<(), Stop> {
        self.spend(Limit::Log, &self.log_bytes, bytes.saturating_add(entries.saturating_mul(ENTRY_BYTES)) as u64)
    }

    /// Runs `poll` and counts the processor's time that it takes. Between two polls the guest waits for the host, and
    /// on a busy machine for its turn: neither is counted.
    pub(crate) fn metered<T>(&self, poll: impl FnOnce() -> T) -> T {
        let at = thread_nanos();
        self.polled_at.store(at, Ordering::Relaxed);
        let polled = poll();
        self.cpu_nanos.fetch_add(thread_nanos() - at, Ordering::Relaxed);
        polled
    }

    /// Called by a guest that looks up in the middle of a poll.
    pub(crate) fn check_cpu(&self) -> Result<(), Stop> {
        let poll = thread_nanos() - self.polled_at.load(Ordering::Relaxed);
        let spent = Duration::from_nanos(self.cpu_nanos.load(Ordering::Relaxed) + poll);
        if spent > Duration::from_millis(self.limits.cpu_ms) { Err(self.hit(Limit::Cpu)) } else { Ok(()) }
    }

    /// Takes note of an answer with 401, and warns people: the plugin does not see whether a credential was sent. Once in a
    /// call, so that no plugin fills the log with it.
    pub(crate) fn is_not_let_in(&self, text: String) {
        if self.not_let_in.set(text.clone()).is_ok() {
            self.log(LogLevel::Warn, text, Vec::new(), LogSource::Host);
        }
    }

    /// What there was to be noted of it.
    pub(crate) fn not_let_in(&self) -> Option<&str> {
        self.not_let_in.get().map(String::as_str)
    }

    /// Takes note of a denial; a call that fails right after it fails because of it.
    pub(crate) fn deny(&self, code: &'static str, denial: Denial) {
        let mut denials = lock(&self.denials);
        // The first ones and the last one tell the story.
        denials.truncate(DENIALS_MAX - 1);
        denials.push((code, denial));
        drop(denials);
        self.denied_last.store(true, Ordering::Relaxed);
    }

    /// Takes note of something that was allowed.
    pub(crate) fn allow(&self) {
        self.denied_last.store(false, Ordering::Relaxed);
    }

    /// Takes note of something that may change something, before it is done; gives what says that it does not.
    pub(crate) fn will_change(self: &Arc<Self>) -> Change {
        self.changes.fetch_add(1, Ordering::SeqCst);
        Change(Some(Arc::clone(self)))
    }

    /// Whether anything was done that may have changed something.
    pub(crate) fn may_have_changed(&self) -> bool {
        self.changes.load(Ordering::SeqCst) > 0
    }

    /// Takes note of what a dry run stopped; credentials are removed here.
    pub(crate) fn would(&self, what: String, body: &[u8], body_bytes: u64) {
        let scrubber = self.scrubber();
        // What is cut off may be the rest of a credential: scrubbed first, cut then.
        let mut body = String::from_utf8_lossy(&scrubber.bytes(body)).into_owned();
        let mut what = scrubber.text(what);
        cut(&mut what, WOULD_LINE_BYTES_MAX);
        cut(&mut body, WOULD_BODY_BYTES_MAX);
        let (kept, omitted) = &mut *lock(&self.would);
        if kept.len() < WOULD_MAX {
            kept.push(Would { what, body, body_bytes });
        } else {
            *omitted += 1;
        }
    }

    /// What a dry run stopped, and how much more of it there was.
    pub(crate) fn take_would(&self) -> (Vec<Would>, u64) {
        std::mem::take(&mut lock(&self.would))
    }

    /// All denials, and whether the last thing that the guest asked for was denied.
    pub(crate) fn denials(&self) -> (Vec<(&'static str, Denial)>, bool) {
        (lock(&self.denials).clone(), self.denied_last.load(Ordering::Relaxed))
    }

    /// Takes note of secrets that were used: from here on they are scrubbed.
    pub(crate) fn add_secrets(&self, added: impl IntoIterator<Item = Vec<u8>>) {
        let mut secrets = lock(&self.secrets);
        let before = secrets.len();
        for secret in added {
            if !secrets.contains(&secret) {
                secrets.push(secret);
            }
        }
        if secrets.len() > before {
            *lock(&self.scrubber) = Scrubber::new(secrets.iter().map(Vec::as_slice));
        }
    }

    /// What removes the secrets that were used so far.
    pub(crate) fn scrubber(&self) -> Scrubber {
        lock(&self.scrubber).clone()
    }

    /// Hands a line to the log; its size was counted before.
    pub(crate) fn log(&self, level: LogLevel, message: String, fields: Vec<(String, String)>, source: LogSource) {
        let scrubber = self.scrubber();
        let fields = fields.into_iter().map(|(name, value)| (scrubber.text(name), scrubber.text(value))).collect();
        self.host.log(LogLine { level, message: scrubber.text(message), fields, source });
    }

    /// Keeps the end of standard error.
    pub(crate) fn keep_stderr(&self, line: &str) {
        let mut tail = lock(&self.stderr_tail);
        tail.push_str(line);
        tail.push('\n');
        if tail.len() > STDERR_TAIL_BYTES {
            let cut = tail.len() - STDERR_TAIL_BYTES;
            let cut = (cut..tail.len()).find(|&it| tail.is_char_boundary(it)).unwrap_or(tail.len());
            tail.drain(..cut);
        }
    }

    /// The end of standard error.
    pub(crate) fn stderr_tail(&self) -> String {
        lock(&self.stderr_tail).trim_end().to_owned()
    }

    /// Takes note of the task that looks after a tool; it is waited for when the call ends.
    pub(crate) fn add_tool(&self, task: JoinHandle<()>) {
        lock(&self.tools).push(task);
    }

    /// The tasks that look after tools.
    pub(crate) fn take_tools(&self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut lock(&self.tools))
    }

    pub(crate) fn usage(&self) -> Usage {
        let of = |spent: &AtomicU64| spent.load(Ordering::Relaxed);
        Usage {
            wall: self.started.elapsed(),
            cpu: Duration::from_nanos(of(&self.cpu_nanos)),
            memory_peak_bytes: of(&self.memory_peak),
            log_bytes: of(&self.log_bytes),
            http_requests: of(&self.http_requests),
            request_bytes: of(&self.request_bytes),
            response_bytes: of(&self.response_bytes),
            tool_calls: of(&self.tool_calls),
        }
    }
}

/// What a call does outside. Dropped, it counts as something that changed something.
#[must_use]
pub(crate) struct Change(Option<Arc<Shared>>);

impl Change {
    /// It was certainly not done, or changes nothing.
    pub(crate) fn withdraw(&mut self) {
        if let Some(shared) = self.0.take() {
            shared.changes.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// The processor's time that this thread has taken, in nanoseconds. A poll begins and ends on one thread.
fn thread_nanos() -> u64 {
    let taken = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(taken.tv_sec).unwrap_or_default() * 1_000_000_000 + u64::try_from(taken.tv_nsec).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use windlass_model::grant::Missing;

    use super::*;
    use crate::load::store_for_tests;

    #[tokio::test]
    async fn of_many_denials_the_first_and_the_last_are_kept() {
        let store = store_for_tests();
        let shared = &store.data().shared;
        for number in 0..3 * DENIALS_MAX {
            let denial = Denial { asked: number.to_string(), missing: Missing::Tool, remedy: String::new() };
            shared.deny("tool-denied", denial);
        }
        let (denials, denied_last) = shared.denials();
        assert!(denied_last);
        let asked: Vec<&str> = denials.iter().map(|(_, it)| it.asked.as_str()).collect();
        assert_eq!((asked.len(), asked[0], asked[98], asked[99]), (100, "0", "98", "299"));
    }
}
