//! Ed25519 keys as PEM files (RFC 7468, RFC 8410): one line of base64 each.

/// DER of a private key before its 32 bytes: PKCS #8 version 1.
const PRIVATE: &[u8] = &[
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// DER of a public key before its 32 bytes: SubjectPublicKeyInfo.
const PUBLIC: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

const PRIVATE_LABEL: &str = "PRIVATE KEY";
const PUBLIC_LABEL: &str = "PUBLIC KEY";
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Why a key file is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// There is a private key where a public one is wanted.
    #[error("it holds a private key; give the public one (`.pub`), and keep the private one to yourself")]
    PrivateForPublic,
    /// There is a public key where a private one is wanted.
    #[error("it holds a public key; to sign takes the private one")]
    PublicForPrivate,
    /// Neither.
    #[error("it is no Ed25519 key in PEM, as `pliant keygen` or `openssl genpkey -algorithm ed25519` writes it")]
    NotAKey,
}

pub(super) fn private_key(text: &str) -> Result<[u8; 32], PemError> {
    if body(text, PUBLIC_LABEL).is_some() {
        return Err(PemError::PublicForPrivate);
    }
    key(text, PRIVATE_LABEL, PRIVATE)
}

pub(super) fn public_key(text: &str) -> Result<[u8; 32], PemError> {
    if body(text, PRIVATE_LABEL).is_some() {
        return Err(PemError::PrivateForPublic);
    }
    key(text, PUBLIC_LABEL, PUBLIC)
}

pub(super) fn write_private_key(key: &[u8; 32]) -> String {
    write(PRIVATE_LABEL, PRIVATE, key)
}

pub(super) fn write_public_key(key: &[u8; 32]) -> String {
    write(PUBLIC_LABEL, PUBLIC, key)
}

fn write(label: &str, prefix: &[u8], key: &[u8; 32]) -> String {
    let body = encode(&[prefix, key].concat());
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

fn key(text: &str, label: &str, prefix: &[u8]) -> Result<[u8; 32], PemError> {
    let der = body(text, label).and_then(decode).ok_or(PemError::NotAKey)?;
    let key = der.strip_prefix(prefix).ok_or(PemError::NotAKey)?;
    key.try_into().map_err(|_| PemError::NotAKey)
}

/// What stands between the lines of this label.
fn body<'t>(text: &'t str, label: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    Some(body)
}

fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let word = (0..3).fold(0u32, |word, i| {
            word << 8 | u32::from(group.get(i).copied().unwrap_or(0))
        });
        for digit in 0..4 {
            let index = (word >> (18 - 6 * digit) & 63) as usize;
            text.push(if digit <= group.len() {
                char::from(DIGITS[index])
            } else {
                '='
            });
        }
    }
    text
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let text: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let mut bytes = Vec::new();
    for (i, group) in text.chunks(4).enumerate() {
        let padding = group.iter().rev().take_while(|&&byte| byte == b'=').count();
        let last = 4 * (i + 1) == text.len();
        if group.len() != 4 || padding > 2 || (padding > 0 && !last) {
            return None;
        }
        let mut word = 0u32;
        for &byte in &group[..4 - padding] {
            let digit = DIGITS.iter().position(|&digit| digit == byte)?;
            word = word << 6 | digit as u32;
        }
        word <<= 6 * padding as u32;
        let word = word.to_be_bytes();
        let (used, unused) = word[1..].split_at(3 - padding);
        if unused.iter().any(|&byte| byte != 0) {
            return None;
        }
        bytes.extend_from_slice(used);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example keys of RFC 8410, section 10.
    #[test]
    fn reads_what_others_write() {
        let private = "-----BEGIN PRIVATE KEY-----\n\
                       MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
        let public = "-----BEGIN PUBLIC KEY-----\n\
                      MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        let seed = private_key(private).unwrap();
        assert_eq!(seed[..4], [0xd4, 0xee, 0x72, 0xdb]);
        let key = ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key().to_bytes();
        assert_eq!(public_key(public), Ok(key));
        assert_eq!(write_private_key(&seed), private);
        assert_eq!(write_public_key(&key), public);
    }

    #[test]
    fn refuses_everything_else() {
        let (private, public) = (write_private_key(&[7; 32]), write_public_key(&[8; 32]));
        assert_eq!(public_key(&private), Err(PemError::PrivateForPublic));
        assert_eq!(private_key(&public), Err(PemError::PublicForPrivate));
        for text in ["", "MC4CAQ==", &private.replace("MC4", "MC5"), &private[..90]] {
            assert_eq!(private_key(text), Err(PemError::NotAKey), "{text}");
        }
        for length in 0..public.len() - 2 {
            assert_eq!(public_key(&public[..length]), Err(PemError::NotAKey));
        }
        assert_eq!(public_key(&public.replace('=', "!")), Err(PemError::NotAKey));
    }

    #[test]
    fn base64_comes_back() {
        for length in 0..20u8 {
            let bytes: Vec<u8> = (0..length).map(|i| i.wrapping_mul(97)).collect();
            assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }
        assert_eq!(encode(b"light work"), "bGlnaHQgd29yaw==");
        assert_eq!(decode("bGlnaHQgd29yax=="), None, "bits that no byte holds");
    }
}
