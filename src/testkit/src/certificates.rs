//! Certificates for TLS tests, new ones every time.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use regraft_throwaway::TlsFiles;

/// Two authorities and what the first one has signed; all PEM.
pub struct Certificates {
    /// The authority to trust.
    pub authority: String,
    /// For `localhost` and `127.0.0.1`, signed by the authority.
    pub server: TlsFiles,
    /// Signed by the authority too, but for `elsewhere.invalid` only.
    pub server_of_another_name: TlsFiles,
    /// An authority that has signed none of them.
    pub other_authority: String,
}

/// Makes a set.
pub fn certificates() -> Certificates {
    let (authority, issuer) = make_authority("regraft tests");
    let (other_authority, _) = make_authority("somebody else");
    Certificates {
        authority,
        server: sign(&issuer, &["localhost", "127.0.0.1"]),
        server_of_another_name: sign(&issuer, &["elsewhere.invalid"]),
        other_authority,
    }
}

fn make_authority(name: &str) -> (String, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), Issuer::new(params, key))
}

fn sign(issuer: &Issuer<'_, KeyPair>, names: &[&str]) -> TlsFiles {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let params = CertificateParams::new(names).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    TlsFiles { certificate: certificate.pem(), key: key.serialize_pem() }
}
