//! Components that are refused before a release uses them, or bounded when it does.

use std::fmt::Write as _;

use serde_json::json;
use windlass_model::manifest::{EffectiveLimits, MANIFEST_BYTES_MAX};
use windlass_sandbox::{ComponentError, PrepareError, Sandbox, SandboxOptions, embed_manifest};

use crate::support::made::{MANIFEST, component, component_with, plugin_in, push_section, sections, with_instances};
use crate::support::{Given, code, done, message, others_go_on, request, world};

/// Why a component is refused.
async fn refused(component: &[u8]) -> PrepareError {
    world().await.sandbox.describe(component).await.expect_err("it is refused")
}

/// Why a component in text is refused.
async fn refused_text(text: &str) -> PrepareError {
    refused(&wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))).await
}

#[tokio::test]
async fn imports_that_this_host_does_not_know_are_named() {
    for (import, name) in [
        (r#"(import "windlass:plugin/log@0.2.0" (instance))"#, "windlass:plugin/log@0.2.0"),
        (r#"(import "windlass:plugin/log@0.10.0" (instance))"#, "windlass:plugin/log@0.10.0"),
        (r#"(import "windlass:plugin/secrets@0.1.0" (instance))"#, "windlass:plugin/secrets@0.1.0"),
        (r#"(import "windlass:plugin/log" (instance))"#, "windlass:plugin/log"),
        (r#"(import "wasi:cli/stdout@0.3.0" (instance))"#, "wasi:cli/stdout@0.3.0"),
        (r#"(import "wasi:http/handler@0.3.0" (instance))"#, "wasi:http/handler@0.3.0"),
        (r#"(import "wasi:keyvalue/store@0.2.0" (instance))"#, "wasi:keyvalue/store@0.2.0"),
        (r#"(import "wasi:nn/tensor@0.2.0" (instance))"#, "wasi:nn/tensor@0.2.0"),
        (r#"(import "get-secret" (func (result string)))"#, "get-secret"),
        (r#"(import "a-module" (core module))"#, "a-module"),
    ] {
        let error = refused_text(&format!("(component {import})")).await;
        let PrepareError::UnknownImports(names) = &error else { panic!("{import}: {error}") };
        assert_eq!(names, &[name]);
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[tokio::test]
async fn known_names_in_another_shape_do_not_fit() {
    for import in [
        r#"(import "windlass:plugin/log@0.1.0" (instance (export "log" (func (param "secret" string)))))"#,
        r#"(import "windlass:plugin/connections@0.1.0" (instance (export "password" (func (param "role" string) (result string)))))"#,
        r#"(import "wasi:cli/environment@0.2.99" (instance (export "from-the-future" (func))))"#,
        r#"(import "wasi:http/incoming-handler@0.2.0" (instance (export "handle" (func))))"#,
        "",
    ] {
        let error = refused_text(&format!("(component {import})")).await;
        assert!(matches!(error, PrepareError::Contract(_)), "{import}: {error}");
        assert!(error.to_string().contains("windlass:plugin@0.1"), "{error}");
    }
}

#[tokio::test]
async fn a_component_takes_no_more_of_the_pools_than_one_may() {
    let plain = component("", "");
    let sandbox = &world().await.sandbox;
    for (module, most, counted) in [("(module (memory 0))", 15, "memories"), ("(module)", 60, "core instances")] {
        let many = with_instances(&plain, module, most + 10);
        let error = refused(&many).await;
        assert!(matches!(error, PrepareError::TooLarge { .. } | PrepareError::Invalid(_)), "{counted}: {error}");
        assert!(
            error.to_string().contains(if counted == "memories" { "16 memories or 64 tables" } else { "64" }),
            "{error}"
        );
        // A few more than compilers make are fine.
        let some = with_instances(&plain, module, most - 5);
        let plugin = plugin_in(sandbox, &some).await.expect(counted);
        assert_eq!(done(sandbox.call(&plugin, request("act", Given::default())).await), json!(null));
    }
}

#[tokio::test]
async fn memories_and_tables_count_together_wherever_they_are() {
    let sandbox = &world().await.sandbox;
    for (what, module, count) in [
        ("fifteen of 5 MiB", "(module (memory 80))", 14),
        ("one that is larger than all", "(module (memory 1025))", 1),
        ("tables", "(module (table 1000000 funcref))", 9),
    ] {
        let large = with_instances(&component("", ""), module, count);
        // Nothing of it runs, and `describe` is bounded like a call.
        let error = sandbox.describe(&large).await.expect_err(what);
        let said = error.to_string();
        assert!(
            said.contains("memory-limit") || said.contains("bytes of memory") || said.contains("table"),
            "{what}: {said}"
        );
    }
    others_go_on().await;
}

/// WebAssembly that this host does not speak: what could block a thread, or is not there in all versions.
#[tokio::test]
async fn proposals_that_are_not_part_of_the_contract_are_refused() {
    for (what, module) in [
        ("shared memories", "(module (memory 1 1 shared))"),
        (
            "waiting for another thread",
            r#"(module (memory 1 1 shared) (func (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))"#,
        ),
        ("garbage collection", "(module (type (struct (field i32))))"),
        ("exceptions", "(module (tag))"),
        ("pages of another size", "(module (memory 1 (pagesize 1)))"),
    ] {
        let given = world().await.sandbox.describe(&with_instances(&component("", ""), module, 1)).await;
        assert!(matches!(given, Err(PrepareError::Invalid(_))), "{what}: {given:?}");
    }
}

#[tokio::test]
async fn enormous_and_deep_types_are_refused() {
    let deep = {
        let mut text = "(component (type $t0 u8)".to_owned();
        for depth in 1..2000 {
            write!(text, "(type $t{depth} (list $t{}))", depth - 1).expect("memory");
        }
        write!(text, r#"(import "f" (func (param "x" $t1999))))"#).expect("memory");
        text
    };
    let doubling = {
        let mut text = "(component (type $t0 u8)".to_owned();
        for depth in 1..40 {
            write!(text, "(type $t{depth} (tuple $t{0} $t{0}))", depth - 1).expect("memory");
        }
        write!(text, r#"(import "f" (func (param "x" $t39))))"#).expect("memory");
        text
    };
    let wide = {
        let fields: String = (0..20_000).map(|it| format!(r#"(field "f{it}" u8)"#)).collect();
        format!(r#"(component (type $t (record {fields})) (import "f" (func (param "x" $t))))"#)
    };
    let nested = format!("{}{}", "(component ".repeat(90), ")".repeat(90));
    for (what, text) in [("deep", deep), ("doubling", doubling), ("wide", wide), ("components in components", nested)] {
        let error = refused_text(&text).await;
        assert!(!error.to_string().is_empty() && error.to_string().len() < 10_000, "{what}");
        assert!(
            matches!(error, PrepareError::Invalid(_) | PrepareError::UnknownImports(_) | PrepareError::Contract(_)),
            "{what}: {error}"
        );
    }
}

#[tokio::test]
async fn names_without_end_are_not_repeated_without_end() {
    let long = "x".repeat(90_000);
    let error = refused_text(&format!(r#"(component (import "{long}" (func)))"#)).await;
    assert!(error.to_string().len() < 1000, "{} bytes", error.to_string().len());
    let many: String = (0..5000).map(|it| format!(r#"(import "unknown-{it}" (func))"#)).collect();
    let error = refused_text(&format!("(component {many})")).await;
    assert!(error.to_string().len() < 10_000, "{} bytes", error.to_string().len());
    assert!(error.to_string().contains("unknown-0"), "{error}");
}

#[tokio::test]
async fn components_and_manifests_have_a_size() {
    let mut large = component("", "");
    push_section(&mut large, 0, &[b"\x01x".to_vec(), vec![0; 129 * 1024 * 1024]].concat());
    let error = refused(&large).await;
    assert!(matches!(error, PrepareError::Component(ComponentError::TooLarge(_))), "{error}");
    assert!(error.to_string().contains("134217728 are the most"), "{error}");
    let long = MANIFEST.replace("by hand", &"x".repeat(MANIFEST_BYTES_MAX));
    let error = refused(&component_with("", r#"(memory (export "memory") 40)"#, &long)).await;
    assert!(error.to_string().contains("1048576 are the most"), "{error}");
}

/// Two manifests in one component: the one that is shown is the one that counts.
#[tokio::test]
async fn a_second_manifest_does_not_count() {
    let sandbox = &world().await.sandbox;
    let plain = component("", "");
    let mut twice = embed_manifest(&plain, &MANIFEST.replace("\"write\"", "\"read\"")).expect("a component");
    twice = [twice, embed_manifest(&plain, MANIFEST).expect("a component")[plain.len()..].to_vec()].concat();
    assert_eq!(
        sections(&twice).filter(|(id, _)| *id == 0).count(),
        sections(&plain).filter(|(id, _)| *id == 0).count() + 2
    );
    assert!(matches!(sandbox.prepare(&twice).await, Err(PrepareError::ManifestDiffers(_))));
}

/// A sandbox whose operator allows little.
fn strict() -> Sandbox {
    let bound = EffectiveLimits { cpu_ms: 200, wall_ms: 1000, memory_bytes: 1024 * 1024, ..EffectiveLimits::BOUND };
    Sandbox::new(SandboxOptions { instances_max: 4, bound, ..SandboxOptions::default() }).expect("a sandbox")
}

/// What a component does to describe itself is bounded by the operator, as its calls are.
#[tokio::test]
async fn the_operators_bounds_hold_while_a_component_describes_itself() {
    let sandbox = strict();
    let spin = "(func $spin (loop $for_ever (br $for_ever)))";
    let timer = r#"(import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $timer (param i64) (result i32)))
        (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))"#;
    for (what, imports, body, expected) in [
        ("a loop", "", format!(r#"{spin} (func (export "manifest") (result i32) (call $spin) (i32.const 16))"#), "200 ms of processor time"),
        ("a loop at the start", "", format!("{spin} (start $spin)"), "200 ms of processor time"),
        ("a trap at the start", "", "(func $fall unreachable) (start $fall)".to_owned(), "unreachable"),
        ("memory", "", r#"(memory (export "memory") 17)"#.to_owned(), "1048576 bytes of memory"),
        (
            "a long sleep",
            timer,
            r#"(func (export "manifest") (result i32) (call $block (call $timer (i64.const 3600000000000))) (i32.const 16))"#.to_owned(),
            "longer than 1000 ms",
        ),
    ] {
        let error = sandbox.describe(&component(imports, &body)).await.expect_err(what);
        assert!(error.to_string().contains(expected), "{what}: {error}");
    }
    assert_eq!(sandbox.describe(&component("", "")).await.expect("a manifest"), MANIFEST);
}

/// While it describes itself a component sees the same moment and the same dice each time.
#[tokio::test]
async fn a_manifest_cannot_depend_on_when_or_where() {
    let imports = r#"(import "wasi:clocks/wall-clock@0.2.12" "now" (func $now (param i32)))
        (import "wasi:clocks/monotonic-clock@0.2.12" "now" (func $ticks (result i64)))
        (import "wasi:random/random@0.2.12" "get-random-u64" (func $random (result i64)))
        (import "wasi:random/insecure-seed@0.2.12" "insecure-seed" (func $seed (param i32)))"#;
    // Their sum, as a letter of the description.
    let place = 4096 + MANIFEST.find("by hand").expect("a description");
    let body = format!(
        r#"(func (export "manifest") (result i32)
          (call $now (i32.const 256)) (call $seed (i32.const 272))
          (i32.store8 (i32.const {place}) (i32.add (i32.const 65) (i32.wrap_i64 (i64.rem_u (i64.add (i64.add (i64.load (i32.const 256))
            (i64.load32_u (i32.const 264))) (i64.add (call $ticks) (i64.add (call $random) (i64.load (i32.const 272))))) (i64.const 26)))))
          (i32.const 16))"#
    );
    let component = component(imports, &body);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..8 {
        seen.insert(world().await.sandbox.describe(&component).await.expect("a manifest"));
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_ne!(seen.first().map(String::as_str), Some(MANIFEST), "the letter was written");
}

/// A plugin whose start function misbehaves, in a call.
#[tokio::test]
async fn what_misbehaves_before_the_first_function_is_a_failed_call() {
    let sandbox = &world().await.sandbox;
    // `manifest` is called in an instance of its own, so the first start must be good: it counts on the clock.
    let imports = r#"(import "wasi:clocks/monotonic-clock@0.2.12" "now" (func $ticks (result i64)))"#;
    let body = r#"(func $begin (if (i64.gt_u (call $ticks) (i64.const 1)) (then (loop $for_ever (br $for_ever))))) (start $begin)"#;
    let plugin = plugin_in(sandbox, &component(imports, body)).await.expect("a plugin");
    let report = sandbox.call(&plugin, request("act", Given::default())).await;
    assert_eq!(code(&report), "cpu-limit", "{}", message(&report));
    others_go_on().await;
}
