//! TLS towards a broker, with rustls and ring.

use super::Security;
use crate::kinds::PlanContext;
use jarvis_spec::Diagnostic;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// TLS towards the broker. Files are in PEM; relative paths start at the folder of the YAML file.
#[derive(Clone, Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsOptions {
    /// The certificate authorities to trust instead of the system's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// The client's own certificate, if the broker asks for one; needs `key`.
    #[serde(default)]
    pub cert: Option<PathBuf>,
    /// The private key of `cert`.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// Do not check who the broker is. Anyone in between can then read and change everything: for trying out only.
    #[serde(default)]
    pub insecure: bool,
}

/// Where systems keep the certificate authorities that they trust: Debian and its kin, Fedora and its kin, macOS.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
/// The environment variable that names another file, as for OpenSSL.
const ROOTS_VARIABLE: &str = "SSL_CERT_FILE";

pub(super) fn security(options: &TlsOptions, context: &PlanContext) -> Result<Security, Diagnostic> {
    let client = match (&options.cert, &options.key) {
        (None, None) => None,
        (Some(cert), Some(key)) => Some((certificates(cert, context)?, private_key(key, context)?)),
        (Some(_), None) => return Err(incomplete("`tls` has `cert` but no `key`", "add the `key` of the certificate")),
        (None, Some(_)) => return Err(incomplete("`tls` has `key` but no `cert`", "add the `cert` of the key")),
    };
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| broken("TLS", &error))?;
    let builder = match (&options.ca, options.insecure) {
        (_, true) => builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustAnyone::new(&provider))),
        (Some(ca), false) => builder.with_root_certificates(roots(ca, context)?),
        (None, false) => builder.with_root_certificates(system_roots()?),
    };
    let config = match client {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| broken("the client certificate and its key", &error))?,
        None => builder.with_no_client_auth(),
    };
    Ok(Security::Tls(Arc::new(config)))
}

fn roots(path: &Path, context: &PlanContext) -> Result<RootCertStore, Diagnostic> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, context)? {
        roots.add(certificate).map_err(|error| broken(&path.display().to_string(), &error))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, Diagnostic> {
    let named = std::env::var_os(ROOTS_VARIABLE).map(PathBuf::from);
    let usual = SYSTEM_ROOTS.iter().map(PathBuf::from);
    for path in named.into_iter().chain(usual) {
        let Ok(certificates) = CertificateDer::pem_file_iter(&path) else { continue };
        let mut roots = RootCertStore::empty();
        // One that rustls does not understand is no reason to distrust the others.
        roots.add_parsable_certificates(certificates.flatten());
        if !roots.is_empty() {
            return Ok(roots);
        }
    }
    Err(incomplete(
        "this system has no list of certificate authorities that could be found",
        "install `ca-certificates`, or name the authority: `tls: { ca: FILE }`",
    ))
}

fn certificates(path: &Path, context: &PlanContext) -> Result<Vec<CertificateDer<'static>>, Diagnostic> {
    let read = CertificateDer::pem_file_iter(context.resolve(path)).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(broken(&path.display().to_string(), &"it holds no certificate"))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(broken(&path.display().to_string(), &error)),
    }
}

fn private_key(path: &Path, context: &PlanContext) -> Result<PrivateKeyDer<'static>, Diagnostic> {
    PrivateKeyDer::from_pem_file(context.resolve(path)).map_err(|error| broken(&path.display().to_string(), &error))
}

fn incomplete(message: &str, help: &str) -> Diagnostic {
    Diagnostic::error("broker_tls", message).help(help)
}

fn broken(what: &str, error: &dyn std::fmt::Display) -> Diagnostic {
    Diagnostic::error("broker_tls", format!("{what} cannot be used for TLS: {error}"))
        .help("give the path of a PEM file")
}

/// `insecure: true`: any certificate will do, as long as the broker holds its key.
#[derive(Debug)]
struct TrustAnyone(WebPkiSupportedAlgorithms);

impl TrustAnyone {
    fn new(provider: &CryptoProvider) -> Self {
        Self(provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
