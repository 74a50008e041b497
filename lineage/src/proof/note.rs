//! Signed notes and checkpoints, as C2SP writes them (c2sp.org/signed-note, c2sp.org/tlog-checkpoint), with Ed25519.

use super::tree::Hash;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The signature type of Ed25519.
const ED25519: u8 = 1;

/// What is wrong with a key, a note or a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    #[error("the key {} cannot be used: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{} is no private key: it should have 32 bytes as base64", .0.display())]
    Private(PathBuf),
    #[error("`{0}` is no verifier key: it should read NAME+HASH+KEY, as in DATA/proof/key.pub")]
    Verifier(String),
    #[error("it is no signed note")]
    Form,
    #[error("it is not signed by {0}")]
    Unsigned(String),
    #[error("the signature of {0} is wrong: the text was altered")]
    Signature(String),
    #[error("it is no checkpoint: {0}")]
    Checkpoint(&'static str),
}

/// A private key with its name.
#[derive(Clone)]
pub struct Key {
    name: String,
    key: SigningKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.name)
    }
}

impl Key {
    /// Reads a key; makes a new one if there is none.
    ///
    /// # Errors
    /// The file cannot be read or made, or holds something else.
    pub fn at(path: &Path) -> Result<Self, NoteError> {
        let outside = |source| NoteError::File { path: path.to_owned(), source };
        let secret: [u8; 32] = match fs::read_to_string(path) {
            Ok(text) => {
                let bytes = BASE64_STANDARD.decode(text.trim()).ok().and_then(|b| b.try_into().ok());
                bytes.ok_or_else(|| NoteError::Private(path.to_owned()))?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut secret = [0; 32];
                getrandom::fill(&mut secret).map_err(|e| outside(e.into()))?;
                write_private(path, &BASE64_STANDARD.encode(secret)).map_err(outside)?;
                secret
            }
            Err(error) => return Err(outside(error)),
        };
        let key = SigningKey::from_bytes(&secret);
        let id: String =
            Sha256::digest(key.verifying_key().as_bytes())[..6].iter().map(|b| format!("{b:02x}")).collect();
        Ok(Key { name: format!("jarvis-lineage-{id}"), key })
    }

    /// The name, which is also the origin of checkpoints.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What others check its signatures with.
    pub fn verifier(&self) -> VerifierKey {
        VerifierKey { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// Signs a text that ends with a line end.
    pub fn sign(&self, text: &str) -> String {
        let mut signature = self.verifier().id().to_vec();
        signature.extend(self.key.sign(text.as_bytes()).to_bytes());
        format!("{text}\n— {} {}\n", self.name, BASE64_STANDARD.encode(signature))
    }
}

/// Nobody else may read the file; it has its name when it is whole.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}

/// A public key with its name: `NAME+HASH+KEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key: VerifyingKey,
}

impl VerifierKey {
    /// Whose key it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which key a signature is by.
    fn id(&self) -> [u8; 4] {
        let hash =
            Sha256::new().chain_update(&self.name).chain_update([b'\n', ED25519]).chain_update(self.key.as_bytes());
        let hash: Hash = hash.finalize().into();
        [hash[0], hash[1], hash[2], hash[3]]
    }

    /// The text of a note, if this key has signed it.
    ///
    /// # Errors
    /// It is no note, or not signed by this key, or altered.
    pub fn open<'a>(&self, note: &'a str) -> Result<&'a str, NoteError> {
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Form)?;
        // The text ends with the first of the two line ends.
        let text = &note[..=text.len()];
        for line in signatures.lines() {
            let (name, signature) =
                line.strip_prefix("— ").and_then(|line| line.split_once(' ')).ok_or(NoteError::Form)?;
            let signature = BASE64_STANDARD.decode(signature).map_err(|_| NoteError::Form)?;
            let Some((id, signature)) = signature.split_first_chunk::<4>() else { return Err(NoteError::Form) };
            if name != self.name || *id != self.id() {
                continue;
            }
            let is_right =
                Signature::from_slice(signature).is_ok_and(|s| self.key.verify_strict(text.as_bytes(), &s).is_ok());
            return if is_right { Ok(text) } else { Err(NoteError::Signature(name.to_owned())) };
        }
        Err(NoteError::Unsigned(self.name.clone()))
    }
}

impl std::fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id: String = self.id().iter().map(|b| format!("{b:02x}")).collect();
        let mut key = vec![ED25519];
        key.extend(self.key.as_bytes());
        write!(f, "{}+{id}+{}", self.name, BASE64_STANDARD.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let read = || {
            let mut parts = text.trim().splitn(3, '+');
            let (name, _, key) = (parts.next()?, parts.next()?, parts.next()?);
            let key: [u8; 33] = BASE64_STANDARD.decode(key).ok()?.try_into().ok()?;
            let (kind, key) = key.split_first()?;
            let key = VerifyingKey::from_bytes(key.try_into().ok()?).ok().filter(|_| *kind == ED25519)?;
            Some(VerifierKey { name: name.to_owned(), key })
        };
        // The hash is there to notice slips of the pen.
        read().filter(|key| key.to_string() == text.trim()).ok_or_else(|| NoteError::Verifier(text.trim().to_owned()))
    }
}

/// The head of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose tree it is.
    pub origin: String,
    /// How many leaves it has.
    pub size: u64,
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64_STANDARD.encode(self.root))
    }

    /// Reads a signed checkpoint.
    ///
    /// # Errors
    /// It is not signed by this key, or is no checkpoint of its tree.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, NoteError> {
        let mut lines = key.open(note)?.lines();
        let origin = lines.next().unwrap_or_default().to_owned();
        if origin != key.name() {
            return Err(NoteError::Checkpoint("it is about another tree"));
        }
        let size = lines.next().unwrap_or_default();
        let is_plain = size == "0" || !size.starts_with(['0', '+']);
        let size = size.parse().ok().filter(|_| is_plain).ok_or(NoteError::Checkpoint("the second line is no size"))?;
        let root = BASE64_STANDARD.decode(lines.next().unwrap_or_default()).ok().and_then(|root| root.try_into().ok());
        let root = root.ok_or(NoteError::Checkpoint("the third line is no SHA-256"))?;
        Ok(Checkpoint { origin, size, root })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> Key {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, BASE64_STANDARD.encode([n; 32])).unwrap();
        Key::at(&path).unwrap()
    }

    /// The example of Go's package golang.org/x/mod/sumdb/note, where the form comes from.
    #[test]
    fn a_note_of_others_is_read() {
        let peter: VerifierKey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
        let text =
            "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
        let signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";
        assert_eq!(peter.open(&format!("{text}\n— PeterNeumann {signature}\n")).unwrap(), text);
    }

    #[test]
    fn a_checkpoint_is_read_by_whom_it_concerns() {
        let (signer, other) = (key(1), key(2));
        let checkpoint = Checkpoint { origin: signer.name().to_owned(), size: 7, root: [9; 32] };
        let note = signer.sign(&checkpoint.text());
        assert_eq!(Checkpoint::open(&note, &signer.verifier()).unwrap(), checkpoint);
        assert!(matches!(Checkpoint::open(&note, &other.verifier()), Err(NoteError::Unsigned(_))));
        let altered = note.replacen("\n7\n", "\n8\n", 1);
        assert!(matches!(Checkpoint::open(&altered, &signer.verifier()), Err(NoteError::Signature(_))));
        // Signed by two: each finds its own.
        let both = format!("{note}{}", other.sign(&checkpoint.text()).rsplit_once("\n\n").unwrap().1);
        assert!(signer.verifier().open(&both).is_ok() && other.verifier().open(&both).is_ok());
    }

    #[test]
    fn a_key_is_made_once_and_for_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let made = Key::at(&path).unwrap().verifier();
        assert_eq!(Key::at(&path).unwrap().verifier(), made);
        assert_eq!(made.to_string().parse::<VerifierKey>().unwrap(), made);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::write(&path, "no key").unwrap();
        assert!(matches!(Key::at(&path), Err(NoteError::Private(_))));
    }

    #[test]
    fn a_slip_of_the_pen_in_a_key_is_noticed() {
        let text = key(3).verifier().to_string();
        for wrong in
            [text.replacen("jarvis", "jarwis", 1), text[..text.len() - 4].to_owned(), String::new(), "a+b".to_owned()]
        {
            assert!(matches!(wrong.parse::<VerifierKey>(), Err(NoteError::Verifier(_))), "{wrong}");
        }
    }
}
