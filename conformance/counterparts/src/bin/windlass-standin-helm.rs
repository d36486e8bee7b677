//! The command `helm` where there is none: see `windlass_counterparts::helm`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = std::env::args_os().collect();
    let code =
        windlass_counterparts::helm::run(arguments, &mut std::io::stdout().lock(), &mut std::io::stderr().lock());
    ExitCode::from(code)
}
