//! `[family.motifs]`.

use serde::{Deserialize, Serialize};

use super::check::Checker;

/// Sequence motifs over several genomes, generated: a task is a genome, which has a share of C and G, and a motif, a
/// position-weight matrix each of whose columns is of a Dirichlet distribution. Half the sequences of a task hold one site
/// sampled from the motif, at a random place on either strand; the others are the genome's alone. Which is which is asked.
///
/// The inputs are the bases of a sequence as numbers: A 0, C 1, G 2, T 3; the target is 1 with the motif, -1 without.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Motifs {
    /// Labelled sequences with the motif from which a task is learned, and as many without. From 1 to 500.
    pub shots: usize,
    /// Sequences of a task that score the adapted policy in meta-training, half of them with the motif. From 2 to 1000, even.
    pub queries: usize,
    /// Bases of a sequence. From 8 to 64; default 60.
    #[serde(default = "Motifs::default_length")]
    pub length: usize,
    /// Share of C and G of each genome, inside [0.01, 0.99], 1 to 64 of them; default 0.35, 0.45, 0.55, 0.65.
    #[serde(default = "Motifs::default_genomes")]
    pub genomes: Vec<f32>,
    /// Widths of motifs are uniform from the first to the second, inside [1, `length`]; default 8, 12.
    #[serde(default = "Motifs::default_width")]
    pub width: [usize; 2],
    /// Concentration of the columns' Dirichlet distribution: the smaller the more each column prefers one base. From 0.01 to
    /// 100; default 0.2.
    #[serde(default = "Motifs::default_concentration")]
    pub concentration: f32,
    /// Motifs of training, validation and test. Each from 2 to 1000000; default 200, 50, 100.
    #[serde(default = "Motifs::default_motifs")]
    pub motifs: [u64; 3],
    /// Whether a motif of training comes with its bases renamed in one of the 24 ways and read backwards half the time: as many
    /// motifs as likely as itself, made from the same 200. Default true.
    #[serde(default = "Motifs::default_renamed")]
    pub renamed: bool,
}

impl Motifs {
    /// Sequences on which an adapted policy is scored, half of them with the motif.
    pub const SCORED: usize = 200;

    fn default_length() -> usize {
        60
    }

    fn default_genomes() -> Vec<f32> {
        vec![0.35, 0.45, 0.55, 0.65]
    }

    fn default_width() -> [usize; 2] {
        [8, 12]
    }

    fn default_concentration() -> f32 {
        0.2
    }

    fn default_motifs() -> [u64; 3] {
        [200, 50, 100]
    }

    fn default_renamed() -> bool {
        true
    }

    pub(super) fn check(&self, checker: &mut Checker) {
        checker.count("shots", self.shots as u64, 1, 500);
        checker.require(
            (2..=1000).contains(&self.queries) && self.queries.is_multiple_of(2),
            "queries",
            self.queries,
            "an even number from 2 to 1000: half have the motif",
        );
        checker.count("length", self.length as u64, 8, 64);
        checker.require(
            (1..=64).contains(&self.genomes.len()) && self.genomes.iter().all(|share| (0.01..=0.99).contains(share)),
            "genomes",
            format_args!("{:?}", self.genomes),
            "1 to 64 numbers from 0.01 to 0.99",
        );
        let [least, most] = self.width;
        checker.require(
            1 <= least && least <= most && most <= self.length,
            "width",
            format_args!("[{least}, {most}]"),
            format_args!("[low, high] with 1 <= low <= high <= {}, the `length`", self.length),
        );
        checker.between("concentration", self.concentration, 0.01, 100.0);
        checker.require(
            self.motifs.iter().all(|count| (2..=1_000_000).contains(count)),
            "motifs",
            format_args!("{:?}", self.motifs),
            "three whole numbers from 2 to 1000000",
        );
    }
}
