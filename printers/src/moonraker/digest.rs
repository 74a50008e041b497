//! The SHA-256 of a file, from the cryptography that TLS brings along.

use rustls::crypto::hash::{Hash, HashAlgorithm};
use std::io;
use std::path::Path;
use tokio::io::AsyncReadExt;

/// As hexadecimal digits, and the file's length.
pub(super) async fn sha256(path: &Path) -> io::Result<(String, u64)> {
    let mut file = tokio::fs::File::open(path).await?;
    let mut digest = algorithm()?.start();
    let mut part = vec![0; 64 << 10];
    let mut length = 0_u64;
    loop {
        let read = file.read(&mut part).await?;
        if read == 0 {
            break;
        }
        digest.update(&part[..read]);
        length += read as u64;
    }
    Ok((digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect(), length))
}

fn algorithm() -> io::Result<&'static dyn Hash> {
    let suites = rustls::crypto::ring::default_provider().cipher_suites;
    let hashes = suites.iter().filter_map(|suite| suite.tls13()).map(|suite| suite.common.hash_provider);
    let mut sha256 = hashes.filter(|hash| hash.algorithm() == HashAlgorithm::SHA256);
    sha256.next().ok_or_else(|| io::Error::other("there is no SHA-256"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_sha256() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(file.path()).await.unwrap(), (expected.to_owned(), 3));
    }
}
