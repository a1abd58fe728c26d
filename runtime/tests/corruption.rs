//! Damaged images: every truncation and every flipped bit is refused, or stays in bounds and finite, or gives the safe action.

mod linear;
mod fuzzed {
    pub(crate) mod damage;
    pub(crate) mod exercise;
}
mod seeds;

use fuzzed::damage::{Tally, every_damage, fix_checksum, flip};
use fuzzed::exercise::{Outcome, exercise, exercise_up_to};
use pliant_runtime::image::{Image, PlanKind, SectionKind};

/// Values of memory, more than any of the images needs.
const MEMORY: usize = 64 * 1024;

/// Aligned as firmware has it.
fn aligned(bytes: &[u8]) -> Vec<u128> {
    let mut memory = vec![0u128; bytes.len().div_ceil(16)];
    bytemuck::cast_slice_mut::<_, u8>(&mut memory)[..bytes.len()].copy_from_slice(bytes);
    memory
}

#[test]
fn every_truncation_and_every_flipped_bit_of_four_images() {
    for (name, bytes) in seeds::images() {
        let mut memory = vec![0.0; MEMORY];
        let mut image = aligned(&bytes);
        let image = &mut bytemuck::cast_slice_mut::<_, u8>(&mut image)[..bytes.len()];
        let whole = exercise(image, &mut memory);
        assert!(
            matches!(whole, Ok(Outcome::Acted { by_policy: true, .. })),
            "{name}: {whole:?}"
        );
        let [as_is, repaired] = every_damage(image, &mut memory);
        println!(
            "{name}, {} bytes\n  as is    {as_is:?}\n  repaired {repaired:?}",
            bytes.len()
        );
        assert_eq!(image, bytes, "{name} is whole again");
        let tried = 9 * bytes.len() as u32;
        // A CRC-32 finds every single flipped bit.
        assert_eq!((as_is.tried, as_is.refused), (tried, tried), "{name}");
        assert_eq!((repaired.tried, repaired.violations), (tried, 0), "{name}");
        assert!(
            repaired.in_bounds > 0 && repaired.refused > repaired.in_bounds,
            "{name}: the checks are reached"
        );
    }
}

/// The images that come with the repository: every bit of the small one; of the large one every bit outside of the weights,
/// and a sample of these.
#[test]
#[ignore = "slow: minutes; cargo test --release -p pliant-runtime --test corruption -- --ignored --nocapture"]
fn every_flipped_bit_of_the_models() {
    for (name, stride) in [("sinusoid", 1), ("point-navigation", 997)] {
        let path = format!("{}/../models/{name}/policy.pliant", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(path).unwrap();
        let mut words = aligned(&bytes);
        let (weights, cost): (Vec<_>, u64) = {
            let image = Image::new_checked(&bytemuck::cast_slice(&words)[..bytes.len()]).unwrap();
            let plans = PlanKind::ALL.iter().filter_map(|&kind| image.plan(kind));
            let cost = plans.map(|plan| plan.macs()).max().unwrap_or(0);
            let large = [SectionKind::Constants, SectionKind::AdaptedInitial, SectionKind::Golden];
            let entries = image.sections().iter();
            let weights = entries
                .filter(|entry| SectionKind::from_bits(entry.kind).is_some_and(|kind| large.contains(&kind)))
                .map(|entry| entry.offset as usize..(entry.offset + entry.length) as usize);
            (weights.collect(), cost)
        };
        let image = &mut bytemuck::cast_slice_mut::<_, u8>(&mut words)[..bytes.len()];
        let mut memory = vec![0.0; 512 * 1024];
        let mut tally = Tally::default();
        for bit in 0..8 * bytes.len() {
            let at = bit / 8;
            if bit % stride != 0 && weights.iter().any(|range| range.contains(&at)) {
                continue;
            }
            flip(image, at, (bit % 8) as u32);
            fix_checksum(image);
            // What costs a quarter more than the whole image is known to be something else, without running it.
            tally.add(exercise_up_to(cost + cost / 4, image, &mut memory));
            flip(image, at, (bit % 8) as u32);
        }
        println!("{name}: {tally:?}");
        assert_eq!(tally.violations, 0, "{name}");
        assert!(tally.in_bounds > tally.too_costly, "{name}: the checks are reached");
    }
}
