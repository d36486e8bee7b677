//! Ending a process in all calm: nothing that is being done is cut off, as long as it does not take too long.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use windlass_model::time::Span;
use windlass_server::Runtime;

use crate::output::Output;

/// How long calls may take to end, if nobody says otherwise: less than service managers wait before they kill.
pub(crate) const GRACE: Span = Span::seconds(25);

/// What ends before anybody is told that it is waited for.
const AT_ONCE: Duration = Duration::from_millis(300);

/// Waits for Ctrl-C or SIGTERM.
pub(crate) async fn asked() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

/// Lets the calls that are being made end and begins no others; being asked again ends that.
pub(crate) async fn wind_down(runtime: &Runtime, grace: Span, output: &Output) -> std::io::Result<()> {
    let at_most = Duration::from(grace);
    let mut ending = runtime.wind_down();
    let busy = ending.wait(AT_ONCE.min(at_most)).await;
    if busy == 0 {
        return Ok(());
    }
    let of = |busy: usize| if busy == 1 { "1 release".to_owned() } else { format!("{busy} releases") };
    output.note(format_args!(
        "calls of {} are being made; waits at most {grace} for them to end, Ctrl-C ends it at once",
        of(busy)
    ));
    let left = tokio::select! {
        left = ending.wait(at_most) => left,
        asked = asked() => {
            asked?;
            ending.wait(Duration::ZERO).await
        }
    };
    if left > 0 {
        output.note(format_args!(
            "calls of {} are cut off; the next process finds out what became of them, or asks",
            of(left)
        ));
    }
    Ok(())
}
