//! Signing images and deltas, and checking them as a device does.
//!
//! Keys are Ed25519 in PEM: PKCS #8 for the private one, SubjectPublicKeyInfo for the public one (RFC 8410), as
//! `openssl genpkey -algorithm ed25519` writes them too. What is signed is specified in `docs/device-image.md` (images)
//! and `docs/store.md` (deltas).

mod pem;

use std::path::{Path, PathBuf};

use ed25519_dalek::{Signer, SigningKey};
use pliant_compiler::image::{AlignedBytes, ImageBuildError, with_signature};
use pliant_runtime::image::{CRC_START, Image, ImageError, SignatureSection, crc32};
use pliant_runtime::signature::{Keys, PublicKey, SignatureError, Signed};
use pliant_runtime::store::{DELTA_MAGIC, DeltaHeader};

pub use pem::PemError;

/// Where an image and a delta keep their CRC.
const CRC: std::ops::Range<usize> = 16..20;

/// A private key.
pub struct PrivateKey(SigningKey);

impl PrivateKey {
    /// A new one, from the operating system's random numbers.
    ///
    /// # Errors
    /// The system gives none.
    pub fn generate() -> Result<Self, SigningError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(SigningError::Random)?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// Reads what [`to_pem`](Self::to_pem) writes.
    ///
    /// # Errors
    /// It is no such file.
    pub fn from_pem(text: &str) -> Result<Self, PemError> {
        pem::private_key(text).map(|seed| Self(SigningKey::from_bytes(&seed)))
    }

    /// The contents of a key file, to be kept secret.
    pub fn to_pem(&self) -> String {
        pem::write_private_key(self.0.as_bytes())
    }

    /// The public key, which the firmware holds.
    pub fn public(&self) -> PublicKey {
        self.0.verifying_key().to_bytes()
    }

    fn key_id(&self) -> [u8; 8] {
        key_id(&self.public())
    }
}

/// The first eight bytes of a public key, by which a signature names it.
pub fn key_id(key: &PublicKey) -> [u8; 8] {
    std::array::from_fn(|i| key[i])
}

/// The contents of a public key file.
pub fn public_key_to_pem(key: &PublicKey) -> String {
    pem::write_public_key(key)
}

/// Reads what [`public_key_to_pem`] writes.
///
/// # Errors
/// It is no such file.
pub fn public_key_from_pem(text: &str) -> Result<PublicKey, PemError> {
    pem::public_key(text)
}

/// What can be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A device image.
    Image,
    /// Adapted parameters.
    Delta,
}

/// Which of the two the bytes begin like.
pub fn kind_of(bytes: &[u8]) -> Kind {
    if bytes.starts_with(&DELTA_MAGIC) {
        Kind::Delta
    } else {
        Kind::Image
    }
}

/// Signs an image or a delta; a signature it has is replaced.
///
/// # Errors
/// The bytes are no whole image or delta.
pub fn sign(bytes: &[u8], key: &PrivateKey, release: u32) -> Result<Vec<u8>, SigningError> {
    match kind_of(bytes) {
        Kind::Image => sign_image(bytes, key, release),
        Kind::Delta => sign_delta(bytes, key, release),
    }
}

fn sign_image(bytes: &[u8], key: &PrivateKey, release: u32) -> Result<Vec<u8>, SigningError> {
    let aligned = AlignedBytes::new(bytes);
    let image = Image::new_checked(&aligned).map_err(SigningError::Image)?;
    let section = SignatureSection {
        algorithm: SignatureSection::ED25519,
        release,
        key: key.key_id(),
        signature: [0; 64],
    };
    let mut signed = with_signature(&image, &section).map_err(SigningError::Build)?;
    let aligned = AlignedBytes::new(&signed);
    let (offset, _) = Image::new_checked(&aligned)
        .map_err(SigningError::Image)?
        .signature()
        .ok_or(SigningError::Signature(SignatureError::Unsigned))?;
    let at = offset as usize + std::mem::offset_of!(SignatureSection, signature);
    put_signature(&mut signed, at, key);
    Ok(signed)
}

fn sign_delta(bytes: &[u8], key: &PrivateKey, release: u32) -> Result<Vec<u8>, SigningError> {
    let mut header = DeltaHeader::new_checked(bytes).ok_or(SigningError::Delta)?;
    let mut signed = bytes[..header.length as usize].to_vec();
    (header.key, header.release, header.signature) = (key.key_id(), release, [0; 64]);
    signed[..DeltaHeader::BYTES].copy_from_slice(bytemuck::bytes_of(&header));
    put_signature(&mut signed, std::mem::offset_of!(DeltaHeader, signature), key);
    Ok(signed)
}

/// Signs the bytes with zeros for CRC and signature, and fills both in.
fn put_signature(bytes: &mut [u8], at: usize, key: &PrivateKey) {
    bytes[CRC].fill(0);
    let signature = key.0.sign(bytes).to_bytes();
    bytes[at..at + signature.len()].copy_from_slice(&signature);
    let crc = crc32(&bytes[CRC_START..]);
    bytes[CRC].copy_from_slice(&crc.to_le_bytes());
}

/// Checks an image or a delta as a device with these keys does.
///
/// # Errors
/// The bytes are no whole image or delta, or the signature is not right.
pub fn verify(bytes: &[u8], keys: &[PublicKey], minimum_release: u32) -> Result<Signed, SigningError> {
    let keys = Keys::new(keys);
    match kind_of(bytes) {
        Kind::Image => {
            let aligned = AlignedBytes::new(bytes);
            let image = Image::new_checked(&aligned).map_err(SigningError::Image)?;
            keys.verify_image(&image, minimum_release)
        }
        Kind::Delta => {
            let header = DeltaHeader::new_checked(bytes).ok_or(SigningError::Delta)?;
            keys.verify_delta(&header, bytes, minimum_release)
        }
    }
    .map_err(SigningError::Signature)
}

/// Writes a private key file that only its owner can read, and refuses to replace one.
///
/// # Errors
/// It exists, or cannot be written.
pub fn write_private_key(path: &Path, key: &PrivateKey) -> Result<(), SigningError> {
    let failed = |source| SigningError::WriteKey {
        path: path.to_owned(),
        source,
    };
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(failed)?;
    let written = std::io::Write::write_all(&mut file, key.to_pem().as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|source| {
        // Half a key must not stay; the error that matters is the one returned.
        let _ = std::fs::remove_file(path);
        failed(source)
    })
}

/// Why something was not signed or verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SigningError {
    /// No random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// The key file was not written.
    #[error("cannot write the key {path}: {source}; an existing key is never replaced")]
    WriteKey {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Not a device image.
    #[error("not a usable device image: {0}")]
    Image(ImageError),
    /// Not a delta.
    #[error("not a usable delta: cut short, damaged, or of another version")]
    Delta,
    /// The image cannot be put together again.
    #[error(transparent)]
    Build(ImageBuildError),
    /// The signature is not right.
    #[error("{0}")]
    Signature(SignatureError),
}
