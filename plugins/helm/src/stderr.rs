//! What helm's words on standard error mean for the retry policy.
//!
//! helm has one exit code for all that goes wrong, so its text is all there is. Each rule is a text that helm, its
//! client library or the API server writes; the first rule that applies decides, so the order matters.

use windlass_sdk::{Failure, FailureClass, ToolOutput};

const TEXT_CHARACTERS_MAX: usize = 2_000;

struct Rule {
    /// Any of these, in lower case, somewhere in the text.
    says: &'static [&'static str],
    class: FailureClass,
    code: &'static str,
    /// What a person can do.
    advice: &'static str,
    /// Whether another attempt of the same input is of use.
    retry: bool,
}

macro_rules! rules {
    ($( $class:ident $code:literal $(, never $never:literal)? : [ $( $says:literal ),+ $(,)? ] => $advice:literal; )*) => {
        const RULES: &[Rule] = &[ $( Rule {
            says: &[ $( $says ),+ ],
            class: FailureClass::$class,
            code: $code,
            advice: $advice,
            retry: true $( && !$never )?,
        } ),* ];
    };
}

rules! {
    Internal "helm-too-old", never true: ["unknown flag:", "unknown shorthand flag", "unknown command \""]
        => "this plugin needs helm 3.13 or later of the 3 series";
    Conflict "release-locked": ["another operation (install/upgrade/rollback) is in progress"]
        => "another helm operation holds the release, or was interrupted: `helm history` says which";
    Unauthenticated "cluster-credentials": [
        "asked for the client to provide credentials", "unauthorized", "you must be logged in to the server",
        "getting credentials: exec",
    ] => "the connection's kubeconfig is not accepted";
    Unauthenticated "kubeconfig", never true: [
        "invalid configuration:", "error loading config file", "kubernetes cluster unreachable: stat ",
        "dial tcp 127.0.0.1:8080", "dial tcp [::1]:8080",
    ] => "the connection's kubeconfig cannot be used: look at its server, user and context";
    Unauthenticated "cluster-certificate", never true: ["x509:", "tls: failed to verify certificate"]
        => "the server's certificate is not one that is trusted";
    RateLimited "cluster-busy": ["too many requests", "the server is currently unable to handle the request (get throttled"]
        => "the API server asks for fewer requests";
    Rejected "quota": ["exceeded quota"] => "the namespace's quota does not leave enough room";
    Rejected "admission-denied": ["admission webhook"] => "an admission webhook of the cluster refused it";
    Conflict "owned-elsewhere", never true: ["exists and cannot be imported into the current release"]
        => "a resource of that name belongs to somebody else";
    Forbidden "cluster-forbidden": ["is forbidden:", "forbidden: user"]
        => "the kubeconfig's user lacks a permission";
    NotFound "release-not-found": ["release: not found", "release not loaded"] => "";
    NotFound "revision-not-found", never true: ["release has no ", "no revision for release"]
        => "helm keeps ten revisions unless `history_max` says otherwise";
    NotFound "namespace-not-found", never true: ["failed to create: namespaces \"", "error from server (notfound): namespaces"]
        => "create the namespace, or set `create_namespace: true`";
    Conflict "no-deployed-release": ["has no deployed releases"] => "every revision of it failed: uninstall it first";
    Conflict "name-in-use": ["cannot re-use a name that is still in use"] => "";
    Rejected "hook-failed": ["hooks failed", "failed pre-", "failed post-", "backofflimitexceeded"] => "a hook of the chart failed; its job or pod is still there to look at";
    NotFound "chart-not-found", never true: [
        "chart.yaml file is missing", "chart metadata is missing", "no chart name found", "no chart version found",
        "no cached repo found", "404 not found", ": 404 ", "manifest unknown", "could not find protocol handler",
        "unable to locate any tags in provided repository", "non-absolute urls should be in form of",
        "unable to check chart.yaml file",
    ] => "there is no such chart, or not in this version";
    Invalid "chart-version", never true: ["improper constraint", "incompatible with kubernetes"] => "";
    Invalid "chart-invalid", never true: [
        "parse error", "execution error at", "error calling ", "nil pointer evaluating", "can't evaluate field",
        "don't meet the specifications of the schema", "unable to build kubernetes objects", "error validating",
        "error converting yaml to json", "yaml parse error", "yaml: line", "cannot load ", "executing \"",
        "validation: chart.metadata", "wrong type for value", "function \"", "missing in charts/ directory",
        "ensure crds are installed first", "error unmarshaling json", "failed to parse",
    ] => "the chart with these values makes no good manifest";
    Invalid "resource-invalid", never true: ["is invalid:", "field is immutable", "strict decoding error"]
        => "the API server refuses a resource of the chart";
    Transient "cluster-unreachable": ["kubernetes cluster unreachable"] => "";
    Transient "chart-source-unreachable": ["is not a valid chart repository or cannot be reached"] => "";
    TimedOut "helm-timed-out": ["timed out waiting for the condition", "context deadline exceeded"] => "";
    Transient "connection": [
        "connection refused", "connection reset", "no such host", "i/o timeout", "tls handshake timeout",
        "network is unreachable", "no route to host", ": eof", "unexpected eof", "http2: ", "broken pipe",
        "etcdserver:", "service unavailable", "bad gateway", "gateway timeout", "internal error occurred",
        "unable to handle the request", "the object has been modified", "temporary failure in name resolution",
    ] => "";
    NotFound "chart-not-found", never true: ["path \"", "repo "] => "there is no such chart where it was looked for";
}

/// The failure that a run of helm which ended badly stands for.
pub(crate) fn failure(output: &ToolOutput, doing: &str) -> Failure {
    let text = words(output);
    let lowered = text.to_lowercase();
    let applies = |rule: &&Rule| rule.says.iter().any(|says| lowered.contains(says));
    let Some(rule) = RULES.iter().find(applies) else {
        let message = format!("{doing}: helm ended with exit code {}: {text}", output.exit_code);
        return Failure::internal("helm-failed", message).detail("exit_code", output.exit_code);
    };
    let advice = if rule.advice.is_empty() { String::new() } else { format!(" ({})", rule.advice) };
    let failure = Failure::new(rule.class, rule.code, format!("{doing}: {text}{advice}"));
    if rule.retry { failure } else { failure.never() }
}

/// Whether helm says that there is no such release.
pub(crate) fn says_not_found(output: &ToolOutput) -> bool {
    let text = words(output).to_lowercase();
    text.contains("release: not found")
}

/// What helm said last: from the line that begins with `Error`, else the end of all it said.
fn words(output: &ToolOutput) -> String {
    let stderr = output.stderr_text();
    let lines: Vec<&str> = stderr.lines().collect();
    let said = match lines.iter().rposition(|line| line.starts_with("Error")) {
        Some(first) => lines[first..].join("\n"),
        None => stderr.clone(),
    };
    let said = said.trim();
    let said = said.strip_prefix("Error: ").unwrap_or(said).trim();
    let kept: String = said.chars().take(TEXT_CHARACTERS_MAX).collect();
    if kept.is_empty() { "it says nothing".to_owned() } else { kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(stderr: &str) -> Failure {
        let output = ToolOutput {
            exit_code: 1,
            stderr: stderr.as_bytes().to_vec(),
            ..ToolOutput { tool: "helm".to_owned(), ..ToolOutput::default() }
        };
        failure(&output, "upgrading `pay`")
    }

    /// One text per block of the file, as helm 3.17.3 wrote it, with the class and code that it stands for.
    #[test]
    fn what_the_real_helm_wrote_is_understood() {
        let mut seen = 0;
        for block in include_str!("../tests/recorded/errors.txt").split("\n===\n") {
            let (expected, text) = block.trim_start().split_once('\n').expect("a block has a first line and a text");
            let failure = of(text);
            assert_eq!(format!("{:?} {}", failure.class, failure.code), expected.trim(), "{text}");
            seen += 1;
        }
        assert!(seen >= 25, "only {seen} recorded texts");
    }

    #[test]
    fn an_unknown_text_is_quoted_and_not_guessed() {
        let failure = of("walk.go:75: found symbolic link\nError: the moon is in the wrong phase\n");
        assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Internal, "helm-failed"));
        assert_eq!(failure.message, "upgrading `pay`: helm ended with exit code 1: the moon is in the wrong phase");
        assert_eq!(of("").message, "upgrading `pay`: helm ended with exit code 1: it says nothing");
    }
}
