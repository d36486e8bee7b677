//! HTTP: what `wasi:http` becomes when a plugin uses it.
//!
//! **Invariant:** no request of a plugin leaves but through [`send`], whose steps are the sandbox's
//! promise. The operator's own trial of a connection is [`probe`].

mod address;
mod body;
mod connect;
mod credential;
mod dry_run;
mod explain;
mod play;
mod probe;
pub(crate) mod request;
mod route;
mod send;

use std::future::Future;
use std::sync::{Arc, LazyLock, OnceLock};

use http::{HeaderName, Request, Response};
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks,
};

pub(crate) use self::connect::HttpClients;
pub use self::probe::Probe;
use self::route::Route;
use crate::shared::Shared;

/// Where wasmtime's `wasi:http` asks what to do.
pub(crate) struct Hooks {
    shared: Arc<Shared>,
    routes: OnceLock<Arc<Vec<Route>>>,
}

impl Hooks {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, routes: OnceLock::new() }
    }
}

static FORBIDDEN_HEADERS: LazyLock<ForbiddenHeaderFilter> =
    LazyLock::new(|| Arc::new(|name: &HeaderName| DEFAULT_FORBIDDEN_HEADERS.contains(name)));

type Sent<T> = Box<dyn Future<Output = Result<T, Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::clone(&FORBIDDEN_HEADERS)
    }

    /// What a body holds that nobody sends; see [`crate::state::RESOURCES_MAX`].
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        64 * 1024
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Sent<()>,
    ) -> Sent<(Response<WasiBody>, Sent<()>)> {
        let shared = Arc::clone(&self.shared);
        let routes = Arc::clone(self.routes.get_or_init(|| Arc::new(route::routes(&shared.access))));
        // Here and not below: that runs beside the guest, and may be under way when the guest has ended.
        let change = shared.will_change();
        Box::new(async move {
            let response = send::send(shared, routes, request, options.unwrap_or_default(), change).await?;
            Ok((response, Box::new(std::future::ready(Ok(()))) as Sent<()>))
        })
    }
}
