//! Bodies on their way out and in: counted, and what comes in scrubbed.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;
use wasmtime_wasi_http::{Error, WasiBody};

use super::explain;
use crate::cassette::Slot;
use crate::host::Exchange;
use crate::scrub::StreamScrubber;
use crate::shared::Shared;

/// One exchange; told to the host when it is dropped, whatever became of it.
pub(crate) struct Trace {
    shared: Arc<Shared>,
    exchange: Exchange,
    started: Instant,
    sent: Arc<AtomicU64>,
    /// Where it is written down, if it is.
    slot: Option<Slot>,
}

impl Trace {
    pub(crate) fn new(shared: Arc<Shared>, method: String, url: String) -> Self {
        let exchange = Exchange {
            connection: None,
            method,
            url,
            status: None,
            request_bytes: 0,
            response_bytes: 0,
            millis: 0,
            denied: None,
            error: Some("the call ended before an answer came".to_owned()),
        };
        Self { shared, exchange, started: Instant::now(), sent: Arc::default(), slot: None }
    }

    /// Begins to write the exchange down, if that is wanted; what the host adds comes later, and is not in it.
    pub(crate) fn record(&mut self, headers: &HeaderMap) {
        let Exchange { method, url, .. } = &self.exchange;
        self.slot = self.shared.recorder().and_then(|it| it.http(method, url, headers));
    }

    /// The guest gets an answer.
    pub(crate) fn answered(&self, status: u16, headers: &HeaderMap) {
        if let Some(recorder) = self.shared.recorder() {
            recorder.http_answered(self.slot, status, headers);
        }
    }

    /// The guest gets an error.
    pub(crate) fn guest_error(&self, error: &Error) {
        if let Some(recorder) = self.shared.recorder() {
            recorder.http_failed(self.slot, &format!("{error:?}"));
        }
    }

    /// The same request is sent once more.
    pub(crate) fn sent_again(&self) {
        if let Some(recorder) = self.shared.recorder() {
            recorder.http_again(self.slot);
        }
    }

    pub(crate) fn exchange(&mut self) -> &mut Exchange {
        &mut self.exchange
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if let (Some(recorder), Some(why)) = (self.shared.recorder(), &self.exchange.denied) {
            recorder.http_denied(self.slot, why);
        }
        let scrubber = self.shared.scrubber();
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let exchange = Exchange {
            connection: self.exchange.connection.take(),
            method: std::mem::take(&mut self.exchange.method),
            url: scrubber.text(std::mem::take(&mut self.exchange.url)),
            request_bytes: self.sent.load(Ordering::Relaxed),
            millis,
            denied: self.exchange.denied.take().map(|it| scrubber.text(it)),
            error: self.exchange.error.take().map(|it| scrubber.text(it)),
            ..self.exchange
        };
        self.shared.host.trace(exchange);
    }
}

/// A request's body; ends the call when all bodies together are larger than allowed.
pub(crate) struct CountedBody {
    inner: WasiBody,
    shared: Arc<Shared>,
    sent: Arc<AtomicU64>,
    slot: Option<Slot>,
}

impl CountedBody {
    pub(crate) fn new(inner: WasiBody, trace: &Trace) -> Self {
        Self { inner, shared: Arc::clone(&trace.shared), sent: Arc::clone(&trace.sent), slot: trace.slot }
    }
}

impl Body for CountedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.sent.fetch_add(data.len() as u64, Ordering::Relaxed);
            if let Some(recorder) = self.shared.recorder() {
                recorder.http_sent(self.slot, data);
            }
            if self.shared.spend_request_bytes(data.len()).is_err() {
                return Poll::Ready(Some(Err(Error::HttpRequestBodySize(None))));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A response's body as the guest gets it. Trailers are left out.
pub(crate) struct ScrubbedBody {
    inner: Incoming,
    scrubber: StreamScrubber,
    trace: Trace,
    silence_max: Option<Duration>,
    silence: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl ScrubbedBody {
    pub(crate) fn new(
        inner: Incoming,
        scrubber: StreamScrubber,
        mut trace: Trace,
        silence_max: Option<Duration>,
    ) -> Self {
        let complete = inner.is_end_stream();
        trace.exchange.error = (!complete).then(|| "the answer was not read to its end".to_owned());
        Self { inner, scrubber, trace, silence_max, silence: None, ended: false }
    }

    fn end(&mut self, error: Option<&Error>) {
        self.ended = true;
        self.trace.exchange.error = error.map(ToString::to_string);
    }

    fn record(&self, data: &[u8]) {
        if let Some(recorder) = self.trace.shared.recorder() {
            recorder.http_got(self.trace.slot, data);
        }
    }

    fn fail(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.end(Some(&error));
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for ScrubbedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        loop {
            let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) else {
                let Some(silence_max) = this.silence_max else { return Poll::Pending };
                let silence = this.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(silence_max)));
                ready!(silence.as_mut().poll(context));
                return this.fail(Error::ConnectionReadTimeout);
            };
            this.silence = None;
            match frame {
                None => {
                    this.end(None);
                    let rest = this.scrubber.finish();
                    this.record(&rest);
                    return Poll::Ready((!rest.is_empty()).then(|| Ok(Frame::data(rest.into()))));
                }
                Some(Err(error)) => return this.fail(explain::body_error(&error)),
                Some(Ok(frame)) => {
                    // What is neither data nor trailers does not exist in HTTP/1.
                    let Ok(data) = frame.into_data() else { continue };
                    this.trace.exchange.response_bytes += data.len() as u64;
                    if this.trace.shared.spend_response_bytes(data.len()).is_err() {
                        return this.fail(Error::HttpResponseBodySize(None));
                    }
                    let clean = match this.scrubber.push(&data) {
                        std::borrow::Cow::Borrowed(_) => data,
                        std::borrow::Cow::Owned(clean) => clean.into(),
                    };
                    this.record(&clean);
                    if !clean.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(clean))));
                    }
                }
            }
        }
    }
}
