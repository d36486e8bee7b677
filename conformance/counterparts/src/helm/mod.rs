//! A stand-in for the command `helm` 3, for machines without helm and a cluster.
//!
//! It takes helm's command line, keeps releases with their revisions, and answers in helm's shapes, which were
//! taken from helm 3.17.3 against a real API server. The cluster is a folder, named by a kubeconfig whose
//! server is `file:///that/folder`. Nothing is deployed; every call says so on stderr.
//!
//! **Invariant:** a release's file is replaced as a whole, under the cluster's lock, so a stand-in that is killed
//! leaves what helm leaves: the last revision pending.
//! **Invariant:** readiness follows from the clock and from the image tag; nothing runs in the background.
//! **Not here:** most of Go templates, chart repositories, chart dependencies, hooks other than tests.

mod action;
mod chart;
mod cluster;
mod command;
mod overrides;
mod print;
mod query;
mod release;
mod resource;
mod template;
mod workload;

use clap::Parser;
use std::ffi::OsString;
use std::io::Write;

/// What every call says on stderr.
pub const NOTICE: &str = "windlass stand-in for helm: simulated cluster, nothing is deployed";
/// The version it reports.
pub const VERSION: &str = "v3.17.3+standin";

/// Where this variable is set, an operation ends in its middle, as helm's does when its machine is switched off.
const HALFWAY: &str = "WINDLASS_CERTIFY_HALFWAY";

/// The middle of an operation.
fn halfway() {
    if std::env::var_os(HALFWAY).is_some() {
        // As a shell tells of a program that was killed.
        std::process::exit(137);
    }
}

/// Runs one call of the stand-in and gives its exit code. The first argument is the program's name.
pub fn run(arguments: Vec<OsString>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    // A caller who does not listen is not the stand-in's problem: its state is already written.
    let _ = writeln!(err, "{NOTICE}");
    let done = match command::Helm::try_parse_from(arguments) {
        Ok(helm) => action::run(helm, out),
        Err(error) if !error.use_stderr() => {
            let _ = write!(out, "{error}");
            Ok(())
        }
        Err(error) => Err(command::in_helms_words(&error)),
    };
    match done {
        Ok(()) => 0,
        Err(message) => {
            let _ = writeln!(err, "Error: {message}");
            1
        }
    }
}
