//! Opens connections: the policy before every one, TCP, and TLS where the URL asks for it.

use crate::model::attempt::Failure;
use crate::outbound::address::{Policy, literal};
use crate::outbound::connection::Connection;
use crate::outbound::resolve::{Resolver, Unresolved};
use crate::outbound::{CONNECT_TIMEOUT, LOOKUP_TIMEOUT, SetupError, innermost};
use rustix::io::Errno;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use rustls_platform_verifier::Verifier;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// What URLs have in common that can share a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    tls: bool,
    host: Host,
    port: u16,
}

impl Origin {
    /// Of a URL; the error says why there is none.
    pub(super) fn of(url: &Url) -> Result<Origin, String> {
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            other => return Err(format!("the scheme `{other}` is neither http nor https")),
        };
        let host = match url.host() {
            // What the URL calls a name is a literal to whoever can parse it as one.
            Some(Host::Domain(name)) => match name.trim_end_matches('.').parse() {
                Ok(IpAddr::V4(ip)) => Host::Ipv4(ip),
                Ok(IpAddr::V6(ip)) => Host::Ipv6(ip),
                Err(_) => Host::Domain(name.to_owned()),
            },
            Some(literal) => literal.to_owned(),
            None => return Err("the URL has no host".to_owned()),
        };
        Ok(Origin { tls, host, port: url.port_or_known_default().unwrap_or_default() })
    }
}

/// How connections are opened.
pub(super) struct Connect {
    policy: Policy,
    resolver: Resolver,
    tls: TlsConnector,
    timeout: Duration,
}

impl Connect {
    pub(super) fn new(policy: Policy) -> Result<Connect, SetupError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions =
            ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let mut config = match verifier(provider) {
            Some(verifier) => {
                versions.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
            }
            None => versions.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Connect {
            policy,
            resolver: Resolver::new(LOOKUP_TIMEOUT),
            tls: TlsConnector::from(Arc::new(config)),
            timeout: CONNECT_TIMEOUT,
        })
    }

    /// The same, asking another resolver.
    #[cfg(test)]
    pub(super) fn resolving(self, resolver: Resolver) -> Connect {
        Connect { resolver, ..self }
    }

    /// Whether the policy lets `origin` pass as it stands. A name is checked when it is resolved.
    pub(super) fn check(&self, origin: &Origin) -> Result<(), Failure> {
        let checked = literal(&origin.host).map_or(Ok(()), |ip| self.policy.check(ip, origin.port));
        checked.map_err(|forbidden| Failure::Forbidden(forbidden.to_string()))
    }

    /// A new connection, within the time for lookup, TCP and TLS together.
    pub(super) async fn connect(&self, origin: &Origin) -> Result<Connection, Failure> {
        let deadline = Instant::now() + self.timeout;
        let opened = tokio::time::timeout_at(deadline, self.open(origin, deadline)).await;
        opened.unwrap_or(Err(Failure::Timeout))
    }

    async fn open(&self, origin: &Origin, deadline: Instant) -> Result<Connection, Failure> {
        self.check(origin)?;
        let (addresses, name) = match (literal(&origin.host), &origin.host) {
            (Some(ip), _) => (vec![SocketAddr::new(ip, origin.port)], ServerName::from(ip)),
            (None, host) => {
                let name = host.to_string();
                let resolved = self.resolver.resolve(&name, origin.port, &self.policy).await;
                let addresses = resolved.map_err(|why| match why {
                    Unresolved::Forbidden(why) => Failure::Forbidden(why),
                    Unresolved::Nothing(why) => unresolved(why, TcpSocket::new_v4().err()),
                })?;
                let name = name.trim_end_matches('.').to_owned();
                (addresses, ServerName::try_from(name).map_err(|error| Failure::Connect(error.to_string()))?)
            }
        };
        let stream = tcp(&addresses, deadline).await?;
        match origin.tls {
            false => Connection::over(Box::new(stream)).await,
            true => {
                let stream = self.tls.connect(name, stream).await;
                let stream = stream.map_err(|error| Failure::Connect(untrusted(&error)))?;
                Connection::over(Box::new(stream)).await
            }
        }
    }
}

/// Why there is no TLS, and what to do about it where it is the authority.
fn untrusted(error: &io::Error) -> String {
    let why = innermost(error);
    let by_nobody = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
    let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    match error == Some(&by_nobody) {
        true => format!("{why}; to trust an authority of your own, name it in the file of `SSL_CERT_FILE`"),
        false => why,
    }
}

/// Tries one address after another; one that hangs leaves the others their share of the time.
async fn tcp(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, Failure> {
    let mut last = Failure::Timeout;
    for (at, address) in (0..).zip(addresses) {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / (addresses.len() as u32 - at);
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Not every kind of socket has the option; without it we are slower.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = unconnected(&error),
            Err(_) => last = Failure::Timeout,
        }
    }
    Err(last)
}

fn unconnected(error: &io::Error) -> Failure {
    let why = innermost(error);
    if is_exhausted(error) { Failure::Exhausted(why) } else { Failure::Connect(why) }
}

/// The system's resolver does not tell that it had no descriptor to ask with: `socket` says whether there is one.
fn unresolved(why: String, socket: Option<io::Error>) -> Failure {
    match socket.filter(is_exhausted) {
        Some(error) => unconnected(&error),
        None => Failure::Resolve(why),
    }
}

/// Whether this process, or the system, is out of descriptors.
fn is_exhausted(error: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error())).contains(&error.raw_os_error())
}

/// Trusts what this machine trusts; on a machine without root certificates nobody.
fn verifier(provider: Arc<CryptoProvider>) -> Option<Arc<Verifier>> {
    let verifier = Verifier::new(provider);
    verifier
        .map(Arc::new)
        .inspect_err(|error| {
            tracing::warn!(%error, "no root certificates on this machine, https endpoints will fail");
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_descriptor_left_does_not_blame_the_receiver() {
        let error = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        for errno in [Errno::MFILE, Errno::NFILE] {
            assert!(matches!(unconnected(&error(errno)), Failure::Exhausted(_)), "{errno}");
            assert!(matches!(unresolved("no".into(), Some(error(errno))), Failure::Exhausted(_)), "{errno}");
        }
        let refused = error(Errno::CONNREFUSED);
        assert!(matches!(unconnected(&refused), Failure::Connect(_)));
        assert_eq!(unresolved("no".into(), Some(refused)), Failure::Resolve("no".into()));
        assert_eq!(unresolved("no".into(), None), Failure::Resolve("no".into()));
    }
}
