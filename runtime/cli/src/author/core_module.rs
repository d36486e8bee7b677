//! From a core module to a component, for compilers that know no components.

use std::path::Path;

use anyhow::Context;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::contract;

/// The component of a module whose imports and exports are those of the contract, and of WASI's first preview.
/// `work` is a folder for temporary files.
pub(super) fn component(module: &[u8], work: &Path) -> anyhow::Result<Vec<u8>> {
    let wit = work.join("wit");
    contract::write(&wit)?;
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(&wit).context("the contract")?;
    let world = resolve.select_world(&[package], Some(contract::WORLD)).context("the contract's world")?;
    let mut module = module.to_vec();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).context("the module's type")?;
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .context("the module does not fit the contract")?
        .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
        .context("the adapter for WASI")?
        .encode()
        .context("the module makes no component")
}

/// A module without what is in it for debuggers, which is most of it; its functions keep their names.
pub(super) fn without_debugging(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut kept = Vec::with_capacity(module.len());
    let mut end = 0_u64;
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.context("the compiler's module")?;
        let section = match &payload {
            Payload::Version { range, .. } => range.clone(),
            other => match other.as_section() {
                Some((_, range)) => range,
                // A part of a section, or the end.
                None => continue,
            },
        };
        let is_for_debuggers = matches!(&payload, Payload::CustomSection(it) if it.name().starts_with(".debug_"));
        if !is_for_debuggers {
            kept.extend_from_slice(&module[end as usize..section.end as usize]);
        }
        end = section.end;
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_debuggers_goes_and_all_else_stays() {
        let custom = |name: &str| [&[0, name.len() as u8 + 3, name.len() as u8], name.as_bytes(), b"xy"].concat();
        let module = |parts: &[Vec<u8>]| [b"\0asm\x01\0\0\0".to_vec(), parts.concat()].concat();
        let (types, name) = (vec![1, 4, 1, 0x60, 0, 0], custom("name"));
        let given = module(&[custom(".debug_info"), types.clone(), custom(".debug_line"), name.clone()]);
        assert_eq!(without_debugging(&given).expect("a module"), module(&[types, name]));
        assert!(without_debugging(b"no module").is_err());
    }

    #[test]
    fn a_module_without_the_contract_s_exports_is_refused() {
        let work = tempfile::tempdir().expect("a folder");
        let error = component(b"\0asm\x01\0\0\0", work.path()).expect_err("it exports nothing");
        assert!(format!("{error:#}").contains("manifest"), "{error:#}");
    }
}
