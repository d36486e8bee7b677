//! What a request line may hold, before there is a request.
//!
//! `wasi:http` keeps the parts that a guest sets for as long as the guest holds the request, and takes methods and
//! addresses of any length: with some of them a guest would fill the host's memory. So its functions are put behind
//! these, which refuse what no server takes, as the contract lets them.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::http::types::{HostOutgoingRequest as _, Method, OutgoingRequest, Scheme};

use crate::state::CallState;

/// The interface whose functions are put behind ours, as wasmtime links it.
const TYPES: &str = "wasi:http/types@0.2.12";

/// The longest methods and schemes that are registered have 17 letters.
const WORD_BYTES_MAX: usize = 32;

/// A host of 253 letters, a port, and what should not be there.
const AUTHORITY_BYTES_MAX: usize = 512;

/// What servers take, several times over.
const PATH_BYTES_MAX: usize = 32 * 1024;

/// Bounds what is set in requests; after `wasi:http` itself is linked.
pub(crate) fn bound(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance(TYPES)?;
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store: StoreContextMut<'_, CallState>, (request, method): (Resource<OutgoingRequest>, Method)| {
            let fits = !matches!(&method, Method::Other(it) if it.len() > WORD_BYTES_MAX);
            Ok((if fits { store.data_mut().http().set_method(request, method)? } else { Err(()) },))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-scheme",
        |mut store: StoreContextMut<'_, CallState>, (request, scheme): (Resource<OutgoingRequest>, Option<Scheme>)| {
            let fits = !matches!(&scheme, Some(Scheme::Other(it)) if it.len() > WORD_BYTES_MAX);
            Ok((if fits { store.data_mut().http().set_scheme(request, scheme)? } else { Err(()) },))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut store: StoreContextMut<'_, CallState>,
         (request, authority): (Resource<OutgoingRequest>, Option<String>)| {
            let fits = authority.as_ref().is_none_or(|it| it.len() <= AUTHORITY_BYTES_MAX);
            Ok((if fits { store.data_mut().http().set_authority(request, authority)? } else { Err(()) },))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-path-with-query",
        |mut store: StoreContextMut<'_, CallState>, (request, path): (Resource<OutgoingRequest>, Option<String>)| {
            let fits = path.as_ref().is_none_or(|it| it.len() <= PATH_BYTES_MAX);
            Ok((if fits { store.data_mut().http().set_path_with_query(request, path)? } else { Err(()) },))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}
