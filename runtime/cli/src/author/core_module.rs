//! From a core module to a component, for compilers that know no components.

use std::path::Path;

use anyhow::Context;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_without_the_contract_s_exports_is_refused() {
        let work = tempfile::tempdir().expect("a folder");
        let error = component(b"\0asm\x01\0\0\0", work.path()).expect_err("it exports nothing");
        assert!(format!("{error:#}").contains("manifest"), "{error:#}");
    }
}
