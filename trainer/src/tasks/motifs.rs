//! Sequence motifs over several genomes: tasks of finding an unseen motif from a few sequences. Generated data.

use rand_core::Rng;

use super::{Metric, Rows, Split, SupervisedFamily};
use crate::random::{Stream, fill_standard_normal, stream, uniform};
use crate::recipe;

/// Bases that there are.
const BASES: usize = 4;

/// A motif and the genome it is looked for in.
#[derive(Debug, Clone, PartialEq)]
pub struct Motif {
    /// Probabilities of A, C, G and T at each position of a site.
    pub columns: Vec<[f64; BASES]>,
    /// Probabilities of A, C, G and T elsewhere.
    pub background: [f64; BASES],
}

impl Motif {
    /// The logarithm of how much likelier a sequence is with one site of the motif, anywhere on either strand, than without:
    /// who knows the motif decides best by its sign (Neyman and Pearson 1933).
    pub fn log_likelihood_ratio(&self, sequence: &[f32]) -> f64 {
        let width = self.columns.len();
        let ratio = |window: &[f32], reverse: bool| -> f64 {
            let factor = |(column, base): (&[f64; BASES], usize)| column[base] / self.background[base];
            let base = |value: &f32| (*value as usize).min(BASES - 1);
            let columns = self.columns.iter();
            match reverse {
                false => columns.zip(window.iter().map(base)).map(factor).product(),
                true => columns
                    .zip(window.iter().rev().map(|value| BASES - 1 - base(value)))
                    .map(factor)
                    .product(),
            }
        };
        let windows = sequence.windows(width);
        let count = 2.0 * windows.len().max(1) as f64;
        let sum: f64 = windows.map(|window| ratio(window, false) + ratio(window, true)).sum();
        (sum / count).ln()
    }
}

/// The family: tasks by index, each a motif of its split with sequences of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct MotifFamily {
    settings: recipe::Motifs,
}

impl MotifFamily {
    /// The family that a recipe describes.
    pub fn new(settings: &recipe::Motifs) -> Self {
        Self {
            settings: settings.clone(),
        }
    }

    /// The motif of task `index` of a split.
    pub fn motif(&self, seed: u64, split: Split, index: u64) -> Motif {
        let settings = &self.settings;
        let (name, count) = match split {
            Split::Train => ("motifs, train", settings.motifs[0]),
            Split::Validation => ("motifs, validation", settings.motifs[1]),
            Split::Test => ("motifs, test", settings.motifs[2]),
        };
        let mut random = stream(seed, name, &[index % count]);
        let [least, most] = settings.width;
        let width = least + below(&mut random, most - least + 1);
        let column = |_| dirichlet(f64::from(settings.concentration), &mut random);
        let mut columns: Vec<[f64; BASES]> = (0..width).map(column).collect();
        let genome = settings.genomes[below(&mut random, settings.genomes.len())];
        if settings.renamed && split == Split::Train {
            let mut random = stream(seed, "motifs, renamed", &[index]);
            let mut names = [0, 1, 2, 3];
            for place in (1..BASES).rev() {
                names.swap(place, below(&mut random, place + 1));
            }
            for column in &mut columns {
                *column = names.map(|name| column[name]);
            }
            if below(&mut random, 2) == 1 {
                columns.reverse();
            }
        }
        let (rich, poor) = (f64::from(genome) / 2.0, f64::from(1.0 - genome) / 2.0);
        Motif {
            columns,
            background: [poor, rich, rich, poor],
        }
    }

    /// Fills rows, with and without the motif in turn.
    fn fill(&self, motif: &Motif, random: &mut Stream, rows: Rows<'_>) {
        let length = self.settings.length;
        for (row, (sequence, target)) in rows.inputs.chunks_exact_mut(length).zip(rows.targets).enumerate() {
            sequence.fill_with(|| draw(&motif.background, random));
            let there = row % 2 == 0;
            *target = if there { 1.0 } else { -1.0 };
            if !there {
                continue;
            }
            let mut site: Vec<f32> = motif.columns.iter().map(|column| draw(column, random)).collect();
            if below(random, 2) == 1 {
                site.reverse();
                site.iter_mut().for_each(|base| *base = (BASES - 1) as f32 - *base);
            }
            let place = below(random, length - site.len() + 1);
            sequence[place..place + site.len()].copy_from_slice(&site);
        }
    }
}

/// A whole number below `count`.
fn below(random: &mut Stream, count: usize) -> usize {
    ((u128::from(random.next_u64()) * count as u128) >> 64) as usize
}

/// A base by its probabilities.
fn draw(probabilities: &[f64; BASES], random: &mut Stream) -> f32 {
    let mut left = f64::from(uniform(random, 0.0, 1.0));
    for (base, probability) in probabilities.iter().enumerate() {
        left -= probability;
        if left < 0.0 {
            return base as f32;
        }
    }
    // What rounding left over goes to a base that can be.
    probabilities
        .iter()
        .rposition(|probability| *probability > 0.0)
        .unwrap_or(0) as f32
}

/// A draw of the symmetric Dirichlet distribution: gamma variables over their sum.
fn dirichlet(concentration: f64, random: &mut Stream) -> [f64; BASES] {
    loop {
        let draws = [(); BASES].map(|()| gamma(concentration, random));
        let sum: f64 = draws.iter().sum();
        // All four can underflow where the concentration is small.
        if sum > 0.0 {
            return draws.map(|draw| draw / sum);
        }
    }
}

/// A gamma variable of this shape and scale 1 (Marsaglia and Tsang 2000; the boost for shapes below 1 is theirs).
fn gamma(shape: f64, random: &mut Stream) -> f64 {
    let positive = |random: &mut Stream| 1.0 - f64::from(uniform(random, 0.0, 1.0));
    if shape < 1.0 {
        let boost = positive(random).powf(1.0 / shape);
        return gamma(shape + 1.0, random) * boost;
    }
    let d = shape - 1.0 / 3.0;
    let c = (9.0 * d).sqrt().recip();
    loop {
        let mut normal = [0.0f32; 1];
        fill_standard_normal(random, &mut normal);
        let x = f64::from(normal[0]);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && positive(random).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

impl SupervisedFamily for MotifFamily {
    fn input_width(&self) -> usize {
        self.settings.length
    }

    fn target_width(&self) -> usize {
        1
    }

    fn support_rows(&self) -> usize {
        2 * self.settings.shots
    }

    fn query_rows(&self) -> usize {
        self.settings.queries
    }

    fn evaluation_rows(&self) -> usize {
        recipe::Motifs::SCORED
    }

    fn metric(&self) -> Metric {
        Metric::ShareRight
    }

    fn oracle_score(&self, seed: u64, split: Split, index: u64) -> Option<f64> {
        let (length, rows) = (self.settings.length, self.evaluation_rows());
        let (mut support_x, mut support_y) = (vec![0.0; self.support_rows() * length], vec![0.0; self.support_rows()]);
        let (mut inputs, mut targets) = (vec![0.0; rows * length], vec![0.0; rows]);
        let support = Rows {
            inputs: &mut support_x,
            targets: &mut support_y,
        };
        let scored = Rows {
            inputs: &mut inputs,
            targets: &mut targets,
        };
        self.sample_for_evaluation(seed, split, index, support, scored);
        let motif = self.motif(seed, split, index);
        let rows = inputs.chunks_exact(length).zip(&targets);
        let right = rows.filter(|(x, y)| (motif.log_likelihood_ratio(x) > 0.0) == (**y > 0.0));
        Some(right.count() as f64 / targets.len() as f64)
    }

    fn sample(&self, seed: u64, split: Split, index: u64, support: Rows<'_>, query: Rows<'_>) {
        let motif = self.motif(seed, split, index);
        let mut random = stream(seed, &format!("motifs, sequences, {}", split.name()), &[index]);
        self.fill(&motif, &mut random, support);
        self.fill(&motif, &mut random, query);
    }

    fn sample_for_evaluation(&self, seed: u64, split: Split, index: u64, support: Rows<'_>, scored: Rows<'_>) {
        self.sample(seed, split, index, support, scored);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family() -> MotifFamily {
        MotifFamily::new(&toml::from_str("shots = 10\nqueries = 40").expect("the rest has defaults"))
    }

    /// Dirichlet(0.2) on four: every base a quarter on average, and two draws of one column agree with probability
    /// (0.2 + 1) / (4 * 0.2 + 1).
    #[test]
    fn columns_are_of_the_dirichlet_distribution() {
        let mut random = stream(0, "test", &[]);
        let (mut mean, mut agree) = ([0.0; BASES], 0.0);
        for _ in 0..20_000 {
            let column = dirichlet(0.2, &mut random);
            assert!((column.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            for (mean, share) in mean.iter_mut().zip(column) {
                *mean += share / 2e4;
            }
            agree += column.iter().map(|share| share * share).sum::<f64>() / 2e4;
        }
        assert!(mean.iter().all(|mean| (mean - 0.25).abs() < 0.01), "{mean:?}");
        assert!((agree - 1.2 / 1.8).abs() < 0.01, "{agree}");
    }

    #[test]
    fn tasks_follow_the_protocol() {
        let family = family();
        let mut widths = [0; 13];
        for index in 0..500 {
            let motif = family.motif(3, Split::Test, index);
            widths[motif.columns.len()] += 1;
            let rich = motif.background[1] + motif.background[2];
            assert!(
                [0.35, 0.45, 0.55, 0.65].iter().any(|share| (share - rich).abs() < 1e-6),
                "{rich}"
            );
        }
        assert!(widths[..8].iter().all(|count| *count == 0) && widths[8..].iter().all(|count| *count > 40));
        // A hundred motifs, which come again, with other sequences; none of them trains.
        assert_eq!(family.motif(3, Split::Test, 7), family.motif(3, Split::Test, 107));
        assert_ne!(family.motif(3, Split::Test, 7), family.motif(3, Split::Train, 7));
    }

    /// A motif of training that is renamed has the same columns, their numbers in another order.
    #[test]
    fn renaming_keeps_what_a_motif_says() {
        let renamed = family();
        let mut settings = renamed.settings.clone();
        settings.renamed = false;
        let plain = MotifFamily::new(&settings);
        let sorted = |family: &MotifFamily, index| {
            let mut columns = family.motif(0, Split::Train, index).columns;
            columns.iter_mut().for_each(|column| column.sort_by(f64::total_cmp));
            columns
        };
        let (mut backwards, mut other) = (0, 0);
        for index in 0..40 {
            let (own, mut of) = (sorted(&renamed, index), sorted(&plain, index));
            backwards += usize::from(own != of);
            if own != of {
                of.reverse();
            }
            assert_eq!(own, of);
            other += usize::from(renamed.motif(0, Split::Train, index) != plain.motif(0, Split::Train, index));
        }
        assert!((8..=32).contains(&backwards) && other > 30, "{backwards} {other}");
    }

    /// Half have a site; who knows the motif tells them apart (91.6 % in an independent program).
    #[test]
    fn who_knows_the_motif_finds_it() {
        let family = family();
        let shares: Vec<f64> = (0..100)
            .filter_map(|index| family.oracle_score(0, Split::Test, index))
            .collect();
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        assert!(shares.len() == 100 && (mean - 0.916).abs() < 0.02, "{mean}");
    }
}
