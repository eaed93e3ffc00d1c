//! TLS by rustls with one provider, aws-lc-rs, named here and not taken from the process.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio_rustls::TlsAcceptor;

use crate::options::TlsFiles;

/// What ALPN offers, best first.
pub(crate) const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// A certificate that can be changed while it is in use.
pub(crate) struct Certificate {
    files: TlsFiles,
    config: ArcSwap<ServerConfig>,
}

/// Why a certificate is not used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not PEM of its kind.
    #[error("{file}: {source}")]
    File {
        /// Its path.
        file: String,
        /// What is wrong.
        source: pem::Error,
    },
    /// The chain and the key do not make a server.
    #[error("{file}: {source}")]
    Unusable {
        /// The chain's path.
        file: String,
        /// What is wrong.
        source: rustls::Error,
    },
}

impl Certificate {
    pub(crate) fn load(files: TlsFiles) -> Result<Certificate, TlsError> {
        let config = ArcSwap::from_pointee(read(&files)?);
        Ok(Certificate { files, config })
    }

    /// Reads the files again. New connections get the new certificate; when the files are not good
    /// the old one stays.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        self.config.store(Arc::new(read(&self.files)?));
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

fn read(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let named = |path: &std::path::Path| path.display().to_string();
    let bad_file = |path: &std::path::Path| {
        let file = named(path);
        move |source| TlsError::File { file, source }
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(bad_file(&files.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(bad_file(&files.key))?;
    let unusable = |source| TlsError::Unusable {
        file: named(&files.certificate),
        source,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
    Ok(config)
}
