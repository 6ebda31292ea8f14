//! Certificates for a development cluster: an authority of its own, and a certificate of the gateway.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// The files that were made.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The authority, for clients.
    pub authority: PathBuf,
    /// The gateway's certificate and key.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Makes an authority and a certificate for this machine's loopback names, as PEM files in `folder`.
///
/// # Errors
/// When a file cannot be written.
pub fn make(folder: &Path) -> anyhow::Result<Certificates> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key)?.pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate()?;
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let certificate = CertificateParams::new(names.to_vec())?.signed_by(&key, &issuer)?;
    fs::create_dir_all(folder)?;
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).map(|()| path)
    };
    Ok(Certificates {
        authority: file("authority.pem", &authority)?,
        certificate: file("certificate.pem", &certificate.pem())?,
        key: file("key.pem", &key.serialize_pem())?,
    })
}
