//! Builds the component of `conformance/certify/faulty`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The faulty plugin, without an embedded manifest.
pub(crate) fn faulty() -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // A folder of its own: the one of the running `cargo test` may be locked.
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from).join("plugins");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["build", "--quiet", "--package", "windlass-faulty", "--lib"])
        .args(["--target", "wasm32-wasip2", "--profile", "plugin", "--target-dir"])
        .arg(&target)
        .current_dir(root);
    for set_by_cargo in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
        command.env_remove(set_by_cargo);
    }
    let status = command.status().expect("cargo runs");
    assert!(
        status.success(),
        "the faulty plugin does not build; is the target there? `rustup target add wasm32-wasip2`"
    );
    std::fs::read(target.join("wasm32-wasip2/plugin/windlass_faulty.wasm")).expect("it was built")
}
