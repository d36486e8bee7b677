//! Connections over TLS, with a certificate authority of the house.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::support::Site;

const TOKEN: &str = "t0ken-0ver-tls";

const WORKFLOW: &str = r"windlass: v1
workflow: secure
steps:
  ask:
    uses: http/get@^0.1
    connection: service
    with: { path: /status }
    retry: { attempts: 1 }
    on_failure: fail
outputs:
  status: ${{ steps.ask.output.status }}
";

/// A service at `localhost` that speaks TLS only and answers those who have the token.
struct Service {
    url: String,
    /// The certificate of the authority, as PEM.
    authority: String,
    /// What it was sent in `authorization`.
    seen: Arc<Mutex<Vec<String>>>,
}

fn service() -> Service {
    let authority_key = rcgen::KeyPair::generate().expect("a key");
    let mut parameters = rcgen::CertificateParams::default();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = parameters.self_signed(&authority_key).expect("an authority");
    let issuer = rcgen::Issuer::new(parameters, authority_key);
    let key = rcgen::KeyPair::generate().expect("a key");
    let parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = parameters.signed_by(&key, &issuer).expect("a certificate");

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .expect("a server's configuration");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heard = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let connection = rustls::ServerConnection::new(config.clone()).expect("a connection");
            let mut stream = rustls::StreamOwned::new(connection, stream);
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|it| it == 1) {
                request.push(byte[0]);
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            if request.is_empty() {
                // Whoever does not trust the certificate goes away.
                continue;
            }
            let header =
                request.lines().find_map(|it| it.split_once(": ").filter(|(name, _)| *name == "authorization"));
            let value = header.map(|(_, value)| value.to_owned()).unwrap_or_default();
            let status = if value == format!("Bearer {TOKEN}") { "200 OK" } else { "401 Unauthorized" };
            heard.lock().expect("not poisoned").push(value);
            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    Service { url: format!("https://localhost:{port}"), authority: authority.pem(), seen }
}

/// As an operator would have it: the authority among those that the machine trusts.
fn trusting<'a>(command: &'a mut Command, authority: &std::path::Path) -> &'a mut Command {
    command.env("SSL_CERT_FILE", authority).env_remove("SSL_CERT_DIR").env("SERVICE_TOKEN", TOKEN)
}

#[test]
fn a_connection_is_secure_and_a_stranger_s_certificate_is_refused() {
    let service = service();
    let site = Site::new();
    site.write("secure.yaml", WORKFLOW);
    site.write("authority.pem", &service.authority);
    let authority = site.state().with_file_name("authority.pem");
    let mut add = vec!["connection", "add", "service", "--url", service.url.as_str(), "--private-network"];
    add.extend(["--auth", "bearer", "--token", "env:SERVICE_TOKEN"]);
    let added = site.good(&add);
    let missing = "it is declared, and cannot be used yet: the secret `env:SERVICE_TOKEN` cannot be read: the variable is not set";
    assert!(added.stderr.contains(missing), "{added:?}");
    let again = site.command(&add).env("SERVICE_TOKEN", TOKEN).output().expect("it starts");
    assert!(again.status.success() && !String::from_utf8_lossy(&again.stderr).contains("cannot be used"), "{again:?}");

    let tested =
        site.command(&["connection", "test", "service"]).env("SERVICE_TOKEN", TOKEN).output().expect("it starts");
    assert_eq!(tested.status.code(), Some(1), "{tested:?}");
    assert!(String::from_utf8_lossy(&tested.stdout).contains("certificate"), "{tested:?}");
    let stranger = site.command(&["run", "secure.yaml"]).env("SERVICE_TOKEN", TOKEN).output().expect("windlass starts");
    assert_eq!(stranger.status.code(), Some(1), "{stranger:?}");
    let shown = site.good(&["release", "show", "secure-1"]);
    assert!(shown.stdout.contains("certificate"), "{shown:?}");
    assert_eq!(*service.seen.lock().expect("not poisoned"), Vec::<String>::new(), "nothing was sent to a stranger");

    let tested =
        trusting(&mut site.command(&["connection", "test", "service"]), &authority).output().expect("it starts");
    assert!(tested.status.success(), "{tested:?}");
    let run = trusting(&mut site.command(&["run", "secure.yaml"]), &authority).output().expect("it starts");
    assert!(run.status.success(), "{run:?}");
    let shown = site.json(&["release", "show", "secure-2"]);
    assert_eq!(shown["release"]["outputs"]["status"], 200, "{shown}");
    let seen = service.seen.lock().expect("not poisoned");
    assert_eq!(seen.last().map(String::as_str), Some("Bearer t0ken-0ver-tls"));
    assert!(!shown.to_string().contains(TOKEN));
}
