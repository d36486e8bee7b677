//! Connections to servers: a name is resolved once, its addresses are judged, and one of exactly those
//! that passed is connected to.
//!
//! **Invariant:** a pooled connection was judged by the same rule as the request that reuses it: there
//! is one client for connections that grant private networks and one for those that do not.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use wasmtime_wasi_http::{Error, WasiBody};

use super::address::{Reach, reach};
use super::credential::Tokens;

const RESOLVE_TIME_MAX: Duration = Duration::from_secs(5);
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);
const IDLE_PER_HOST_MAX: usize = 32;

pub(crate) type HttpClient = Client<HttpsConnector<JudgingConnector>, WasiBody>;

/// The clients of a sandbox, made when the first request is sent, and the tokens they fetched.
#[derive(Default)]
pub(crate) struct HttpClients {
    public: OnceLock<HttpClient>,
    private: OnceLock<HttpClient>,
    pub(crate) tokens: Tokens,
}

impl HttpClients {
    /// The client for connections that do, or do not, grant private networks.
    pub(crate) fn client(&self, private_network: bool) -> &HttpClient {
        let client = if private_network { &self.private } else { &self.public };
        client.get_or_init(|| {
            let connector = HttpsConnectorBuilder::new()
                .with_tls_config(tls_config())
                .https_or_http()
                .enable_http1()
                .wrap_connector(JudgingConnector { private_network });
            Client::builder(TokioExecutor::new())
                .pool_idle_timeout(IDLE_TIME_MAX)
                .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
                .pool_timer(TokioTimer::new())
                .build(connector)
        })
    }
}

/// TLS 1.2 and 1.3 with the certificates that this machine trusts.
fn tls_config() -> rustls::ClientConfig {
    use hyper_rustls::ConfigBuilderExt as _;
    let builder = || {
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring does TLS 1.2 and 1.3")
    };
    match builder().with_native_roots() {
        Ok(trusting) => trusting.with_no_client_auth(),
        Err(error) => {
            tracing::warn!(%error, "this machine trusts no certificate: https connections will fail");
            builder().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The name has no address that the connection may lead to.
    #[error("{host} is {address}, an address that is not granted")]
    Forbidden { host: String, address: IpAddr, reach: Reach },
    #[error("{0} has no address")]
    NoAddress(String),
    #[error("{host} could not be resolved: {error}")]
    Resolving { host: String, error: io::Error },
    #[error("{0} was not resolved in time")]
    ResolvingTooLong(String),
    #[error("{0} did not accept a connection in time")]
    ConnectingTooLong(String),
    #[error("{host} refused the connection: {error}")]
    Refused { host: String, error: io::Error },
}

impl ConnectError {
    /// What the guest is told.
    pub(crate) fn for_guest(&self) -> Error {
        match self {
            Self::Forbidden { .. } => Error::HttpRequestDenied,
            Self::NoAddress(_) | Self::Resolving { .. } => {
                Error::DnsError { rcode: Some("address not available".to_owned()), info_code: None }
            }
            Self::ResolvingTooLong(_) => Error::DnsTimeout,
            Self::ConnectingTooLong(_) => Error::ConnectionTimeout,
            Self::Refused { .. } => Error::ConnectionRefused,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct JudgingConnector {
    private_network: bool,
}

impl tower_service::Service<Uri> for JudgingConnector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(connect(uri, self.private_network, resolve))
    }
}

/// `resolve` is asked once: what it says the next time cannot undo the judgement.
async fn connect<F: Future<Output = Result<Vec<SocketAddr>, ConnectError>>>(
    uri: Uri,
    private_network: bool,
    resolve: impl FnOnce(String, u16) -> F,
) -> Result<TokioIo<TcpStream>, ConnectError> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let addresses = resolve(host.clone(), port).await?;
    let granted = judged(&host, &addresses, private_network)?;
    let connecting = async {
        let mut last = None;
        for address in granted {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // Only a hint to the kernel; requests work without.
                    let _ = stream.set_nodelay(true);
                    return Ok(TokioIo::new(stream));
                }
                Err(error) => last = Some(error),
            }
        }
        Err(match last {
            Some(error) => ConnectError::Refused { host: host.clone(), error },
            None => ConnectError::NoAddress(host.clone()),
        })
    };
    match tokio::time::timeout(CONNECT_TIME_MAX, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(ConnectError::ConnectingTooLong(host)),
    }
}

async fn resolve(host: String, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    match tokio::time::timeout(RESOLVE_TIME_MAX, tokio::net::lookup_host((host.clone(), port))).await {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(error)) => Err(ConnectError::Resolving { host, error }),
        Err(_) => Err(ConnectError::ResolvingTooLong(host)),
    }
}

/// The addresses that may be connected to; an error where there are some and none of them may.
fn judged(host: &str, addresses: &[SocketAddr], private_network: bool) -> Result<Vec<SocketAddr>, ConnectError> {
    let may = |address: &SocketAddr| match reach(address.ip()) {
        Reach::Public => true,
        Reach::Private => private_network,
        Reach::Never => false,
    };
    let granted: Vec<SocketAddr> = addresses.iter().copied().filter(may).collect();
    match addresses.first() {
        Some(address) if granted.is_empty() => {
            Err(ConnectError::Forbidden { host: host.to_owned(), address: address.ip(), reach: reach(address.ip()) })
        }
        Some(_) => Ok(granted),
        None => Err(ConnectError::NoAddress(host.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|it| SocketAddr::new(it.parse().expect(it), 80)).collect()
    }

    #[test]
    fn only_granted_addresses_are_connected_to() {
        let mixed = addresses(&["10.0.0.1", "93.184.216.34", "169.254.169.254"]);
        assert_eq!(judged("x", &mixed, false).expect("one is public"), addresses(&["93.184.216.34"]));
        assert_eq!(judged("x", &mixed, true).expect("two may be used"), addresses(&["10.0.0.1", "93.184.216.34"]));
        assert!(matches!(
            judged("x", &addresses(&["127.0.0.1"]), false),
            Err(ConnectError::Forbidden { reach: Reach::Private, .. })
        ));
        assert!(matches!(
            judged("x", &addresses(&["169.254.169.254"]), true),
            Err(ConnectError::Forbidden { reach: Reach::Never, .. })
        ));
        assert!(matches!(judged("x", &[], true), Err(ConnectError::NoAddress(_))));
    }

    /// A name whose owner lets it lead elsewhere each time it is asked for.
    #[tokio::test]
    async fn a_name_that_changes_its_mind_does_not_lead_inside() {
        let inside = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let inside_address = inside.local_addr().expect("an address");
        let uri: Uri = format!("http://rebinding.example:{}/", inside_address.port()).parse().expect("an address");
        // Public when it is judged, private from then on: whoever asks twice is led inside.
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let resolver = |_: String, port: u16| {
            let first = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            // Nobody listens at the first; it stands for an address that may be connected to.
            let address = if first {
                SocketAddr::new([127, 0, 0, 2].into(), 1)
            } else {
                SocketAddr::new([127, 0, 0, 1].into(), port)
            };
            std::future::ready(Ok(vec![address]))
        };
        let refused = connect(uri.clone(), true, resolver).await.expect_err("nobody listens there");
        assert!(matches!(refused, ConnectError::Refused { .. }), "{refused}");
        assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1, "asked once for one connection");
        let denied = connect(uri, false, resolver).await.expect_err("it leads inside now");
        assert!(matches!(denied, ConnectError::Forbidden { reach: Reach::Private, .. }), "{denied}");
        let nobody = std::future::poll_fn(|context| Poll::Ready(inside.poll_accept(context).is_pending())).await;
        assert!(nobody, "no connection was made inside");
    }
}
