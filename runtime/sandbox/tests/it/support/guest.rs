//! Builds the components of `conformance/hostile`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        // A folder of its own: the one of the running `cargo test` may be locked.
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from).join("plugins");
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .args(["build", "--quiet", "--package", "windlass-hostile", "--lib", "--examples"])
            .args(["--target", "wasm32-wasip2", "--profile", "plugin", "--target-dir"])
            .arg(&target)
            .current_dir(root);
        for set_by_cargo in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
            command.env_remove(set_by_cargo);
        }
        let status = command.status().expect("cargo runs");
        assert!(
            status.success(),
            "the hostile plugin does not build; is the target there? `rustup target add wasm32-wasip2`"
        );
        target.join("wasm32-wasip2/plugin")
    })
}

/// The hostile plugin, without an embedded manifest.
pub(crate) fn hostile() -> Vec<u8> {
    std::fs::read(built().join("windlass_hostile.wasm")).expect("it was built")
}

/// One of the examples beside it.
pub(crate) fn example(name: &str) -> Vec<u8> {
    std::fs::read(built().join(format!("examples/{name}.wasm"))).expect("it was built")
}
