//! Reads certificates and keys from files into rustls configurations for clients and nodes.
//!
//! Invariants: only TLS 1.2 and 1.3, with ring's ciphers. The error names a file that cannot be read, but nothing of
//! its contents. What is read replaces the former configuration as a whole or not at all.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use rustls::{
    CertificateError, ClientConfig, RootCertStore, ServerConfig,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::WebPkiClientVerifier,
};
use time::OffsetDateTime;

use crate::config::TlsConfig;

/// The TLS configuration towards one node.
#[derive(Debug, Clone)]
pub struct NodeTls {
    pub config: Arc<ClientConfig>,
    /// The name that the node's certificate must have.
    pub name: ServerName<'static>,
}

/// The TLS configuration towards clients; `None` is plain HTTP.
///
/// # Errors
/// When a file cannot be read, or key and certificate do not belong together.
pub fn server(config: &TlsConfig) -> anyhow::Result<Option<Arc<ServerConfig>>> {
    let Some((certificate, key)) = &config.server else { return Ok(None) };
    let provider = provider();
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.context("--tls-certificate")?;
    let builder = match &config.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(authorities("--tls-client-ca", path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            builder.with_client_cert_verifier(verifier.context("--tls-client-ca")?)
        }
    };
    let chain = certificates("--tls-certificate", certificate)?;
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| anyhow::anyhow!("--tls-key {}: {error}", key.display()))?;
    let mut server = builder.with_single_cert(chain, private).with_context(|| {
        format!("--tls-key {} with --tls-certificate {}", key.display(), certificate.display())
    })?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(Arc::new(server)))
}

/// The TLS configuration towards https nodes.
///
/// # Errors
/// When the file of authorities cannot be read.
pub fn client(config: &TlsConfig) -> anyhow::Result<Arc<ClientConfig>> {
    let roots = match &config.node_ca {
        Some(path) => authorities("--node-ca", path)?,
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
    };
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let mut client = builder.context("--node-ca")?.with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(client))
}

/// What is wrong with certificates that can be read all the same: one sentence for each that has run out, or does not
/// hold yet, at `now`.
///
/// # Errors
/// When a file cannot be read.
pub fn expired(config: &TlsConfig, now: OffsetDateTime) -> anyhow::Result<Vec<String>> {
    let server = config.server.as_ref().map(|(certificate, _)| ("--tls-certificate", certificate));
    let authorities = [("--tls-client-ca", &config.client_ca), ("--node-ca", &config.node_ca)];
    let authorities = authorities.into_iter().filter_map(|(option, path)| Some((option, path.as_ref()?)));
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.unix_timestamp().unsigned_abs()));
    // Nobody signed by these authorities is asked for: a verifier says first whether a certificate holds at all.
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build()?;
    let nobody = ServerName::try_from("nobody.invalid")?;
    let mut said = Vec::new();
    for (option, path) in server.into_iter().chain(authorities) {
        for certificate in certificates(option, path)? {
            let verified = verifier.verify_server_cert(&certificate, &[], &nobody, &[], now);
            let Err(rustls::Error::InvalidCertificate(error)) = verified else { continue };
            use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
            let fault = if matches!(error, Expired | ExpiredContext { .. }) {
                "has expired"
            } else if matches!(error, NotValidYet | NotValidYetContext { .. }) {
                "does not hold yet"
            } else {
                continue;
            };
            said.push(format!("{option} {}: a certificate in it {fault}", path.display()));
        }
    }
    Ok(said)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn authorities(option: &str, path: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(option, path)? {
        roots.add(certificate).with_context(|| format!("{option} {}", path.display()))?;
    }
    Ok(roots)
}

fn certificates(option: &str, path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => {
            bail!("{option} {}: no certificate in it", path.display())
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => bail!("{option} {}: {error}", path.display()),
    }
}
