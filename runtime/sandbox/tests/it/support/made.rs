//! Components written by hand, for what no compiler makes: a core module in text becomes a plugin with one action, `act`.
//!
//! A function that a text does not define gets the plainest one: `manifest` gives [`MANIFEST`], `find` finds nothing,
//! the others give `null`. Exports are named short, `(export "start")`; what a call takes and gives is laid out as the
//! canonical ABI has it.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use windlass_sandbox::{CallReport, Plugin, PrepareError, Sandbox, embed_manifest};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

use super::{Given, request, world};

/// What [`component`]s say of themselves.
pub(crate) const MANIFEST: &str = r#"{"name":"made","version":"0.1.0","contract":"0.1","description":"by hand","actions":{"act":{"description":"misbehaves","input":{},"output":{},"effect":"write","cancel":true,"rollback":true,"find":true,"limits":{"cpu_ms":300,"wall_ms":20000}}}}"#;

/// What a call gives that is done with `null`, at address 32, and what it points to.
const DONE: &str = r#"(data (i32.const 32) "\00\00\00\00\00\00\00\00\00\00\00\00\80\00\00\00\04\00\00\00") (data (i32.const 128) "null")"#;

/// Room is handed out from here on and never taken back.
const HEAP: &str = r#"
  (global $heap (mut i32) (i32.const 65536))
  (func $room (param $size i32) (result i32) (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $at) (local.get $size)))
    (block $enough (loop $grow
      (br_if $enough (i32.le_u (global.get $heap) (i32.shl (memory.size) (i32.const 16))))
      (if (i32.lt_s (memory.grow (i32.const 1)) (i32.const 0)) (then unreachable))
      (br $grow)))
    (local.get $at))"#;

const PLAIN: [(&str, &str); 8] = [
    ("memory", r#"(memory (export "memory") 1)"#),
    (
        "cabi_realloc",
        r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (call $room (local.get 3)))"#,
    ),
    ("manifest", r#"(func (export "manifest") (result i32) (i32.const 16))"#),
    ("start", r#"(func (export "start") (param i32) (result i32) (i32.const 32))"#),
    ("resume", r#"(func (export "resume") (param i32) (result i32) (i32.const 32))"#),
    ("cancel", r#"(func (export "cancel") (param i32) (result i32) (i32.const 32))"#),
    ("rollback", r#"(func (export "rollback") (param i32) (result i32) (i32.const 32))"#),
    ("find", r#"(func (export "find") (param i32) (result i32) (i32.const 32))"#),
];

/// The core module of a plugin with these imports and this body, as text.
fn text(imports: &str, body: &str, manifest: &str) -> String {
    let bytes = |text: &[u8]| text.iter().map(|it| format!("\\{it:02x}")).collect::<String>();
    let area: Vec<u8> =
        [4096_u32, u32::try_from(manifest.len()).expect("short")].iter().flat_map(|it| it.to_le_bytes()).collect();
    let mut text = format!("(module\n{imports}\n{body}\n{HEAP}\n{DONE}\n");
    text.push_str(&format!(
        "(data (i32.const 16) \"{}\") (data (i32.const 4096) \"{}\")\n",
        bytes(&area),
        bytes(manifest.as_bytes())
    ));
    for (name, plain) in PLAIN {
        if !body.contains(&format!("(export \"{name}\")")) {
            text.push_str(plain);
        }
    }
    for name in ["manifest", "start", "resume", "cancel", "rollback", "find"] {
        text =
            text.replace(&format!("(export \"{name}\")"), &format!("(export \"windlass:plugin/step@0.1.0#{name}\")"));
        text = text.replace(
            &format!("(export \"post:{name}\")"),
            &format!("(export \"cabi_post_windlass:plugin/step@0.1.0#{name}\")"),
        );
    }
    text + ")"
}

/// The contract, and all of WASI's command line that is linked beside it.
fn contract() -> &'static (Resolve, WorldId) {
    static CONTRACT: OnceLock<(Resolve, WorldId)> = OnceLock::new();
    CONTRACT.get_or_init(|| {
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/0.1");
        let mut resolve = Resolve::default();
        resolve.push_dir(wit).expect("the contract");
        let everything = "package conformance:everything; world everything { include windlass:plugin/plugin@0.1.0; include wasi:cli/imports@0.2.12; }";
        let package = resolve.push_str("everything.wit", everything).expect("a world");
        let world = resolve.select_world(&[package], None).expect("one world");
        (resolve, world)
    })
}

/// The component, without an embedded manifest.
pub(crate) fn component(imports: &str, body: &str) -> Vec<u8> {
    component_with(imports, body, MANIFEST)
}

/// The component whose function `manifest` gives this.
pub(crate) fn component_with(imports: &str, body: &str, manifest: &str) -> Vec<u8> {
    let text = text(imports, body, manifest);
    let mut module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let (resolve, world) = contract();
    embed_component_metadata(&mut module, resolve, *world, StringEncoding::UTF8).expect("a module");
    let encoded = ComponentEncoder::default().module(&module).and_then(|it| it.encode());
    encoded.unwrap_or_else(|error| panic!("{error:#}\n{text}"))
}

/// The plugin that a component makes in this sandbox.
pub(crate) async fn plugin_in(sandbox: &Sandbox, component: &[u8]) -> Result<Arc<Plugin>, PrepareError> {
    sandbox.prepare(&embed_manifest(component, MANIFEST).expect("a component")).await
}

/// Calls a component that consists of this.
pub(crate) async fn call_made(imports: &str, body: &str, given: Given) -> CallReport {
    let sandbox = &world().await.sandbox;
    let plugin = plugin_in(sandbox, &component(imports, body)).await.expect("a plugin");
    sandbox.call(&plugin, request("act", given)).await
}

/// The component with `count` more instances of a core module at its end, which nothing uses.
pub(crate) fn with_instances(component: &[u8], module: &str, count: u32) -> Vec<u8> {
    let module = wat::parse_str(module).expect("a module");
    let modules = sections(component).filter(|(id, _)| *id == CORE_MODULE).count();
    let mut more = component.to_vec();
    push_section(&mut more, CORE_MODULE, &module);
    let mut instances = leb(count);
    for _ in 0..count {
        // Instantiate the module of this number with no arguments.
        instances.push(0);
        instances.extend(leb(u32::try_from(modules).expect("few")));
        instances.push(0);
    }
    push_section(&mut more, CORE_INSTANCES, &instances);
    more
}

const CORE_MODULE: u8 = 1;
const CORE_INSTANCES: u8 = 2;

/// Appends a section to a component.
pub(crate) fn push_section(component: &mut Vec<u8>, id: u8, content: &[u8]) {
    component.push(id);
    component.extend(leb(u32::try_from(content.len()).expect("short")));
    component.extend_from_slice(content);
}

/// The outermost sections of a component: what kind, and from where to where with its head.
pub(crate) fn sections(component: &[u8]) -> impl Iterator<Item = (u8, std::ops::Range<usize>)> {
    let mut at = 8;
    std::iter::from_fn(move || {
        let (start, id) = (at, *component.get(at)?);
        let (mut size, mut shift) = (0_usize, 0);
        loop {
            at += 1;
            size |= usize::from(component[at] & 0x7f) << shift;
            shift += 7;
            if component[at] < 0x80 {
                break;
            }
        }
        at += 1 + size;
        Some((id, start..at))
    })
}

fn leb(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
