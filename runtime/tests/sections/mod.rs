//! Takes an image apart into sections and puts it together again, with others.
#![allow(dead_code)] // Every test crate uses its own part.

use pliant_runtime::image::{CRC_START, Header, Image, SECTION_ALIGNMENT, SectionEntry, crc32};

/// Bytes at a multiple of 64.
#[derive(Clone)]
pub(crate) struct Aligned(Vec<Line>, usize);

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

impl Aligned {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let mut lines = vec![Line([0; 64]); bytes.len().div_ceil(64)];
        bytemuck::cast_slice_mut::<Line, u8>(&mut lines)[..bytes.len()].copy_from_slice(bytes);
        Self(lines, bytes.len())
    }
}

impl core::ops::Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.0)[..self.1]
    }
}

impl core::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.0)[..self.1]
    }
}

/// A section: kind, instance, flags, contents.
pub(crate) type Section = (u16, u16, u32, Vec<u8>);

/// The sections of an image.
pub(crate) fn sections(bytes: &[u8]) -> Vec<Section> {
    let image = Image::new_checked(bytes).unwrap();
    let of = |entry: &SectionEntry| bytes[entry.offset as usize..][..entry.length as usize].to_vec();
    let entries = image.sections().iter();
    entries.map(|e| (e.kind, e.instance, e.flags, of(e))).collect()
}

/// An image with the header of `like` and these sections.
pub(crate) fn join(like: &[u8], sections: &[Section]) -> Aligned {
    let align = |bytes: &mut Vec<u8>| bytes.resize(bytes.len().next_multiple_of(SECTION_ALIGNMENT), 0);
    let mut body = vec![0; Header::BYTES + sections.len() * SectionEntry::BYTES];
    for (index, (kind, instance, flags, contents)) in sections.iter().enumerate() {
        align(&mut body);
        let entry = SectionEntry {
            kind: *kind,
            instance: *instance,
            flags: *flags,
            offset: body.len() as u32,
            length: contents.len() as u32,
        };
        body[Header::BYTES + index * SectionEntry::BYTES..][..SectionEntry::BYTES]
            .copy_from_slice(bytemuck::bytes_of(&entry));
        body.extend_from_slice(contents);
    }
    align(&mut body);
    let mut header: Header = bytemuck::pod_read_unaligned(&like[..Header::BYTES]);
    (header.length, header.section_count) = (body.len() as u32, sections.len() as u32);
    body[..Header::BYTES].copy_from_slice(bytemuck::bytes_of(&header));
    seal(&mut body);
    Aligned::new(&body)
}

/// Makes the checksum right.
pub(crate) fn seal(bytes: &mut [u8]) {
    let crc = crc32(&bytes[CRC_START..]);
    bytes[16..20].copy_from_slice(&crc.to_le_bytes());
}
