//! A helm whose answers a test scripts, and what it was asked.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use windlass_sdk::ToolOutput;
use windlass_sdk::testing::MockHost;

/// helm's answers by the beginning of the command; the last answer to a command stands.
#[derive(Clone, Default)]
pub(crate) struct Script {
    pub(crate) answers: Rc<RefCell<BTreeMap<String, Vec<ToolOutput>>>>,
    pub(crate) calls: Rc<RefCell<Vec<String>>>,
    pub(crate) files: Rc<RefCell<BTreeMap<String, String>>>,
}

impl Script {
    pub(crate) fn says(&self, command: &str, stdout: impl Into<String>) -> &Self {
        self.ends(command, 0, stdout.into(), String::new())
    }

    pub(crate) fn fails(&self, command: &str, stderr: &str) -> &Self {
        self.ends(command, 1, String::new(), stderr.to_owned())
    }

    pub(crate) fn ends(&self, command: &str, exit_code: i32, stdout: String, stderr: String) -> &Self {
        let output = ToolOutput {
            tool: "helm".to_owned(),
            exit_code,
            stdout: stdout.into_bytes(),
            stderr: stderr.into_bytes(),
            truncated: false,
        };
        self.answers.borrow_mut().entry(command.to_owned()).or_default().push(output);
        self
    }

    pub(crate) fn host(&self) -> MockHost {
        let script = self.clone();
        MockHost::new().connection("cluster", "https://cluster.test").tools(move |command| {
            assert_eq!(command.tool, "helm");
            let line = command.arguments.join(" ");
            assert!(!line.contains("--wait") && !line.contains("--kubeconfig"), "{line}");
            let needs_cluster = !line.starts_with("lint");
            assert_eq!(command.connection.as_deref() == Some("cluster"), needs_cluster, "{line}");
            for (path, contents) in &command.files {
                script.files.borrow_mut().insert(path.clone(), String::from_utf8_lossy(contents).into_owned());
            }
            script.calls.borrow_mut().push(line.clone());
            let mut answers = script.answers.borrow_mut();
            // A flag says more than the subcommand, and more words say more than fewer.
            let (_, queue) = answers
                .iter_mut()
                .filter(|(command, _)| {
                    line.starts_with(*command) || (command.starts_with("--") && line.contains(*command))
                })
                .max_by_key(|(command, _)| (command.starts_with("--"), command.len()))
                .unwrap_or_else(|| panic!("the script has no answer to `helm {line}`"));
            Ok(if queue.len() > 1 { queue.remove(0) } else { queue[0].clone() })
        })
    }

    /// The subcommands in their order; a dry run is called `dry-run`.
    pub(crate) fn subcommands(&self) -> Vec<String> {
        let name = |line: &String| {
            let first = if line.contains("--dry-run") { "dry-run" } else { line.split(' ').next().unwrap_or_default() };
            first.to_owned()
        };
        self.calls.borrow().iter().map(name).collect()
    }

    pub(crate) fn count(&self, subcommand: &str) -> usize {
        self.subcommands().iter().filter(|it| *it == subcommand).count()
    }

    /// The whole command that began so.
    pub(crate) fn line(&self, start: &str) -> String {
        let calls = self.calls.borrow();
        let found = calls.iter().find(|line| line.starts_with(start) && !line.contains("--dry-run"));
        found.unwrap_or_else(|| panic!("no call `{start}` in {calls:#?}")).clone()
    }
}
