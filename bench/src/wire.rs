//! One connection to a server: TCP, or TLS over it.
//!
//! Invariants: a connection is returned only after its handshake, so no figure includes one. All bytes that the session
//! has decrypted are returned immediately, so a readable socket is the only sign of more.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rustix::net::RecvFlags;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// The certificates that a TLS client trusts.
pub type Trust = Arc<ClientConfig>;

/// Trusts the certificate in a PEM file and no other. Fails when the file has none.
pub fn trust(certificate: &Path) -> anyhow::Result<Trust> {
    let read = || CertificateDer::from_pem_file(certificate);
    let certificate = read().with_context(|| format!("reading {}", certificate.display()))?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).context("the certificate cannot be trusted")?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// A connected socket and its TLS session, if it has one.
pub(crate) struct Wire {
    pub(crate) socket: TcpStream,
    session: Option<Box<ClientConnection>>,
}

impl Wire {
    /// Takes a connected, blocking socket and performs the TLS handshake if `trust` is given.
    pub(crate) fn new(socket: TcpStream, address: SocketAddr, trust: Option<&Trust>) -> anyhow::Result<Self> {
        let Some(trust) = trust else { return Ok(Self { socket, session: None }) };
        let name = ServerName::IpAddress(address.ip().into());
        let mut session = ClientConnection::new(Arc::clone(trust), name)?;
        let mut wire = &socket;
        while session.is_handshaking() {
            session.complete_io(&mut wire).context("bringing up TLS")?;
        }
        Ok(Self { socket, session: Some(Box::new(session)) })
    }

    /// Sends all of `bytes`, blocking as the socket does.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(session) = &mut self.session else { return self.socket.write_all(bytes) };
        session.writer().write_all(bytes)?;
        while session.wants_write() {
            session.write_tls(&mut self.socket)?;
        }
        Ok(())
    }

    /// Receives once and appends the decrypted bytes to `received`. Returns how many bytes the socket had; 0 is its
    /// end. Blocks unless `flags` forbid it.
    pub(crate) fn receive(
        &mut self,
        scratch: &mut [u8],
        received: &mut Vec<u8>,
        flags: RecvFlags,
    ) -> io::Result<usize> {
        let (_, count) = rustix::net::recv(&self.socket, &mut *scratch, flags)?;
        let mut bytes = &scratch[..count];
        let Some(session) = &mut self.session else {
            received.extend_from_slice(bytes);
            return Ok(count);
        };
        while !bytes.is_empty() {
            if session.read_tls(&mut bytes)? == 0 {
                break;
            }
            session.process_new_packets().map_err(io::Error::other)?;
            match session.reader().read_to_end(received) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }
}
