//! What an endpoint must show of itself under `https`, with a certificate authority that the machine trusts.

use crate::line::{FLEXPRICE, canceled};
use billhook_tests::ADMIN_TOKEN;
use billhook_tests::process::Process;
use billhook_tests::sender::{SECRET, post_signed};
use billhook_tests::wire::{Step, Wire};
use gateway::api::delivery::{Attempt, DeliveryQuery, FailureKind, Outcome};
use gateway::client::Client;
use gateway::clock::Clock;
use gateway::model::secret::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

fn authority(name: &str) -> (String, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), Issuer::new(params, key))
}

/// A server's side of TLS with a certificate for `name`, changed by `change`; by nobody but itself without `issuer`.
fn shows(
    name: &str,
    issuer: Option<&Issuer<'static, KeyPair>>,
    change: impl FnOnce(&mut CertificateParams),
) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    change(&mut params);
    let certificate = match issuer {
        Some(issuer) => params.signed_by(&key, issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn only_a_certificate_for_the_host_that_is_valid_now_and_by_a_trusted_authority_gets_deliveries() {
    let (trusted, ca) = authority("ours");
    let (_, stranger) = authority("a stranger");
    let (_, impostor) = authority("ours");
    let here = "127.0.0.1";
    // What the attempt says of it; nothing: it is delivered.
    let cases = [
        ("right", shows(here, Some(&ca), |_| {}), ""),
        ("self-signed", shows(here, None, |_| {}), "UnknownIssuer; to trust an authority of your own"),
        ("by-a-stranger", shows(here, Some(&stranger), |_| {}), "UnknownIssuer"),
        ("by-an-impostor", shows(here, Some(&impostor), |_| {}), "BadSignature"),
        ("for-another-name", shows("app.example.com", Some(&ca), |_| {}), "not valid for"),
        ("expired", shows(here, Some(&ca), |params| params.not_after = date_time_ymd(2020, 1, 1)), "expired"),
        (
            "not-yet-valid",
            shows(here, Some(&ca), |params| params.not_before = date_time_ymd(3000, 1, 1)),
            "not valid yet",
        ),
        (
            "for-clients",
            shows(here, Some(&ca), |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }),
            "certificate",
        ),
    ];
    let (mut config, mut wires) = (FLEXPRICE.to_owned(), Vec::new());
    for (name, tls, _) in &cases {
        let wire =
            Wire::over_tls(tls.clone(), vec![Step::say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")])
                .await;
        let addr = wire.addr;
        config +=
            &format!("[[endpoint]]\nname = \"{name}\"\nurl = \"https://{addr}/\"\nsecret = \"{SECRET}\"\n");
        wires.push(wire);
    }
    let dir = tempfile::tempdir().unwrap();
    let roots = dir.path().join("roots.pem");
    std::fs::write(&roots, trusted).unwrap();
    let environment = [("SSL_CERT_FILE", roots.to_str().unwrap()), ("SSL_CERT_DIR", "")];
    let binary = Path::new(env!("CARGO_BIN_EXE_billhook"));
    let gateway = Process::start_with(binary, dir.path(), &config, &environment).await.unwrap();
    let now = Clock::system().now().secs();
    post_signed(&gateway.url("/in/flexprice"), "msg_1", now, &canceled("subs_1", "price")).await;

    let client = Client::new(format!("http://{}", gateway.admin), Secret::new(ADMIN_TOKEN)).unwrap();
    let first = attempts(&client, cases.len()).await;
    for ((name, _, why), wire) in cases.iter().zip(&wires) {
        match &first[*name].outcome {
            Outcome::Delivered { status: 200 } => assert_eq!(*why, "", "{name}"),
            Outcome::Failed { failure: FailureKind::Connect, why: said, .. } => {
                assert!(!why.is_empty() && said.contains(why), "{name}: {said}");
            }
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(wire.requests().len(), usize::from(why.is_empty()), "{name} saw a request");
    }
    assert_eq!(gateway.terminate().await, Some(0));
}

/// The first attempt of each of `n` deliveries, by the name of its endpoint, once it was made.
async fn attempts(client: &Client, n: usize) -> BTreeMap<String, Attempt> {
    loop {
        let mut first = BTreeMap::new();
        for delivery in client.deliveries(&DeliveryQuery::default()).await.unwrap().items {
            let story = client.delivery(delivery.id).await.unwrap();
            let attempt = story.attempts.into_iter().next();
            first.extend(attempt.map(|attempt| (delivery.endpoint.label(), attempt)));
        }
        if first.len() == n {
            return first;
        }
        tokio::task::yield_now().await;
    }
}
