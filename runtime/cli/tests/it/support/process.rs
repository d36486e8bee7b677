//! A `windlass` that keeps running, to be killed.

use std::process::{Child, Command, ExitStatus, Stdio};

/// A child process; killed when dropped.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_saying(command, Stdio::null)
    }

    /// One whose output goes there.
    pub(crate) fn start_saying(command: &mut Command, to: impl Fn() -> Stdio) -> Self {
        let child = command.stdin(Stdio::null()).stdout(to()).stderr(to()).spawn();
        Self(child.expect("windlass starts"))
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill_9(&mut self) {
        self.0.kill().expect("SIGKILL");
        self.0.wait().expect("its end");
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("its state")
    }

    /// SIGTERM, and waits until it is gone.
    pub(crate) fn stop(&mut self) {
        self.ask_to_stop();
        self.0.wait().expect("its end");
    }

    /// SIGTERM.
    pub(crate) fn ask_to_stop(&self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
