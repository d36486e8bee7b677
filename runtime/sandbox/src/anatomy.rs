//! What a component is made of, read from its bytes; nothing is compiled or run.

use std::collections::BTreeSet;

use serde::Serialize;
use wasmparser::{Parser, Payload};

use crate::component::{self, ComponentError};

/// A component's parts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Anatomy {
    /// The interfaces that it imports, with their versions.
    pub imports: BTreeSet<String>,
    /// The interfaces that it exports.
    pub exports: BTreeSet<String>,
    /// Bytes in all.
    pub bytes: u64,
    /// Bytes of machine-independent code.
    pub code_bytes: u64,
    /// Bytes of data that memories begin with.
    pub data_bytes: u64,
    /// Bytes that nothing runs on: names, debugging information, the manifest.
    pub custom_bytes: u64,
    /// Bytes of memory that each instance begins with.
    pub memory_bytes: u64,
}

/// Reads a component's parts.
pub fn anatomy(bytes: &[u8]) -> Result<Anatomy, ComponentError> {
    // Says what is no component at all in words for people.
    component::manifest_section(bytes)?;
    let damaged = |error: wasmparser::BinaryReaderError| {
        ComponentError::Damaged(usize::try_from(error.offset()).unwrap_or(usize::MAX))
    };
    let mut found = Anatomy { bytes: bytes.len() as u64, ..Anatomy::default() };
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(damaged)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    found.imports.insert(import.map_err(damaged)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    found.exports.insert(export.map_err(damaged)?.name.name.to_owned());
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let memory = memory.map_err(damaged)?;
                    let page = 1_u64 << memory.page_size_log2.unwrap_or(16).min(63);
                    found.memory_bytes = found.memory_bytes.saturating_add(memory.initial.saturating_mul(page));
                }
            }
            Payload::CodeSectionStart { size, .. } => found.code_bytes += u64::from(size),
            Payload::DataSection(data) => found.data_bytes += data.range().end - data.range().start,
            Payload::CustomSection(custom) => found.custom_bytes += custom.range().end - custom.range().start,
            _ => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::embed_manifest;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn parts_of_modules_inside_are_counted_and_their_imports_are_not_the_component_s() {
        // A module with a memory of two pages and four bytes of data, as the component's only section.
        let module = b"\0asm\x01\0\0\0\x05\x03\x01\x00\x02\x0b\x0a\x01\x00\x41\x00\x0b\x04data";
        let mut component = EMPTY.to_vec();
        component.push(1);
        component.push(u8::try_from(module.len()).expect("short"));
        component.extend_from_slice(module);
        let found = anatomy(&component).expect("a component");
        assert_eq!((found.memory_bytes, found.imports.len(), found.custom_bytes), (2 * 65_536, 0, 0));
        assert!(found.data_bytes >= 4 && found.bytes == component.len() as u64, "{found:?}");
        let embedded = anatomy(&embed_manifest(&component, "{}").expect("a component")).expect("a component");
        assert!(embedded.custom_bytes > 0, "{embedded:?}");
    }

    #[test]
    fn what_is_no_component_says_so() {
        assert_eq!(anatomy(b"\0asm\x01\0\0\0"), Err(ComponentError::CoreModule));
        assert_eq!(anatomy(b"\0asm\x0d\0\x01\0\x01\x09\0asm\x01\0\0\0\x63"), Err(ComponentError::Damaged(19)));
    }
}
