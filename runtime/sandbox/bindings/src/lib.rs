//! The host's side of the plugin contract `windlass:plugin@0.1.0`, generated from `wit/0.1`.
//!
//! A crate of its own: the generated code and what it instantiates take longer to compile than all
//! of the sandbox, and change only when the contract does.
//!
//! **Invariant:** nothing is written by hand in here.

#[expect(missing_docs, reason = "generated; the documentation is in the WIT")]
mod generated {
    wasmtime::component::bindgen!({
        path: "../../../wit/0.1",
        world: "plugin",
        imports: {
            "windlass:plugin/checkpoint": async | trappable,
            "windlass:plugin/callbacks": async | trappable,
            "windlass:plugin/tools": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        require_store_data_send: true,
        with: {
            "wasi:http": wasmtime_wasi_http::p2::bindings::http,
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
        },
    });
}

pub use generated::*;
