//! Adds the table that chooses how to adapt to a finished image: it is fitted by running that image.

use bytemuck::{bytes_of, cast_slice};
use pliant_runtime::image::{
    CRC_START, ChoiceNode, Choices, Header, Image, ImageError, SECTION_ALIGNMENT, SectionEntry, SectionKind, crc32,
};

use super::aligned::AlignedBytes;
use super::writer::ImageBuildError;

/// The image with `nodes` for a choice section, in place of the one it may have. The section is optional: nothing else
/// changes, the hash does not either, and a reader that does not know the section adapts as the spec says. A signature is
/// dropped: it was not over these bytes.
///
/// ```
/// use pliant_compiler::image::{AlignedBytes, with_choices};
/// use pliant_runtime::image::{Choice, ChoiceNode, Image};
/// # use pliant_compiler::{adaptation::gradient::StepSizes, graph::Tensor, image::*, policy::*};
/// # use pliant_runtime::{contract::*, image::*};
/// # let policy = PolicyDescription::deterministic(Mlp::new(&[1, 1], Activation::Tanh));
/// # let parameters = [Tensor::f32(&[1, 1], vec![0.5]).unwrap(), Tensor::f32(&[1], vec![0.0]).unwrap()];
/// # let spec = AdaptationSpec::new(Objective::Supervised).with_rows(4, 4).with_step_scales(&[1.0, 1.0]);
/// # let adaptation = AdaptationDescription { spec, adapts: None, update: StepSizes::Uniform(0.1).into() };
/// # let mut contract = Contract::new(1.0);
/// # contract.observe(Channel::observation("x", "")).unwrap();
/// # contract.actuate(Channel::action("y", "")).unwrap();
/// # let image = compile_policy(&policy, &parameters, Some(&adaptation), &contract, &ImageOptions::default()).unwrap();
/// // Always one step of half the size.
/// let nodes = [ChoiceNode::leaf(Choice { steps: 1, scale: 0.5 })];
/// let bytes = AlignedBytes::new(&with_choices(&image, &nodes)?);
/// let chosen = Image::new_checked(&bytes).unwrap();
/// assert_eq!(chosen.choices().unwrap().nodes(), nodes);
/// assert_eq!(chosen.hash(), Image::new_checked(&AlignedBytes::new(&image)).unwrap().hash());
/// # Ok::<(), ImageBuildError>(())
/// ```
///
/// # Errors
/// [`ImageBuildError::Refused`] for an image that is refused, or that does not adapt, and for a tree that breaks the
/// rules of [`Choices::new_checked`].
pub fn with_choices(image: &[u8], nodes: &[ChoiceNode]) -> Result<Vec<u8>, ImageBuildError> {
    let aligned = AlignedBytes::new(image);
    let checked = Image::new_checked(&aligned).map_err(ImageBuildError::Refused)?;
    let refused = || ImageBuildError::Refused(ImageError::Contents(SectionKind::Choice));
    let spec = checked.adaptation().ok_or_else(refused)?;
    Choices::new_checked(nodes, spec).ok_or_else(refused)?;

    let bytes = checked.bytes();
    let (header, rest) = bytes.split_at(Header::BYTES);
    let mut header: Header = bytemuck::pod_read_unaligned(header);
    let table: &[SectionEntry] = cast_slice(&rest[..header.section_count as usize * SectionEntry::BYTES]);
    let replaced = [SectionKind::Choice as u16, SectionKind::Signature as u16];
    let kept = table.iter().filter(|entry| !replaced.contains(&entry.kind));
    let mut sections: Vec<(SectionEntry, &[u8])> = kept
        .map(|entry| (*entry, &bytes[entry.offset as usize..][..entry.length as usize]))
        .collect();
    let choice: &[u8] = cast_slice(nodes);
    let entry = SectionEntry {
        kind: SectionKind::Choice as u16,
        instance: 0,
        flags: 0,
        offset: 0,
        length: choice.len() as u32,
    };
    sections.push((entry, choice));

    let word = |value: usize| u32::try_from(value).map_err(|_| ImageBuildError::TooLarge);
    let mut end = Header::BYTES + sections.len() * SectionEntry::BYTES;
    for (entry, contents) in &mut sections {
        end = end.next_multiple_of(SECTION_ALIGNMENT);
        entry.offset = word(end)?;
        end += contents.len();
    }
    header.section_count = word(sections.len())?;
    header.length = word(end.next_multiple_of(SECTION_ALIGNMENT))?;
    let mut bytes = bytes_of(&header).to_vec();
    sections.iter().for_each(|(entry, _)| bytes.extend(bytes_of(entry)));
    for (entry, contents) in &sections {
        bytes.resize(entry.offset as usize, 0);
        bytes.extend_from_slice(contents);
    }
    bytes.resize(header.length as usize, 0);
    let crc = crc32(&bytes[CRC_START..]);
    bytes[CRC_START - 4..CRC_START].copy_from_slice(&crc.to_le_bytes());
    let written = AlignedBytes::new(&bytes);
    Image::new_checked(&written).map_err(ImageBuildError::Refused)?;
    Ok(bytes)
}
