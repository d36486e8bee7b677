//! No bytes make the loader of components panic, and what it makes of them is bounded like everything else.
//! How to look further: `conformance/fuzz/README.md`.

use windlass_fuzz::{Effort, fuzz};
use windlass_sandbox::{Sandbox, embed_manifest, inspect};

use crate::support::made::{MANIFEST, component, sections};
use crate::support::world;

fn corpus() -> Vec<Vec<u8>> {
    let log = r#"(import "windlass:plugin/log@0.1.0" "log" (func $log (param i32 i32 i32 i32 i32)))"#;
    let http = r#"(import "wasi:http/types@0.2.12" "[constructor]fields" (func $fields (result i32)))"#;
    let calls = r#"(func (export "start") (param i32) (result i32) (call $log (i32.const 2) (i32.const 128) (i32.const 4) (i32.const 0) (i32.const 0)) (i32.const 32))"#;
    let table = r#"(table 3 funcref) (elem (i32.const 0) $room) (type $t (func (param i32) (result i32)))
        (func (export "post:start") (param i32) (drop (call_indirect (type $t) (local.get 0) (i32.const 0))))"#;
    [component("", ""), component(log, calls), component(http, table)]
        .iter()
        .map(|it| embed_manifest(it, MANIFEST).expect("a component"))
        .collect()
}

#[tokio::test]
async fn component_bytes() {
    let sandbox: &Sandbox = &world().await.sandbox;
    let pieces = [
        "\0asm\x0d\0\x01\0",
        "\0asm\x01\0\0\0",
        "windlass:plugin/log@0.1.0",
        "windlass:manifest",
        "cabi_realloc",
        "{\"name\":",
        "\x7f\x7f\x7f\x7f",
    ];
    let runtime = tokio::runtime::Handle::current();
    let corpus = corpus();
    let tried = tokio::task::spawn_blocking(move || {
        let mut described = 0;
        fuzz("component", Effort::of(400), &corpus, &pieces, |bytes| {
            if let Ok(inspection) = inspect(bytes) {
                assert_eq!(inspection.digest, windlass_model::digest::Digest::of(bytes));
                // What is embedded anew is read again.
                let embedded = embed_manifest(bytes, MANIFEST).expect("it was read");
                assert_eq!(inspect(&embedded).expect("a manifest").manifest.name.as_str(), "made");
            }
            match runtime.block_on(sandbox.describe(bytes)) {
                Ok(_) => described += 1,
                Err(error) => {
                    assert!((10..60_000).contains(&error.to_string().len()), "{} bytes", error.to_string().len())
                }
            }
        });
        described
    });
    let described = tried.await.expect("no panic");
    assert!(described > 0, "some changes do not matter, and the test would pass if nothing was ever read");
}

/// Every byte of a component, changed once: of its outer parts, which are read here and not by wasmtime.
#[test]
fn outer_bytes() {
    let component = embed_manifest(&component("", ""), MANIFEST).expect("a component");
    let heads = sections(&component).flat_map(|(_, range)| range.start..range.start + 6);
    for at in (0..8).chain(heads) {
        for byte in 0..=255 {
            let mut changed = component.clone();
            if let Some(it) = changed.get_mut(at) {
                *it = byte;
            }
            // An error or a manifest: no panic.
            let _ = inspect(&changed);
            let _ = embed_manifest(&changed, MANIFEST);
        }
    }
}
