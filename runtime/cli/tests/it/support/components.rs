//! The components, built once, and an installation that has them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::site::{WINDLASS, copy};

const PACKAGES: [&str; 6] = [
    "plugins/http",
    "plugins/jenkins",
    "plugins/servicenow",
    "plugins/helm",
    "conformance/hostile",
    "conformance/noop",
];

/// A state directory with all components installed and compiled, to be copied.
pub(crate) fn ready() -> &'static Path {
    static READY: OnceLock<PathBuf> = OnceLock::new();
    READY.get_or_init(|| {
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("end-to-end");
        std::fs::create_dir_all(&scratch).expect("the scratch folder");
        let guard = File::create(scratch.join("lock")).expect("the lock's file");
        guard.lock().expect("the lock");
        let components = build(&PACKAGES, &scratch.join("components"));
        let compiled = scratch.join("compiled");
        let ready = scratch.join(format!("ready-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&ready);
        std::fs::create_dir_all(&ready).expect("the state directory");
        // What wasmtime compiled in an earlier run; it knows itself what still fits.
        if compiled.is_dir() {
            copy(&compiled, &ready.join("compiled"));
        }
        let installed =
            Command::new(WINDLASS).arg("--state").arg(&ready).args(["plugin", "install"]).args(&components).output();
        let installed = installed.expect("windlass starts");
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
        let _ = std::fs::remove_dir_all(&compiled);
        copy(&ready.join("compiled"), &compiled);
        // The other processes of a test runner that has one per test make their own.
        for entry in std::fs::read_dir(&scratch).expect("the scratch folder").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name
                .strip_prefix("ready-")
                .and_then(|it| it.parse::<i32>().ok())
                .and_then(rustix::process::Pid::from_raw);
            if owner.is_some_and(|it| rustix::process::test_kill_process(it).is_err()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        ready
    })
}

/// The file of a component that [`ready`] has.
pub(crate) fn component(name: &str) -> PathBuf {
    let _built = ready();
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("end-to-end/components/{name}-0.1.0.wasm"))
}

/// The component that does nothing, in a folder of its own.
pub(crate) fn noop() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("end-to-end");
        std::fs::create_dir_all(&scratch).expect("the scratch folder");
        let guard = File::create(scratch.join("lock")).expect("the lock's file");
        guard.lock().expect("the lock");
        build(&["conformance/noop"], &scratch.join("noop")).remove(0)
    })
}

fn build(packages: &[&str], out: &Path) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let paths = packages.iter().map(|it| root.join(it));
    let built = Command::new(WINDLASS).args(["--json", "plugin", "build"]).args(paths).arg("--out").arg(out).output();
    let built = built.expect("windlass starts");
    let text = String::from_utf8_lossy(&built.stdout);
    assert!(built.status.success(), "{text}{}", String::from_utf8_lossy(&built.stderr));
    let built: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let files: Vec<PathBuf> =
        built.as_array().into_iter().flatten().filter_map(|it| it["file"].as_str()).map(PathBuf::from).collect();
    assert_eq!(files.len(), packages.len(), "one component each: {text}");
    files
}

/// The stand-in for the command `helm`.
pub(crate) fn standin_helm() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| counterpart("windlass-standin-helm"))
}

/// The simulators as a program.
pub(crate) fn simulator() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| counterpart("windlass-simulator"))
}

fn counterpart(program: &str) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "windlass-counterparts", "--bin", program]);
    command.args(["--message-format", "json-render-diagnostics"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let built = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo starts");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let messages = String::from_utf8_lossy(&built.stdout).into_owned();
    let mut messages = messages.lines().filter_map(|it| serde_json::from_str::<serde_json::Value>(it).ok());
    let program = messages.find_map(|it| it["executable"].as_str().map(PathBuf::from));
    program.expect("cargo says where the program is")
}
