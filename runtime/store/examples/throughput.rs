//! Prints how many appends a second a store in a folder takes: `cargo run --release --example throughput FOLDER [SECONDS]`.
//!
//! The folder must be on the disk that is to be measured; what is written there is removed.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use windlass_store::{SledStore, measure};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("which folder?")?);
    let seconds = arguments.next().and_then(|it| it.to_str()?.parse().ok()).unwrap_or(5);
    println!("fdatasync of a small append, median: {:?}", measure::fdatasync_p50(&folder)?);
    let folder = tempfile::tempdir_in(folder)?;
    for callers in [1, 16, 64, 256] {
        let store = Arc::new(SledStore::open(folder.path().join(callers.to_string()))?);
        let rate = measure::appends_per_second(&store, callers, Duration::from_secs(seconds)).await?;
        println!("{callers:>4} callers: {rate:>8.0} appends/s");
    }
    Ok(())
}
