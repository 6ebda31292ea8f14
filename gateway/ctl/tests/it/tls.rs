//! Tests a gateway over TLS, with a certificate made for the test.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};

use crate::{gateway::Gateway, program::run};

#[test]
fn a_gateway_over_tls_is_asked_when_its_authority_is_trusted() {
    let (authority, config) = certificates();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let trusted = file("trusted.pem", &authority);
    let gateway = Gateway::start_tls(&[("GET /_miroir/shards", 200, r#"{"placements": []}"#)], config);
    let address = format!("https://localhost:{}/", gateway.address.port());
    let list = |more: &[&str]| run(&[&["--url", &address], more, &["--json", "shards", "list"]].concat());
    let ended = list(&["--ca", &trusted]);
    assert_eq!((ended.code, ended.out.as_str()), (0, "{\n  \"placements\": []\n}\n"), "{}", ended.error);
    assert_eq!(gateway.requests().len(), 1);
    let check = |more: &[&str], error: &str, code: i32| {
        let ended = list(more);
        assert!(ended.code == code && ended.error.contains(error), "{}", ended.error);
        assert_eq!(gateway.requests().len(), 1, "the key went to a stranger");
    };
    check(&[], "no answer from the gateway at https://localhost", 3);
    check(&["--ca", &file("stranger.pem", &certificates().0)], "no answer from the gateway at", 3);
    check(&["--ca", &file("empty.pem", "")], "has no certificate", 2);
    check(&["--ca", "nowhere.pem"], "option ca: nowhere.pem cannot be read", 2);
}

/// A certificate authority as PEM, and a server with a certificate for `localhost` that it has signed.
fn certificates() -> (String, ServerConfig) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let chain = vec![params.signed_by(&key, &issuer).unwrap().der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    (authority, builder.with_single_cert(chain, key).unwrap())
}
