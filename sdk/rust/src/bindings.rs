//! The plugin contract as wit-bindgen renders it. Nothing outside [`crate::guest`] and the export macro uses it.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]

wit_bindgen::generate!({
    path: "../../wit/0.1",
    world: "plugin",
    generate_all,
    pub_export_macro: true,
    export_macro_name: "export_component",
    default_bindings_module: "windlass_sdk::bindings",
});
