//! The plugin contract as wit-bindgen renders it.
#![allow(unsafe_code, missing_docs, unreachable_pub, clippy::all, reason = "generated")]

wit_bindgen::generate!({
    path: "../../wit/0.1",
    world: "plugin",
    generate_all,
});
