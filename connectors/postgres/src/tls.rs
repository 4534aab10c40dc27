//! TLS as libpq's `sslmode` means it.
//!
//! <https://www.postgresql.org/docs/current/libpq-ssl.html>

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use regraft_core::{Code, Error, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::dsn::{self, Pairs};

/// How much TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Whom to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Roots {
    System,
    File(PathBuf),
}

/// The TLS part of a connection string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsSettings {
    pub(crate) mode: TlsMode,
    pub(crate) roots: Option<Roots>,
    /// Certificate chain and private key of the client.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
    /// Start TLS at once, without an SSLRequest (`sslnegotiation=direct`, PostgreSQL 17).
    pub(crate) direct: bool,
}

impl TlsSettings {
    /// Takes the keywords that `tokio_postgres` does not know, or not in full.
    pub(crate) fn take_from(pairs: &mut Pairs) -> Result<Self> {
        let roots = dsn::take(pairs, "sslrootcert").map(|text| match text.as_str() {
            "system" => Roots::System,
            path => Roots::File(PathBuf::from(path)),
        });
        let mode = match dsn::take(pairs, "sslmode").as_deref() {
            // As libpq: public authorities are trusted only for the name that was asked for.
            None if roots == Some(Roots::System) => TlsMode::VerifyFull,
            None | Some("prefer" | "allow") => TlsMode::Prefer,
            Some("disable") => TlsMode::Disable,
            Some("require") => TlsMode::Require,
            Some("verify-ca") => TlsMode::VerifyCa,
            Some("verify-full") => TlsMode::VerifyFull,
            Some(_) => {
                return Err(dsn::invalid(
                    "sslmode is none of disable, prefer, require, verify-ca, verify-full",
                ));
            }
        };
        if roots == Some(Roots::System) && mode != TlsMode::VerifyFull {
            return Err(dsn::invalid("sslrootcert=system needs sslmode=verify-full"));
        }
        if mode == TlsMode::VerifyCa && roots.is_none() {
            return Err(dsn::invalid("sslmode=verify-ca needs sslrootcert"));
        }
        let client = match (dsn::take(pairs, "sslcert"), dsn::take(pairs, "sslkey")) {
            (Some(cert), Some(key)) => Some((PathBuf::from(cert), PathBuf::from(key))),
            (None, None) => None,
            _ => return Err(dsn::invalid("sslcert and sslkey belong together")),
        };
        let direct = match dsn::take(pairs, "sslnegotiation").as_deref() {
            None | Some("postgres") => false,
            Some("direct") if !matches!(mode, TlsMode::Disable | TlsMode::Prefer) => true,
            Some("direct") => {
                return Err(dsn::invalid("sslnegotiation=direct needs sslmode=require or more"));
            }
            Some(_) => return Err(dsn::invalid("sslnegotiation is neither postgres nor direct")),
        };
        Ok(Self { mode, roots, client, direct })
    }
}

/// The configuration of a TLS client. Reads the files anew each time, so that renewed certificates
/// count from the next connection on.
///
/// # Errors
/// [`Code::FileUnreadable`] for a missing file, [`Code::TlsFailed`] for one that holds no
/// certificate or key.
pub(crate) fn client_config(settings: &TlsSettings) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(Verifier {
        trust: trust(settings)?,
        check_name: settings.mode == TlsMode::VerifyFull,
        provider: Arc::clone(&provider),
    });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| tls_error(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match &settings.client {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = certificates(cert)?;
            let pem = read(key)?;
            let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
                tls_error("it holds no unencrypted private key").at(key.display().to_string())
            })?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| tls_error(error.to_string()).at(cert.display().to_string()))?
        }
    };
    if settings.direct {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(config)
}

fn tls_error(what: impl Into<String>) -> Error {
    Error::new(Code::TlsFailed, what)
}

/// `None`: any certificate will do.
fn trust(settings: &TlsSettings) -> Result<Option<Trust>> {
    let file = match (&settings.roots, settings.mode) {
        (Some(Roots::File(path)), _) => path,
        (Some(Roots::System), _) | (None, TlsMode::VerifyFull) => return system_trust().map(Some),
        (None, _) => return Ok(None),
    };
    let certificates = certificates(file)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|error| {
            tls_error(format!("a certificate in it cannot be used: {error}"))
                .at(file.display().to_string())
        })?;
    }
    Ok(Some(Trust { roots: Arc::new(roots), pinned: certificates }))
}

fn system_trust() -> Result<Trust> {
    static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = SYSTEM.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    if roots.is_empty() {
        return Err(tls_error("this machine has no trusted certificates")
            .remedy("install ca-certificates, or name a file by sslrootcert"));
    }
    Ok(Trust { roots: Arc::clone(roots), pinned: Vec::new() })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::new(Code::FileUnreadable, "the file cannot be read")
            .at(path.display().to_string())
            .because(error)
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(tls_error("it holds no PEM certificate").at(path.display().to_string())),
    }
}

#[derive(Debug)]
struct Trust {
    roots: Arc<RootCertStore>,
    /// The certificates of `sslrootcert`. A self-signed server certificate is often its own root,
    /// which OpenSSL accepts and the path builder refuses when it is marked as an authority.
    pinned: Vec<CertificateDer<'static>>,
}

#[derive(Debug)]
struct Verifier {
    trust: Option<Trust>,
    check_name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(trust) = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let chain = verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &trust.roots,
            intermediates,
            now,
            algorithms,
        );
        match chain {
            // Dates are checked before this error, so that an expired pin is not trusted.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
                if trust.pinned.iter().any(|pinned| pinned == end_entity) => {}
            other => other?,
        }
        if self.check_name {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The `tls-server-end-point` data of a server certificate (RFC 5929, section 4.1): its hash by the
/// hash function of its signature. `None` when that function is not known here; channel binding is
/// then not used.
pub(crate) fn end_point_binding(certificate: &[u8]) -> Option<Vec<u8>> {
    use rustls::crypto::ring::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384};
    let (fields, _) = der_item(certificate, 0x30)?;
    let (_, after_body) = der_item(fields, 0x30)?;
    let (algorithm, _) = der_item(after_body, 0x30)?;
    let (oid, _) = der_item(algorithm, 0x06)?;
    let suite = match oid {
        // sha1WithRSAEncryption (raised to SHA-256 by the RFC), sha256WithRSAEncryption,
        // ecdsa-with-SHA256.
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05"
        | b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"
        | b"\x2a\x86\x48\xce\x3d\x04\x03\x02" => TLS13_AES_128_GCM_SHA256,
        // sha384WithRSAEncryption, ecdsa-with-SHA384.
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c" | b"\x2a\x86\x48\xce\x3d\x04\x03\x03" => {
            TLS13_AES_256_GCM_SHA384
        }
        _ => return None,
    };
    Some(suite.tls13()?.common.hash_provider.hash(certificate).as_ref().to_vec())
}

/// The content of the DER item of this tag at the start of `bytes`, and what follows it.
fn der_item(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = if length < 0x80 {
        (usize::from(length), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7F))?;
        if digits.len() > 4 {
            return None;
        }
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    if first == tag { rest.split_at_checked(length) } else { None }
}
