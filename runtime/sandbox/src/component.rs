//! A component's bytes: its digest and the manifest embedded in them, read without running anything.
//!
//! Only the outermost sections are walked; what is inside them is wasmtime's to check.
//!
//! **Invariant:** [`embed_manifest`] depends on nothing but its arguments.

use windlass_model::digest::Digest;
use windlass_model::manifest::{InvalidManifest, Manifest};

/// The custom section that holds a component's manifest.
pub const MANIFEST_SECTION: &str = "windlass:manifest";

/// The largest component. Whole interpreters have 20 to 40 MB.
pub(crate) const COMPONENT_BYTES_MAX: usize = 128 * 1024 * 1024;

const CUSTOM_SECTION: u8 = 0;
const PREAMBLE_BYTES: usize = 8;

/// What a component says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// The embedded manifest.
    pub manifest: Manifest,
    /// The digest of the component's bytes.
    pub digest: Digest,
}

/// Why bytes are no component with a manifest.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ComponentError {
    /// Something else altogether.
    #[error("this is no WebAssembly component")]
    NoWebAssembly,
    /// A core module.
    #[error("this is a core WebAssembly module, not a component: build it for `wasm32-wasip2`")]
    CoreModule,
    /// Sections that do not add up.
    #[error("the component is cut off or damaged at byte {0}")]
    Damaged(usize),
    /// It would take the host too long to compile.
    #[error("the component has {0} bytes; {COMPONENT_BYTES_MAX} are the most")]
    TooLarge(usize),
    /// No manifest is embedded.
    #[error("the component has no section `{MANIFEST_SECTION}`: `windlass plugin build` embeds it")]
    NoManifest,
    /// The embedded manifest is not acceptable.
    #[error(transparent)]
    Manifest(#[from] InvalidManifest),
}

/// Reads a component's embedded manifest without running it.
pub fn inspect(component: &[u8]) -> Result<Inspection, ComponentError> {
    let section = manifest_section(component)?.ok_or(ComponentError::NoManifest)?;
    Ok(Inspection { manifest: Manifest::parse(section)?, digest: Digest::of(component) })
}

/// The bytes of the embedded manifest, where there is one.
pub(crate) fn manifest_section(component: &[u8]) -> Result<Option<&[u8]>, ComponentError> {
    for section in sections(component)? {
        if let Some(manifest) = section?.manifest {
            return Ok(Some(manifest));
        }
    }
    Ok(None)
}

/// The component without an embedded manifest.
pub(crate) fn without_manifest(component: &[u8]) -> Result<Vec<u8>, ComponentError> {
    let mut without = component.get(..PREAMBLE_BYTES).ok_or(ComponentError::NoWebAssembly)?.to_vec();
    for section in sections(component)? {
        let section = section?;
        if section.manifest.is_none() {
            without.extend_from_slice(section.whole);
        }
    }
    Ok(without)
}

/// The component with `manifest` embedded in place of any earlier one.
pub fn embed_manifest(component: &[u8], manifest: &str) -> Result<Vec<u8>, ComponentError> {
    let mut embedded = without_manifest(component)?;
    let mut content = Vec::with_capacity(MANIFEST_SECTION.len() + manifest.len() + 1);
    write_u32(&mut content, MANIFEST_SECTION.len());
    content.extend_from_slice(MANIFEST_SECTION.as_bytes());
    content.extend_from_slice(manifest.as_bytes());
    embedded.push(CUSTOM_SECTION);
    write_u32(&mut embedded, content.len());
    embedded.extend_from_slice(&content);
    Ok(embedded)
}

struct Section<'a> {
    whole: &'a [u8],
    manifest: Option<&'a [u8]>,
}

fn sections(component: &[u8]) -> Result<impl Iterator<Item = Result<Section<'_>, ComponentError>>, ComponentError> {
    match component.get(..PREAMBLE_BYTES) {
        Some(b"\0asm\x0d\0\x01\0") if component.len() > COMPONENT_BYTES_MAX => {
            return Err(ComponentError::TooLarge(component.len()));
        }
        Some(b"\0asm\x0d\0\x01\0") => {}
        Some(b"\0asm\x01\0\0\0") => return Err(ComponentError::CoreModule),
        _ => return Err(ComponentError::NoWebAssembly),
    }
    let mut at = PREAMBLE_BYTES;
    Ok(std::iter::from_fn(move || {
        (at < component.len()).then(|| {
            let start = at;
            let section = read_section(component, start).ok_or(ComponentError::Damaged(start));
            at = section.as_ref().map_or(component.len(), |it| start + it.whole.len());
            section
        })
    }))
}

fn read_section(component: &[u8], start: usize) -> Option<Section<'_>> {
    let id = *component.get(start)?;
    let (size, content_at) = read_u32(component, start + 1)?;
    let end = content_at.checked_add(size)?;
    let content = component.get(content_at..end)?;
    let manifest = (id == CUSTOM_SECTION)
        .then(|| {
            let (name_bytes, name_at) = read_u32(content, 0)?;
            let name_end = name_at.checked_add(name_bytes)?;
            (content.get(name_at..name_end)? == MANIFEST_SECTION.as_bytes()).then(|| &content[name_end..])
        })
        .flatten();
    Some(Section { whole: &component[start..end], manifest })
}

/// An unsigned LEB128 of at most 32 bits, and where it ends.
fn read_u32(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut value: u64 = 0;
    for index in 0..5 {
        let byte = *bytes.get(at + index)?;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((u32::try_from(value).ok()? as usize, at + index + 1));
        }
    }
    None
}

fn write_u32(bytes: &mut Vec<u8>, value: usize) {
    let mut rest = value;
    loop {
        let low = (rest & 0x7f) as u8;
        rest >>= 7;
        if rest == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";
    const MANIFEST: &str = r#"{"name":"x","version":"0.1.0","contract":"0.1","description":"d","actions":{"a":{"description":"d","input":{},"output":{},"effect":"read"}}}"#;

    #[test]
    fn an_embedded_manifest_reads_back_and_is_replaced() {
        let other_section = [0, 3, 1, b'n', b'!'];
        let mut component = EMPTY.to_vec();
        component.extend_from_slice(&other_section);
        let once = embed_manifest(&component, "{}").expect("a component");
        let twice = embed_manifest(&once, MANIFEST).expect("a component");
        assert_eq!(twice, embed_manifest(&component, MANIFEST).expect("a component"));
        assert!(twice.windows(5).any(|it| it == other_section));
        let inspection = inspect(&twice).expect("a manifest");
        assert_eq!(inspection.manifest.name.as_str(), "x");
        assert_eq!(inspection.digest, Digest::of(&twice));
    }

    #[test]
    fn what_is_no_component_says_so() {
        assert_eq!(inspect(b""), Err(ComponentError::NoWebAssembly));
        assert_eq!(inspect(b"\x7fELF1234567"), Err(ComponentError::NoWebAssembly));
        assert_eq!(inspect(b"\0asm\x01\0\0\0"), Err(ComponentError::CoreModule));
        assert_eq!(inspect(EMPTY), Err(ComponentError::NoManifest));
        for damaged in
            [&b"\0asm\x0d\0\x01\0\0"[..], b"\0asm\x0d\0\x01\0\0\x05a", b"\0asm\x0d\0\x01\0\0\xff\xff\xff\xff\xff\xff"]
        {
            assert_eq!(inspect(damaged), Err(ComponentError::Damaged(8)));
        }
    }
}
