//! What the command line says: help, problems, exit codes, JSON.

use expect_test::{Expect, expect};

use crate::support::release::{Deployment, RELEASE, payments};
use crate::support::{Site, scrubbed};

const RUN: [&str; 4] = ["run", "payments.yaml", "--param", "version=1.2.3"];

fn check(actual: &str, expected: &Expect) {
    expected.assert_eq(&scrubbed(actual, |_| false));
}

#[test]
fn help_says_what_there_is() {
    let site = Site::empty();
    check(
        &site.good(&["--help"]).stdout,
        &expect![[r#"
            Runs release workflows durably: every step a sandboxed WebAssembly component.

            Start with `windlass demo`.

            Usage: windlass [OPTIONS] <COMMAND>

            Commands:
              demo         Run a whole release: build, change, approval, deployment, verification
              validate     Check workflow files; print every problem with its place
              graph        Draw a workflow
              run          Start a release and watch it to its end
              rehearse     Rehearse the rollback of a workflow on copies: go forward, roll back, and measure
                           that
              drill        Rehearse rollbacks at times, and tell which drills are overdue
              serve        Go on with all open releases, fire schedules and answer other commands, until stopped
              release      Show releases and act on them
              schedule     Start releases at times: by cron expressions, or once
              plugin       Make, build, try and install plugins
              connection   Declare endpoints and how to authenticate there
              tool         Declare native tools that plugins may run
              breaker      Hold releases back when too much fails, or by hand
              alert        Say that something is wrong, or who may: releases that name the alert are rolled back
              service      Show which versions of services are live, or say so
              limit        Limit how many releases run at once, and how many wait
              group        Declare groups of people
              backup       Write everything to a new folder, while releases go on
              restore      Make an installation of a backup, or only check the backup
              store        Look after the store
              bench        Measure this machine with real releases of steps that do nothing
              doctor       Tell what of this machine works for Windlass, what is missing, and how to get it
              completions  Print completions for a shell
              help         Print this message or the help of the given subcommand(s)

            Options:
                  --state <DIR>
                      Where everything is kept

                      [env: WINDLASS_STATE=]
                      [default: .windlass]

                  --json
                      Print JSON for programs

              -h, --help
                      Print help (see a summary with '-h')

              -V, --version
                      Print version
        "#]],
    );
    assert!(!site.state().exists(), "help makes nothing");
}

#[test]
fn every_command_has_help() {
    let site = Site::empty();
    let groups = [
        (
            "release",
            &[
                "list",
                "show",
                "logs",
                "approve",
                "reject",
                "cancel",
                "retry",
                "rerun",
                "skip",
                "set-output",
                "pause",
                "resume",
                "rollback",
                "callback",
                "settle",
            ][..],
        ),
        (
            "plugin",
            &["new", "sdk", "test", "service", "build", "check", "diff", "run", "bench", "install", "list", "inspect"],
        ),
        ("schedule", &["set", "list", "show", "next", "pause", "resume", "run", "delete"]),
        ("connection", &["add", "list", "test", "remove"]),
        ("tool", &["add", "list"]),
        ("group", &["add", "remove", "set", "list"]),
        ("store", &["check", "archive", "expire"]),
    ];
    for (group, commands) in groups {
        for command in commands {
            let said = site.good(&[group, command, "--help"]).stdout;
            assert!(said.contains(&format!("Usage: windlass {group} {command}")), "{said}");
        }
    }
    for command in ["demo", "validate", "graph", "run", "serve", "bench", "doctor", "completions"] {
        assert!(site.good(&[command, "--help"]).stdout.contains("Usage: windlass"), "{command}");
    }
}

#[test]
fn a_wrong_workflow_is_shown_with_carets() {
    let site = Site::new();
    site.write("wrong.yaml", "windlass: v1\nworkflow: wrong\nsteps:\n  build:\n    uses: jenkins/trigger-buidl\n    conection: ci\n  deploy:\n    needs: [bulid]\n    uses: http/request\n");
    let ran = site.run(&["validate", "wrong.yaml"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(ran.stdout, "");
    check(
        &ran.stderr,
        &expect![[r#"
        error[unknown-action]: plugin `jenkins` 0.1.0 has no action `trigger-buidl`
         --> wrong.yaml:5:19
          |
        5 |     uses: jenkins/trigger-buidl
          |                   ^^^^^^^^^^^^^
          |
          = help: did you mean `trigger-build`?

        error[unknown-key]: step `build` has no key `conection`
         --> wrong.yaml:6:5
          |
        6 |     conection: ci
          |     ^^^^^^^^^
          |
          = help: did you mean `connection`?

        error[missing-input]: the input of `http/request` needs `path`
         --> wrong.yaml:7:3
          |
        7 |   deploy:
          |   ^^^^^^
          |
          = note: `path`: Path below the connection's base URL, percent-encoded.
          = help: add `path:` with a text

        error[unknown-step]: step `deploy` needs `bulid`, which does not exist
         --> wrong.yaml:8:13
          |
        8 |     needs: [bulid]
          |             ^^^^^
          |
          = help: did you mean `build`?

        error[missing-connection]: `http/request` needs a connection for `endpoint`
         --> wrong.yaml:9:16
          |
        9 |     uses: http/request
          |                ^^^^^^^
          |
          = note: `endpoint`: The endpoint.
          = help: add `connection: <name>`
    "#]],
    );
    let json = site.run(&["--json", "validate", "wrong.yaml"]);
    assert_eq!(json.code, Some(1), "{json:?}");
    assert!(json.json()["wrong.yaml"].as_array().is_some_and(|it| it.len() >= 3), "{json:?}");
    // `run` says the same and starts nothing.
    let run = site.run(&["run", "wrong.yaml"]);
    assert_eq!((run.code, run.stderr.lines().last()), (Some(1), ran.stderr.lines().last()), "{run:?}");
    assert_eq!(site.json(&["release", "list"]), serde_json::json!([]));
}

#[test]
fn what_cannot_be_done_is_said_with_a_hint() {
    let (site, _counterparts) = payments(Deployment::Succeeds, 0, 0);
    let said = |arguments: &[&str], code: i32, expected: Expect| {
        let ran = site.run(arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:?}");
        check(&ran.stderr, &expected);
    };
    said(
        &["run", "payments.yaml"],
        2,
        expect![[r#"
        error: `version` is missing; it takes a text that matches `^\d+\.\d+\.\d+$`
        hint: `--param version=…` gives it
    "#]],
    );
    said(
        &["run", "payments.yaml", "--param", "version=one"],
        2,
        expect![[r#"
        error: `version`: "one" does not match `^\d+\.\d+\.\d+$`; it takes a text that matches `^\d+\.\d+\.\d+$`
    "#]],
    );
    said(
        &["run", "payments.yaml", "--param", "version"],
        2,
        expect![[r#"
        error: `--param version` is no parameter: write `--param name=value`
    "#]],
    );
    said(
        &["run", "nothing.yaml"],
        2,
        expect![[r#"
        error: nothing.yaml cannot be read: No such file or directory (os error 2)
    "#]],
    );
    said(
        &[&RUN[..], &["--detach"]].concat(),
        2,
        expect![[r#"
        error: nothing runs in STATE, so nobody would go on with a detached release: start `windlass serve` first, or leave out --detach
    "#]],
    );
    said(
        &["release", "show", "payments-7"],
        2,
        expect![[r#"
            error: there is no release `payments-7`
            hint: `windlass release list` shows those that there are
        "#]],
    );
    said(
        &["release", "show", "no release"],
        2,
        expect![[r#"
            error: invalid value 'no release' for '<RELEASE>': `no release` is no release id: a release id is a workflow name, `-` and a number, for example `payments-17`

            For more information, try '--help'.
        "#]],
    );
    said(
        &["release", "approve", "payments-7"],
        2,
        expect![[r#"
            error: there is no release `payments-7`
            hint: `windlass release list` shows those that there are
        "#]],
    );
    said(
        &["plugin", "inspect", "nothing"],
        2,
        expect![[r#"
        error: `nothing` is neither a file nor an installed plugin; `windlass plugin list` lists those
    "#]],
    );
    said(
        &["connection", "add", "ci", "--url", "http://127.0.0.1:1", "--auth", "bearer", "--token", "written-out"],
        2,
        expect![[r#"
        error: --token: a secret is never written out: refer to it as `env:NAME` or `file:/absolute/path` (11 characters were given)
    "#]],
    );
}

#[test]
fn only_those_who_may_approve() {
    let (site, _counterparts) = payments(Deployment::Succeeds, 0, 0);
    let _serve = site.serve();
    site.good(&[&RUN[..], &["--detach"]].concat());
    site.until(RELEASE, "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    let refused = |arguments: &[&str], expected: Expect| {
        let ran = site.run(arguments);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        check(&ran.stderr, &expected);
    };
    refused(
        &["release", "approve", RELEASE, "--as", "mallory"],
        expect![[r#"
        error: mallory may not approve step `deploy`: group:release-managers may
    "#]],
    );
    refused(
        &["release", "approve", RELEASE, "--as", "ana", "--step", "build"],
        expect![[r#"
        error: step `build` does not wait for an approval: it is succeeded
    "#]],
    );
    refused(
        &["release", "reject", RELEASE, "--as", "ana"],
        expect![[r#"
        error: a reason is missing: say why, it is kept with the release
    "#]],
    );
    refused(
        &["release", "cancel", RELEASE, "--reason", ""],
        expect![[r#"
        error: a reason is missing: say why, it is kept with the release
    "#]],
    );
    refused(
        &["release", "retry", RELEASE, "--reason", "again"],
        expect![[r#"
        error: no step of payments-1 waits for a decision: it is running (deploy: approval by 1 of group:release-managers: Deploy 1.2.3?)
    "#]],
    );
    assert!(site.show(RELEASE).is_some_and(|it| !it.ended), "nothing of that changed the release");
    site.good(&["release", "reject", RELEASE, "--as", "ana", "--comment", "not on a Friday"]);
    let view = site.ended(RELEASE);
    assert!(!view.succeeded, "{view:#?}");
}

#[test]
fn a_second_process_is_served_by_the_first() {
    let (site, _counterparts) = payments(Deployment::Succeeds, 300, 0);
    let mut first = site.serve();
    let second = site.run(&["serve"]);
    assert_eq!(second.code, Some(2), "{second:?}");
    assert!(second.stderr.contains("another process already runs in"), "{second:?}");
    // The release of a second `run` runs in the first process: killing the second changes nothing.
    let mut run = crate::support::Process::start(&mut site.command(&RUN));
    site.until(RELEASE, "the first process has it", |_| true);
    run.kill_9();
    let listed = site.good(&["release", "list"]);
    assert!(listed.stdout.contains(RELEASE) && !listed.stderr.contains("nothing is running"), "{listed:?}");
    site.until(RELEASE, "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    first.stop();
    let listed = site.good(&["release", "list"]);
    assert!(listed.stdout.contains(RELEASE) && listed.stderr.contains("nothing is running"), "{listed:?}");
}

#[test]
fn programs_get_json_from_every_command() {
    let (site, counterparts) = payments(Deployment::Succeeds, 0, 0);
    let _serve = site.serve();
    let started = site.json(&[&RUN[..], &["--detach"]].concat());
    assert_eq!(started["release"], RELEASE);
    site.until(RELEASE, "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    assert_eq!(site.json(&["release", "approve", RELEASE, "--as", "ana"])["release"], RELEASE);
    site.ended(RELEASE);
    for arguments in [
        &["release", "list"][..],
        &["release", "list", "--open"],
        &["release", "show", RELEASE],
        &["release", "show", RELEASE, "--watch"],
        &["release", "logs", RELEASE],
        &["release", "logs", RELEASE, "--requests", "--step", "build"],
        &["plugin", "list"],
        &["plugin", "inspect", "jenkins"],
        &["connection", "list"],
        &["connection", "test", "ci"],
        &["connection", "add", "spare", "--url", &counterparts.echo.url],
        &["connection", "remove", "spare"],
        &["tool", "list"],
        &["group", "list"],
        &["store", "check"],
        &["store", "archive"],
        &["store", "expire", "--older-than", "400d", "--dry-run"],
        &["store", "expire", "--older-than", "400d"],
        &["validate", "payments.yaml"],
        &["validate", "--offline", "payments.yaml"],
    ] {
        let ran = site.good(&[&["--json"], arguments].concat());
        assert_eq!(ran.stderr, "", "{arguments:?}");
        assert!(ran.json().is_array() || ran.json().is_object(), "{arguments:?}: {ran:?}");
    }
    let refused = site.run(&["--json", "release", "show", "payments-7"]);
    assert_eq!((refused.code, refused.stderr.as_str()), (Some(2), ""), "{refused:?}");
    assert!(refused.json()["error"].is_string(), "{refused:?}");
}

#[test]
fn completions_and_pictures_are_printed() {
    let site = Site::empty();
    site.write("payments.yaml", crate::support::release::PAYMENTS);
    for (shell, mark) in [("bash", "_windlass()"), ("zsh", "#compdef windlass"), ("fish", "complete -c windlass")] {
        assert!(site.good(&["completions", shell]).stdout.contains(mark), "{shell}");
    }
    assert!(site.good(&["graph", "payments.yaml"]).stdout.contains("flowchart"));
    assert!(site.good(&["graph", "--format", "svg", "payments.yaml"]).stdout.starts_with("<svg"));
}

#[test]
fn a_parameter_that_makes_a_wrong_input_is_refused_before_anything_begins() {
    let site = Site::new();
    site.good(&["connection", "add", "app", "--url", "https://app.example.com"]);
    let text = "windlass: v1\nworkflow: watch\nparameters: { every: { type: string } }\nsteps:\n  fetch: { uses: http/get, connection: app, with: { path: / } }\n  watch: { uses: http/health-check, connection: app, needs: [fetch], with: { path: /, interval: '${{ parameters.every }}' } }\n";
    site.write("watch.yaml", text);
    let when = ["schedule", "set", "nightly", "--workflow", "watch.yaml", "--cron", "0 2 * * *", "--zone", "UTC"];
    for command in [&["run", "watch.yaml"][..], &["run", "watch.yaml", "--dry-run"], &when] {
        let ran = site.run(&[command, &["--param", "every=often"]].concat());
        assert_eq!(ran.code, Some(2), "{ran:?}");
        let expected = "step `watch`: the input of `http/health-check` at `/interval`: \"often\" does not match";
        assert!(ran.stderr.contains(expected), "{ran:?}");
    }
    assert!(site.show("watch-1").is_none(), "nothing was started");
    site.good(&[&when[..], &["--param", "every=30s"]].concat());
}

#[test]
fn a_connection_is_tried_below_its_address_and_nowhere_else() {
    let site = Site::empty();
    site.good(&["connection", "add", "app", "--url", "https://app.example.com"]);
    let ran = site.run(&["connection", "test", "app", "--path", ".evil.example/x"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("`.evil.example/x` is no path below the connection's address"), "{ran:?}");
}

#[test]
fn people_come_and_go_and_those_who_stay_are_not_forgotten() {
    let site = Site::empty();
    let says = |arguments: &[&str]| site.good(&[&["group"], arguments].concat()).stdout;
    assert_eq!(says(&["add", "managers", "ana", "ben"]), "managers: ana, ben\n");
    assert_eq!(says(&["add", "managers", "cleo", "ana"]), "managers: ana, ben, cleo\n");
    assert_eq!(says(&["remove", "managers", "ben"]), "managers: ana, cleo\n");
    for (arguments, says) in [
        (&["remove", "managers", "ben"][..], "ben does not belong to `managers`: ana, cleo do"),
        (&["remove", "mangers", "ana"], "there is no group `mangers`"),
        (&["remove", "managers", "ana", "cleo"], "then nobody would belong to `managers`"),
        (&["set", "managers", " "], "a group and its members have names"),
        (&["set", "managers"], "<PERSON>"),
    ] {
        let refused = site.run(&[&["group"], arguments].concat());
        assert!(refused.code == Some(2) && refused.stderr.contains(says), "{arguments:?}: {refused:?}");
    }
    assert_eq!(says(&["list"]), "managers: ana, cleo\n");
    assert_eq!(says(&["set", "managers", "zoe"]), "managers: zoe\n");
}

#[test]
fn a_group_that_has_nobody_in_it_is_told_before_anybody_waits() {
    let site = Site::new();
    let gate = "gates: [{ approval: { from: group:relaese-managers } }]";
    let step = |gate: &str| format!("windlass: v1\nworkflow: one\nsteps:\n  work:\n    uses: noop/noop\n    {gate}\n");
    site.write("one.yaml", &step(gate));
    let says = "nobody can approve step `work` yet: the group `relaese-managers` has no members (`windlass group add relaese-managers PERSON …`)";
    let validated = site.good(&["validate", "one.yaml"]);
    assert!(validated.stdout.contains(says), "{validated:?}");
    let _serve = site.serve();
    let started = site.good(&["run", "one.yaml", "--detach"]);
    assert!(started.stderr.contains(says), "{started:?}");
    site.good(&["group", "add", "relaese-managers", "ana"]);
    let validated = site.good(&["validate", "one.yaml"]);
    assert!(!validated.stdout.contains("nobody"), "{validated:?}");
    // One of several who can is enough.
    site.write("one.yaml", &step("gates: [{ approval: { from: [group:nobody, user:ana] } }]"));
    let validated = site.good(&["validate", "one.yaml"]);
    assert!(!validated.stdout.contains("nobody can"), "{validated:?}");
}

#[test]
fn a_secret_that_is_written_out_is_refused_and_not_repeated() {
    let site = Site::empty();
    let url = ["connection", "add", "ci", "--url", "https://ci.example.com"];
    for given in [
        &["--auth", "basic", "--username", "bot", "--password", "hunter2"][..],
        &["--auth", "bearer", "--token", "hunter2"],
        &["--auth", "header", "--header", "x-key", "--value", "hunter2"],
        &["--auth", "kubeconfig", "--kubeconfig", "hunter2"],
    ] {
        let refused = site.run(&[&url[..], given].concat());
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains("a secret is never written out"), "{refused:?}");
        assert!(!format!("{refused:?}").contains("hunter2"), "{refused:?}");
    }
    let refused = site.run(&["alert", "source", "add", "prom", "--token", "hunter2"]);
    assert!(refused.code == Some(2) && !format!("{refused:?}").contains("hunter2"), "{refused:?}");
    // One that would not be used is no better.
    let refused = site.run(&[&url[..], &["--token", "env:CI_TOKEN"]].concat());
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("`--token` is for `--auth bearer`, and this is `--auth none`"), "{refused:?}");
}

#[test]
fn what_may_do_more_is_otherwise_as_it_was() {
    let site = Site::empty();
    let basic = ["--auth", "basic", "--username", "bot", "--password", "env:CI_TOKEN"];
    let url = ["connection", "add", "ci", "--url", "https://ci.example.com", "--allow", "GET /job/**"];
    site.good(&[&url[..], &basic].concat());
    let same = site.good(&[&url[..], &basic].concat());
    assert!(!same.stderr.contains("it replaces"), "{same:?}");
    let replaced = site.good(&[&url[..], &basic, &["--private-network"]].concat());
    let says = "it replaces what was declared before; `windlass connection change` gives more rights and keeps the rest. It was: ci  https://ci.example.com";
    assert!(replaced.stderr.contains(says), "{replaced:?}");
    site.good(&[&url[..], &basic].concat());
    site.good(&["connection", "change", "ci", "--allow", "POST /job/*/stop", "--allow", "GET /job/**"]);
    site.good(&["connection", "change", "ci", "--private-network"]);
    let other = site.run(&["connection", "change", "ci", "--auth", "bearer", "--token", "env:CI_TOKEN"]);
    assert_eq!(other.code, Some(2), "{other:?}");
    assert!(other.stderr.contains("for another address or credential declare it again"), "{other:?}");
    let odd = site.good(&["connection", "add", "other", "--url", "https://ci.example.com", "--allow", "GTE /job/**"]);
    assert!(odd.stderr.contains("`GTE` is an unusual method; did you mean `GET`?"), "{odd:?}");
    let local = ["connection", "add", "other", "--url", "http://127.0.0.1:8099"];
    for (more, is_told) in [(&[][..], true), (&["--private-network"], false)] {
        let added = site.good(&[&local[..], more].concat());
        let told = added.stderr.contains("requests to it are denied: its address is on this machine");
        assert_eq!(told, is_told, "{added:?}");
    }
    site.good(&["connection", "remove", "other"]);
    let ci = &site.json(&["connection", "list"])[0];
    assert_eq!(ci["authentication"]["username"], "bot", "{ci}");
    assert_eq!(ci["private_network"], true, "{ci}");
    let rules = serde_json::json!([
        { "methods": ["GET"], "path": "/job/**" },
        { "methods": ["POST"], "path": "/job/*/stop" },
    ]);
    assert_eq!(ci["allow"], rules, "{ci}");
    let tool = std::env::current_exe().expect("a program");
    site.good(&["tool", "add", "helm", "--path", tool.to_str().expect("text"), "--subcommand", "status"]);
    site.good(&["tool", "change", "helm", "--subcommand", "upgrade", "--dry-run", "upgrade --dry-run=server"]);
    let helm = &site.json(&["tool", "list"])[0];
    assert_eq!(helm["subcommands"], serde_json::json!(["status", "upgrade"]), "{helm}");
    let odd = site.run(&["tool", "change", "helm", "--connection", "cii", "--connection", "ci"]);
    assert_eq!(odd.code, Some(0), "{odd:?}");
    assert!(odd.stderr.contains("it is declared; there is no connection `cii` yet: did you mean `ci`?"), "{odd:?}");
    assert!(!odd.stderr.contains("`ci` yet"), "{odd:?}");
    let program = tool.to_str().expect("text");
    let odd = site.run(&["tool", "add", "other", "--path", program, "--subcommand", "get", "--plugin", "htp"]);
    assert_eq!(odd.code, Some(0), "{odd:?}");
    assert!(odd.stderr.contains("it is declared; there is no plugin `htp` yet: there is none"), "{odd:?}");
    assert!(odd.stdout.contains("get; credentials of: none\n  only for htp\n"), "{odd:?}");
    site.good(&["tool", "remove", "other"]);
    for (arguments, says) in [
        (&["connection", "change", "cl", "--private-network"][..], "there is no connection `cl`; there is ci"),
        (&["connection", "change", "ci"], "say what it is to do"),
        (&["connection", "change", "ci", "--url", "https://other"], "`windlass connection add ci --url …`"),
        (&["connection", "change", "ci", "--plugin", "jenkins"], "every plugin may use `ci` already"),
        (&["connection", "change", "ci", "--allow", "GET /a?b=c"], "allows nothing: the path `/a?b=c` has a query"),
        (&["connection", "change", "ci", "--allow", "TRACE /a"], "allows nothing: `TRACE` requests are never sent"),
        (&["tool", "change", "kubectl", "--subcommand", "get"], "there is no tool `kubectl`; there is helm"),
        (&["tool", "change", "helm", "--dry-run", "delete"], "begins with none of the subcommands"),
    ] {
        let refused = site.run(arguments);
        assert!(refused.code == Some(2) && refused.stderr.contains(says), "{says}: {refused:?}");
    }
}

#[test]
fn why_a_release_failed_is_told_though_no_step_did() {
    let site = Site::new();
    site.write(
        "one.yaml",
        "windlass: v1\nworkflow: one\nparameters: { go: { type: boolean, default: false } }\nsteps:\n  work: { uses: http/get, connection: docs, when: parameters.go, retry: { attempts: 1 }, on_failure: fail, with: { path: / } }\noutputs:\n  status: { type: integer, value: '${{ steps.work.output.status }}' }\n",
    );
    site.good(&["connection", "add", "docs", "--url", "http://127.0.0.1:9", "--private-network"]);
    let validated = site.good(&["validate", "one.yaml"]);
    assert!(validated.stderr.contains("`work` may have been skipped, and then this has no value"), "{validated:?}");
    let ran = site.run(&["run", "one.yaml"]);
    let says = "✘ output `status` has no value";
    assert!(ran.code == Some(1) && ran.stdout.contains(says), "{ran:?}");
    assert!(site.good(&["release", "show", "one-1"]).stdout.contains(says));
    // A step's own failure is told with the step, and once.
    let ran = site.run(&["run", "one.yaml", "-p", "go=true"]);
    let tree = ran.stdout.split("one-2  failed ·").nth(1).expect("the tree");
    assert_eq!((ran.code, tree.matches("not-connected").count()), (Some(1), 1), "{ran:?}");
}

#[test]
fn who_is_in_a_folder_of_an_installation_is_told_where_that_is() {
    let site = Site::empty();
    let folder = site.folder().join("files");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::create_dir_all(site.folder().join(".windlass")).expect("a folder");
    let list = |folder: &std::path::Path| {
        let mut list = std::process::Command::new(crate::support::WINDLASS);
        let ran = list.args(["release", "list"]).env_remove("WINDLASS_STATE").current_dir(folder).output();
        String::from_utf8_lossy(&ran.expect("it runs").stderr).into_owned()
    };
    let other = site.folder().join(".windlass");
    let told = list(&folder);
    let says = format!("is new: nothing is installed there; there is another one, {}: --state", other.display());
    assert!(told.contains(&says), "{told}");
    // Once it is there nobody has to be told again.
    assert!(!list(&folder).contains("is new"));
}

#[test]
fn where_one_of_two_has_to_be_given_both_are_named() {
    let site = Site::empty();
    for (arguments, either) in [
        (&["release", "settle", "x-1", "--step", "a", "--reason", "r"][..], "<--done|--in-place>"),
        (&["release", "rollback", "x-1"], "<--preview|--reason <REASON>>"),
        (&["release", "rollback", "--preview"], "<RELEASE|--to <RELEASE>>"),
        (&["alert", "source", "add", "x"], "<--token <REFERENCE>|--hmac <REFERENCE>>"),
        (&["schedule", "set", "x", "--workflow", "w"], "<--cron <EXPRESSION>|--at <TIME>>"),
    ] {
        let ran = site.run(arguments);
        assert!(ran.code == Some(2) && ran.stderr.contains(either), "{arguments:?}: {ran:?}");
    }
}
