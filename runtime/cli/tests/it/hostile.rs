//! A hostile component beside a good release, in one process: each misbehaviour ends its own release
//! with an error of its own, and the credential that it was lent is nowhere.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use serde_json::Value;
use windlass_server::view::StepView;

use crate::support::release::{Deployment, PAYMENTS, RELEASE, payments};
use crate::support::{Counterparts, PASSWORD, Site};

/// What is tried, what it is given, and the code of the error that ends it; none where the component
/// gives an output, which is then looked at.
const TRIED: [(&str, &str, Option<&str>); 14] = [
    ("spin", "{}", Some("cpu-limit")),
    ("spin-in-host-calls", "{}", Some("cpu-limit")),
    ("sleep", "{}", Some("wall-limit")),
    ("memory-bomb", "{}", Some("memory-limit")),
    ("large-output", "{}", Some("output-limit")),
    ("log-flood", "{}", Some("log-limit")),
    ("deep-recursion", "{}", Some("stack-overflow")),
    ("panic", "{}", Some("plugin-panicked")),
    ("exit", "{}", Some("plugin-exited")),
    ("ungranted-host", "{ url: '${{ parameters.elsewhere }}/open/stolen' }", Some("request-denied")),
    ("suspend-forever", "{}", Some("timed-out")),
    ("follow-redirect", "{ url: '${{ parameters.redirector }}' }", None),
    ("read-files", "{}", None),
    ("credential-fishing", "{ url: '${{ parameters.bait }}' }", None),
];

/// The workflow that tries one of them.
fn workflow(action: &str, with: &str) -> String {
    let connection = match action {
        "follow-redirect" => "    connection: redirector\n",
        "credential-fishing" => "    connection: app\n",
        _ => "",
    };
    let timeout = if action == "suspend-forever" { "2s" } else { "1m" };
    format!(
        "windlass: v1\nworkflow: {action}\nparameters:\n  elsewhere: {{ type: string }}\n  redirector: {{ type: string }}\n  bait: {{ type: string }}\nsteps:\n  act:\n    uses: hostile/{action}\n{connection}    with: {with}\n    retry: {{ attempts: 1 }}\n    timeout: {timeout}\n    on_failure: fail\n"
    )
}

/// A server that sends everybody to `location`; it ends with the test.
fn redirector(location: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|it| it == 1) {
                request.push(byte[0]);
            }
            // Whoever goes away does not need the answer.
            let _ = write!(
                stream,
                "HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
        }
    });
    address
}

fn act(site: &Site, action: &str) -> (String, StepView) {
    let view = site.ended(&format!("{action}-1"));
    let step = view.steps.into_iter().next().expect("one step");
    (view.state, step)
}

#[test]
fn a_hostile_component_is_contained_and_others_go_on() {
    let (site, counterparts) = payments(Deployment::Succeeds, 500, 0);
    let stolen = format!("{}/open/stolen", counterparts.echo.url);
    let redirector = format!("http://{}", redirector(stolen));
    let secret = format!("file:{}", counterparts.secret().display());
    site.good(&[
        "connection",
        "add",
        "redirector",
        "--url",
        &redirector,
        "--auth",
        "bearer",
        "--token",
        &secret,
        "--private-network",
    ]);
    let mut serve = site.serve();

    site.good(&["run", "payments.yaml", "--param", "version=1.2.3", "--detach"]);
    for (action, with, _) in TRIED {
        site.write("hostile.yaml", &workflow(action, with));
        let [elsewhere, redirector, bait] =
            [("elsewhere", &counterparts.echo.url), ("redirector", &redirector), ("bait", &counterparts.echo.url)]
                .map(|(name, value)| format!("{name}={value}"));
        site.good(&[
            "run",
            "hostile.yaml",
            "--param",
            &elsewhere,
            "--param",
            &redirector,
            "--param",
            &bait,
            "--detach",
        ]);
    }

    // The good release goes on while the others misbehave.
    site.until(RELEASE, "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    site.good(&["release", "approve", RELEASE, "--as", "ana"]);
    assert_eq!(site.ended(RELEASE).state, "succeeded");

    for (action, _, code) in TRIED {
        let (state, step) = act(&site, action);
        let found = step.error.as_ref().map(|it| it.code.as_str());
        assert_eq!(found, code, "{action} ended {state}: {step:#?}");
        assert_eq!(state, if code.is_some() { "failed" } else { "succeeded" }, "{action}");
    }

    // Denied hosts were not asked, whether directly or by way of a redirect.
    let asked: Vec<String> = counterparts.echo.requests().into_iter().map(|it| it.path).collect();
    assert!(!asked.iter().any(|it| it.contains("stolen")), "{asked:?}");
    let (_, denied) = act(&site, "ungranted-host");
    assert!(denied.status.contains("request-denied"), "{}", denied.status);
    let (_, followed) = act(&site, "follow-redirect");
    assert_eq!(followed.output[0]["status"], 302, "{}", followed.output);
    assert!(
        followed.output[1]["error"].as_str().is_some_and(|it| it.contains("HttpRequestDenied")),
        "{}",
        followed.output
    );
    let (_, read) = act(&site, "read-files");
    assert_eq!(read.output, serde_json::json!([]), "files, variables and arguments that the component saw");

    // The echo server did get the credential, and said so; the component saw that it was taken out.
    let (_, fished) = act(&site, "credential-fishing");
    let fishing = counterparts.echo.requests().into_iter().filter(|it| it.path == "/open/echo");
    assert!(
        fishing.filter(|it| it.header_names.iter().any(|it| it == "authorization")).count() > 0,
        "the credential was injected"
    );
    assert_eq!(fished.output["seen"][0]["status"], 200, "{}", fished.output);

    assert_eq!(act(&site, "suspend-forever").1.error.map(|it| it.class.name()), Some("timed_out"));
    nowhere_in_what_is_said(&site);
    serve.stop();
    nowhere_in_what_is_kept(&site);
    site.check();
    assert_eq!(counterparts_effects(&counterparts), Deployment::Succeeds.effects().len());
    assert!(!PAYMENTS.contains(PASSWORD), "the workflow is no place for it");
}

fn counterparts_effects(counterparts: &Counterparts) -> usize {
    counterparts.effects(Default::default()).len()
}

/// The credential as it is, and as it goes over the wire.
fn forms() -> [String; 3] {
    use base64::Engine as _;
    let encode = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    [PASSWORD.to_owned(), encode(format!("windlass:{PASSWORD}")), encode(PASSWORD.to_owned())]
}

fn nowhere_in_what_is_said(site: &Site) {
    let listed = site.json(&["release", "list"]);
    let releases: Vec<&str> = listed.as_array().into_iter().flatten().filter_map(|it| it["release"].as_str()).collect();
    assert_eq!(releases.len(), TRIED.len() + 1, "{releases:?}");
    let mut said = vec![
        site.good(&["release", "list"]).stdout,
        site.good(&["connection", "list"]).stdout,
        site.json(&["connection", "list"]).to_string(),
    ];
    for release in releases {
        for arguments in [vec!["release", "show", release], vec!["release", "logs", release, "--requests"]] {
            said.push(site.good(&arguments).stdout);
            said.push(site.json(&arguments).to_string());
        }
    }
    for text in &said {
        for form in forms() {
            assert!(!text.contains(&form), "the credential was said: {text}");
        }
    }
    // The search finds what is there: what the component said it saw.
    assert!(said.iter().any(|it| it.contains("/open/echo")), "the logs of the fishing are there");
}

fn nowhere_in_what_is_kept(site: &Site) {
    let mut files = Vec::new();
    walk(&site.state(), &mut files);
    let mut has_seen_the_journal = false;
    for (path, bytes) in &files {
        for form in forms() {
            assert!(!holds(bytes, form.as_bytes()), "the credential is in {path}");
        }
        // Part of the good release's approval, which is in the journal only.
        has_seen_the_journal |= holds(bytes, b"asserted by local user") && path.contains("/store/");
    }
    assert!(
        has_seen_the_journal,
        "the journal can be read by this search: {:?}",
        files.iter().map(|it| &it.0).collect::<Vec<_>>()
    );
}

fn walk(folder: &Path, files: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let kind = entry.file_type().expect("its type");
        if kind.is_dir() {
            walk(&entry.path(), files);
        } else if kind.is_file() {
            files.push((entry.path().display().to_string(), std::fs::read(entry.path()).expect("a file")));
        }
    }
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|it| it == wanted)
}

/// Values that programs read are JSON even where a component wrote them.
#[test]
fn a_hostile_error_is_shown_as_data() {
    let (site, counterparts) = payments(Deployment::Succeeds, 0, 0);
    let _serve = site.serve();
    site.write("hostile.yaml", &workflow("panic", "{}"));
    let given = ["elsewhere", "redirector", "bait"].map(|it| format!("{it}={}", counterparts.echo.url));
    let ran =
        site.run(&["--json", "run", "hostile.yaml", "--param", &given[0], "--param", &given[1], "--param", &given[2]]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let view: Value = ran.json();
    assert_eq!(view["steps"][0]["error"]["origin"], "host", "{view}");
    assert_eq!(view["steps"][0]["error"]["code"], "plugin-panicked", "{view}");
}
