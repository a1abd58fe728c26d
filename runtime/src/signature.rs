//! Ed25519 signatures of images and deltas. Needs the feature `signatures`.
//!
//! The firmware holds the public keys ([`Keys`]); `pliant keygen` and `pliant sign` are the other side. What is signed
//! is every byte of the image or delta, but for its CRC and the signature itself, which count as zero: contract, plans,
//! weights, golden vectors, card, release and key alike.
//!
//! A signature says who made the bytes, not that they are new: an old image stays well signed. So each carries a
//! *release* number, and what is below the lowest release accepted is refused. With a
#![cfg_attr(feature = "store", doc = "[store](crate::store),")]
#![cfg_attr(not(feature = "store"), doc = "store,")]
//! that number is kept in flash and rises only by an explicit `retire`.
//!
//! ```
//! use pliant_runtime::image::Image;
//! use pliant_runtime::signature::{Keys, SignatureError};
//!
//! /// As `pliant keygen` prints it. More than one key lets you replace a lost one.
//! const KEYS: Keys<'static> = Keys::new(&[[
//!     0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, //
//!     0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
//! ]]);
//!
//! fn check(image: &Image, minimum_release: u32) -> Result<(), SignatureError> {
//!     let signed = KEYS.verify_image(image, minimum_release)?;
//!     assert!(signed.release >= minimum_release);
//!     Ok(())
//! }
//! ```

use core::fmt;
use core::ops::Range;

use ed25519_dalek::{Signature, StreamVerifier, VerifyingKey};

use crate::image::{Image, SignatureSection};

/// An Ed25519 public key (RFC 8032).
pub type PublicKey = [u8; 32];

/// Bytes of the CRC in the header of an image and of a delta.
const CRC: Range<u32> = 16..20;

/// The keys whose signatures are accepted.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'k>(&'k [PublicKey]);

/// A signature that was found right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Signed {
    /// Index of the key among the [`Keys`].
    pub key: usize,
    /// The release that was signed.
    pub release: u32,
}

impl<'k> Keys<'k> {
    /// These keys. With none, everything is refused.
    pub const fn new(keys: &'k [PublicKey]) -> Self {
        Self(keys)
    }

    /// Verifies an image: one pass of SHA-512 over its bytes and one verification.
    ///
    /// # Errors
    /// Why it is not to be trusted.
    pub fn verify_image(&self, image: &Image<'_>, minimum_release: u32) -> Result<Signed, SignatureError> {
        let (offset, section) = image.signature().ok_or(SignatureError::Unsigned)?;
        self.verify(&Claim::of_image(offset, section), image.bytes(), minimum_release)
    }

    /// Verifies a whole delta, whose header is to be
    #[cfg_attr(feature = "store", doc = "[checked](crate::store::DeltaHeader::new_checked) before.")]
    ///
    /// # Errors
    /// Why it is not to be trusted.
    #[cfg(feature = "store")]
    pub fn verify_delta(
        &self,
        header: &crate::store::DeltaHeader,
        bytes: &[u8],
        minimum_release: u32,
    ) -> Result<Signed, SignatureError> {
        let bytes = bytes.get(..header.length as usize).ok_or(SignatureError::Wrong)?;
        self.verify(&Claim::of_delta(header), bytes, minimum_release)
    }

    fn verify(&self, claim: &Claim, bytes: &[u8], minimum: u32) -> Result<Signed, SignatureError> {
        let mut verification = self.begin(claim)?;
        verification.absorb(0, bytes);
        verification.finish()?;
        if claim.release < minimum {
            return Err(SignatureError::Retired {
                release: claim.release,
                minimum,
            });
        }
        Ok(Signed {
            key: verification.key,
            release: claim.release,
        })
    }

    /// Begins to verify bytes that come in pieces.
    pub(crate) fn begin(&self, claim: &Claim) -> Result<Verification, SignatureError> {
        if claim.signature == [0; 64] {
            return Err(SignatureError::Unsigned);
        }
        let mut keys = self.0.iter().enumerate();
        let (key, public) = keys
            .find(|(_, key)| key.starts_with(&claim.key))
            .ok_or(SignatureError::UnknownKey)?;
        let point = VerifyingKey::from_bytes(public).map_err(|_| SignatureError::BadKey)?;
        // A key of small order would accept signatures that nobody made.
        if point.is_weak() {
            return Err(SignatureError::BadKey);
        }
        let stream = point
            .verify_stream(&Signature::from_bytes(&claim.signature))
            .map_err(|_| SignatureError::Wrong)?;
        Ok(Verification {
            stream: Some(stream),
            zeroed: [CRC, claim.signature_at..claim.signature_at.saturating_add(64)],
            key,
        })
    }
}

/// What the bytes say of their signature.
pub(crate) struct Claim {
    key: [u8; 8],
    signature: [u8; 64],
    release: u32,
    /// Where in the bytes the signature is.
    signature_at: u32,
}

impl Claim {
    /// The signature section lies at `offset`.
    pub(crate) fn of_image(offset: u32, section: &SignatureSection) -> Self {
        Self {
            key: section.key,
            signature: section.signature,
            release: section.release,
            signature_at: offset.saturating_add(core::mem::offset_of!(SignatureSection, signature) as u32),
        }
    }

    #[cfg(feature = "store")]
    pub(crate) fn of_delta(header: &crate::store::DeltaHeader) -> Self {
        Self {
            key: header.key,
            signature: header.signature,
            release: header.release,
            signature_at: core::mem::offset_of!(crate::store::DeltaHeader, signature) as u32,
        }
    }
}

/// A verification under way.
pub(crate) struct Verification {
    /// None when it is finished.
    stream: Option<StreamVerifier>,
    /// Ranges that count as zeros.
    zeroed: [Range<u32>; 2],
    key: usize,
}

impl Verification {
    /// Takes the bytes from `at` on. Every byte is to be given once, in order.
    pub(crate) fn absorb(&mut self, mut at: u32, mut bytes: &[u8]) {
        const ZEROS: [u8; 64] = [0; 64];
        let Some(stream) = &mut self.stream else { return };
        while !bytes.is_empty() {
            let zeroed = self.zeroed.iter().find(|range| range.contains(&at));
            let until = match zeroed {
                Some(range) => range.end,
                None => {
                    let starts = self.zeroed.iter().map(|range| range.start);
                    starts.filter(|&start| start > at).min().unwrap_or(u32::MAX)
                }
            };
            let (now, later) = bytes.split_at(bytes.len().min((until - at) as usize));
            if zeroed.is_some() {
                stream.update(ZEROS.get(..now.len()).unwrap_or(&ZEROS));
            } else {
                stream.update(now);
            }
            at = at.saturating_add(now.len() as u32);
            bytes = later;
        }
    }

    /// Whether the signature is right.
    pub(crate) fn finish(&mut self) -> Result<(), SignatureError> {
        let stream = self.stream.take().ok_or(SignatureError::Wrong)?;
        stream.finalize_and_verify().map_err(|_| SignatureError::Wrong)
    }
}

/// Why bytes are not to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SignatureError {
    /// There is no signature.
    Unsigned,
    /// It was made with a key that is not among those accepted.
    UnknownKey,
    /// The accepted key is no point of the curve, or a weak one.
    BadKey,
    /// It does not fit the bytes: they were changed, or it is not by that key.
    Wrong,
    /// It is right, but of a release that is no longer accepted.
    Retired {
        /// The release that was signed.
        release: u32,
        /// The lowest that is accepted.
        minimum: u32,
    },
}

impl fmt::Display for SignatureError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unsigned => "not signed",
            Self::UnknownKey => "signed with another key than those accepted",
            Self::BadKey => "the public key is not a usable Ed25519 key",
            Self::Wrong => "the signature does not fit the bytes",
            Self::Retired { release, minimum } => {
                return write!(
                    formatter,
                    "release {release} is retired: {minimum} is the lowest accepted"
                );
            }
        })
    }
}

impl core::error::Error for SignatureError {}
