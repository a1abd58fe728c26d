//! Header, table and sections as one image; and an image again, with another signature section.

use bytemuck::{bytes_of, cast_slice};
use pliant_runtime::image::{
    CRC_START, FORMAT_VERSION, Header, Image, MAGIC, SECTION_ALIGNMENT, SectionEntry, SectionKind, SignatureSection,
    Workspace, crc32,
};

use super::ImageBuildError;

/// One section before it has its place.
pub(super) struct Section<'a> {
    pub(super) kind: u16,
    pub(super) instance: u16,
    pub(super) flags: u32,
    pub(super) bytes: &'a [u8],
}

impl<'a> Section<'a> {
    /// Flagged as the format wants this kind.
    pub(super) fn new(kind: SectionKind, instance: u16, bytes: &'a [u8]) -> Self {
        Self {
            kind: kind as u16,
            instance,
            flags: if kind.required() { SectionEntry::REQUIRED } else { 0 },
            bytes,
        }
    }
}

/// The sections one after the other, with the checksum.
pub(super) fn assemble(workspace: Workspace, sections: &[Section<'_>]) -> Result<Vec<u8>, ImageBuildError> {
    let word = |value: usize| u32::try_from(value).map_err(|_| ImageBuildError::TooLarge);
    let align = |bytes: &mut Vec<u8>| bytes.resize(bytes.len().next_multiple_of(SECTION_ALIGNMENT), 0);
    let mut table = Vec::with_capacity(sections.len());
    let mut body: Vec<u8> = Vec::new();
    let start = (Header::BYTES + sections.len() * SectionEntry::BYTES).next_multiple_of(SECTION_ALIGNMENT);
    for section in sections {
        align(&mut body);
        table.push(SectionEntry {
            kind: section.kind,
            instance: section.instance,
            flags: section.flags,
            offset: word(start + body.len())?,
            length: word(section.bytes.len())?,
        });
        body.extend_from_slice(section.bytes);
    }
    align(&mut body);
    let mut header = Header {
        magic: MAGIC,
        version: FORMAT_VERSION,
        length: word(start + body.len())?,
        crc: 0,
        section_count: word(sections.len())?,
        reserved: [0; 2],
        workspace,
        reserved_end: [0; 8],
    };
    let join = |header: &Header| {
        let mut bytes = [bytes_of(header), cast_slice(&table)].concat();
        bytes.resize(start, 0);
        bytes.extend_from_slice(&body);
        bytes
    };
    header.crc = crc32(&join(&header)[CRC_START..]);
    Ok(join(&header))
}

/// The image with this signature section, last, in place of the one it may have had. Nothing else changes: the
/// [hash](Image::hash) to which stored deltas are bound is the same.
///
/// # Errors
/// [`ImageBuildError::TooLarge`].
pub fn with_signature(image: &Image<'_>, signature: &SignatureSection) -> Result<Vec<u8>, ImageBuildError> {
    let kept = image
        .sections()
        .iter()
        .filter(|entry| entry.kind != SectionKind::Signature as u16);
    let mut sections: Vec<Section<'_>> = kept
        .map(|entry| Section {
            kind: entry.kind,
            instance: entry.instance,
            flags: entry.flags,
            bytes: &image.bytes()[entry.offset as usize..][..entry.length as usize],
        })
        .collect();
    sections.push(Section::new(SectionKind::Signature, 0, bytes_of(signature)));
    assemble(*image.workspace(), &sections)
}
