//! Signatures as a device checks them: in memory, and on their way into the store.

mod flash;
mod linear;
mod sections;
mod support;

use ed25519_dalek::{Signer, SigningKey};
use flash::Flash;
use linear::supervised;
use pliant_runtime::image::{Image, ImageError, SectionKind, SignatureSection};
use pliant_runtime::signature::{Keys, SignatureError, Signed};
use pliant_runtime::store::{DeltaHeader, Layout, Store, StoreError, Trust};
use sections::Aligned;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn key_id(key: &SigningKey) -> [u8; 8] {
    key.verifying_key().to_bytes()[..8].try_into().unwrap()
}

/// Fills signature and CRC in, as the specification says.
fn put_signature(bytes: &mut [u8], at: usize, key: &SigningKey) {
    bytes[16..20].fill(0);
    bytes[at..at + 64].fill(0);
    let signature = key.sign(bytes).to_bytes();
    bytes[at..at + 64].copy_from_slice(&signature);
    sections::seal(bytes);
}

fn signed_image(key: &SigningKey, release: u32) -> Aligned {
    let image = Aligned::new(&supervised([2.0, 0.25], &[1.0], 8).write());
    let section = SignatureSection {
        algorithm: SignatureSection::ED25519,
        release,
        key: key_id(key),
        signature: [0; 64],
    };
    let mut all = sections::sections(&image);
    all.push((SectionKind::Card as u16, 0, 0, b"a card".to_vec()));
    all.push((
        SectionKind::Signature as u16,
        0,
        0,
        bytemuck::bytes_of(&section).to_vec(),
    ));
    let mut signed = sections::join(&image, &all);
    let (at, _) = Image::new_checked(&signed).unwrap().signature().unwrap();
    put_signature(&mut signed, at as usize + 16, key);
    signed
}

fn signed_delta(key: &SigningKey, release: u32) -> Vec<u8> {
    let parameters = [1.0f32, 2.0];
    let mut header = DeltaHeader::new(7, 1, &parameters);
    (header.key, header.release) = (key_id(key), release);
    let mut bytes = [bytemuck::bytes_of(&header), bytemuck::cast_slice(&parameters)].concat();
    put_signature(&mut bytes, 64, key);
    bytes
}

#[test]
fn an_image_is_whose_it_says() {
    let (ours, theirs) = (key(1), key(2));
    let keys = [theirs.verifying_key().to_bytes(), ours.verifying_key().to_bytes()];
    let bytes = signed_image(&ours, 5);
    let image = Image::new_checked(&bytes).unwrap();
    assert_eq!(
        Keys::new(&keys).verify_image(&image, 5),
        Ok(Signed { key: 1, release: 5 })
    );
    assert_eq!(
        Keys::new(&keys).verify_image(&image, 6),
        Err(SignatureError::Retired { release: 5, minimum: 6 })
    );
    assert_eq!(
        Keys::new(&keys[..1]).verify_image(&image, 0),
        Err(SignatureError::UnknownKey)
    );
    assert_eq!(Keys::new(&[]).verify_image(&image, 0), Err(SignatureError::UnknownKey));
    let plain = supervised([2.0, 0.25], &[1.0], 8).write();
    let plain = Image::new_checked(&plain).unwrap();
    assert_eq!(Keys::new(&keys).verify_image(&plain, 0), Err(SignatureError::Unsigned));
    // The signature is outside of what a stored delta is bound to.
    assert_eq!(image.hash(), plain.hash());
    // The first eight bytes of a key may be anyone's.
    let mut alike = keys;
    alike[1][31] ^= 1;
    assert!(matches!(
        Keys::new(&alike).verify_image(&image, 0),
        Err(SignatureError::Wrong | SignatureError::BadKey)
    ));
    // A key of small order: the neutral element.
    let mut weak = [0; 32];
    weak[0] = 1;
    let mut forged = signed_image(&ours, 5);
    let at = image.signature().unwrap().0 as usize;
    forged[at + 8..at + 16].copy_from_slice(&weak[..8]);
    sections::seal(&mut forged);
    let forged = Image::new_checked(&forged).unwrap();
    assert_eq!(Keys::new(&[weak]).verify_image(&forged, 0), Err(SignatureError::BadKey));
}

#[test]
fn every_byte_of_an_image_is_signed() {
    let ours = key(1);
    let keys = [ours.verifying_key().to_bytes()];
    let bytes = signed_image(&ours, 5);
    let mut accepted = 0;
    for at in 20..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        sections::seal(&mut changed);
        // What still is an image is not a signed one.
        if let Ok(image) = Image::new_checked(&changed) {
            accepted += 1;
            assert!(Keys::new(&keys).verify_image(&image, 0).is_err(), "byte {at}");
        }
    }
    assert!(accepted > 100, "{accepted}");
}

#[test]
fn a_signature_section_is_checked() {
    let bytes = signed_image(&key(1), 5);
    let at = Image::new_checked(&bytes).unwrap().signature().unwrap().0 as usize;
    let mut other = bytes.clone();
    other[at] = 2;
    sections::seal(&mut other);
    let malformed = ImageError::Contents(SectionKind::Signature);
    assert_eq!(Image::new_checked(&other).err(), Some(malformed));
    let mut all = sections::sections(&bytes);
    all.last_mut().unwrap().3.pop();
    let short = sections::join(&bytes, &all);
    assert_eq!(Image::new_checked(&short).err(), Some(malformed));
}

#[test]
fn every_byte_of_a_delta_is_signed() {
    let ours = key(1);
    let keys = [ours.verifying_key().to_bytes()];
    let bytes = signed_delta(&ours, 2);
    let verify = |bytes: &[u8], minimum| {
        let header = DeltaHeader::new_checked(bytes)?;
        Some(Keys::new(&keys).verify_delta(&header, bytes, minimum))
    };
    assert_eq!(verify(&bytes, 2), Some(Ok(Signed { key: 0, release: 2 })));
    assert!(matches!(verify(&bytes, 3), Some(Err(SignatureError::Retired { .. }))));
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        sections::seal(&mut changed);
        assert!(!matches!(verify(&changed, 0), Some(Ok(_))) || at < 20, "byte {at}");
    }
}

#[test]
fn the_store_takes_only_what_is_signed() {
    let layout = Layout {
        start: 0,
        journal_pages: 2,
        delta_slots: 3,
        delta_slot_bytes: 1024,
        image_slot_bytes: 8192,
    };
    let mut store = Store::open(Flash::<1, 4, 512>::new(32 * 1024, 1), layout).unwrap();
    let (ours, theirs) = (key(1), key(2));
    let keys = [ours.verifying_key().to_bytes()];
    let trust = Trust::Signed(Keys::new(&keys));
    let mut install = |bytes: &[u8], image: bool| {
        let mut writing = if image {
            store.begin_image()
        } else {
            store.begin_delta(7)
        }
        .unwrap();
        for piece in bytes.chunks(100) {
            store.write(&mut writing, piece).unwrap();
        }
        let id = store.finish(writing, trust)?;
        store.confirm(id)?;
        Ok::<_, StoreError>(())
    };
    let plain = supervised([2.0, 0.25], &[1.0], 8).write();
    let plain_delta = [
        bytemuck::bytes_of(&DeltaHeader::new(7, 1, &[1.0])),
        bytemuck::cast_slice(&[1.0f32]),
    ]
    .concat();
    for (right, foreign, unsigned, image) in [
        (
            signed_image(&ours, 3).to_vec(),
            signed_image(&theirs, 3).to_vec(),
            plain.to_vec(),
            true,
        ),
        (signed_delta(&ours, 3), signed_delta(&theirs, 3), plain_delta, false),
    ] {
        let refused = |error| Err(StoreError::Signature(error));
        assert_eq!(install(&unsigned, image), refused(SignatureError::Unsigned));
        assert_eq!(install(&foreign, image), refused(SignatureError::UnknownKey));
        let mut changed = right.clone();
        let last_of_parameters = if image { changed.len() - 200 } else { changed.len() - 1 };
        changed[last_of_parameters] ^= 1;
        sections::seal(&mut changed);
        assert_eq!(install(&changed, image), refused(SignatureError::Wrong));
        assert_eq!(install(&right, image), Ok(()));
    }
    assert_eq!(store.boot_image().unwrap().unwrap().release, 3);
    assert!(store.select_delta(7).unwrap().is_some());
    // Retiring reaches signed deltas, too.
    let mut newer = store.begin_image().unwrap();
    store.write(&mut newer, &signed_image(&ours, 4)).unwrap();
    let newer = store.finish(newer, trust).unwrap();
    store.confirm(newer).unwrap();
    store.retire(4).unwrap();
    assert_eq!(store.select_delta(7), Ok(None));
}
