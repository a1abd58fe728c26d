//! The shards' gradients become one.

/// The L2 norm of all tensors together.
pub(super) fn norm(gradient: &[Vec<f32>]) -> f32 {
    gradient.iter().flatten().map(|value| value * value).sum::<f32>().sqrt()
}

/// The mean of the shards' gradients, each first scaled by `scale` (from a sum over a shard's steps to their mean) and
/// then down to at most the norm `clip`.
///
/// Summed in the order of the shards, whichever thread was first. A norm that is no number stays one: the update is
/// skipped for it.
pub(super) fn average<'a>(
    shards: impl ExactSizeIterator<Item = &'a [Vec<f32>]>,
    scale: f32,
    clip: Option<f32>,
) -> Vec<Vec<f32>> {
    let share = scale / shards.len() as f32;
    let mut mean: Vec<Vec<f32>> = Vec::new();
    for gradient in shards {
        let weight = clip.map_or(1.0, |limit| limit / (norm(gradient) * scale).max(limit));
        if mean.is_empty() {
            mean = gradient.iter().map(|values| vec![0.0; values.len()]).collect();
        }
        for (mean, value) in mean.iter_mut().flatten().zip(gradient.iter().flatten()) {
            *mean += value * (share * weight);
        }
    }
    mean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(clip: Option<f32>, gradients: &[[f32; 2]]) -> [f32; 2] {
        let shards: Vec<Vec<Vec<f32>>> = gradients.iter().map(|&[a, b]| vec![vec![a], vec![b]]).collect();
        let mean = average(shards.iter().map(Vec::as_slice), 0.1, clip);
        [mean[0][0], mean[1][0]]
    }

    /// Of two shards with norms 5 and 50 the second is scaled to 10, the first stays.
    #[test]
    fn a_shard_that_explodes_counts_no_more_than_the_limit() {
        let gradients = [[30.0, 40.0], [500.0, 0.0]];
        // Below both norms, at 1, each counts the same.
        for (clip, expected) in [
            (None, [26.5, 2.0]),
            (Some(1e9), [26.5, 2.0]),
            (Some(10.0), [6.5, 2.0]),
            (Some(1.0), [0.8, 0.4]),
        ] {
            let mean = shards(clip, &gradients);
            for (a, b) in mean.iter().zip(expected) {
                assert!((a - b).abs() < 1e-5, "{clip:?}: {mean:?}, expected {expected:?}");
            }
        }
    }

    #[test]
    fn what_is_no_number_is_not_hidden() {
        for bad in [f32::NAN, f32::INFINITY] {
            let mean = shards(Some(1.0), &[[1.0, 2.0], [bad, 0.0]]);
            assert!(!mean[0].is_finite(), "{bad} gives {}", mean[0]);
        }
        assert_eq!(shards(Some(1.0), &[[0.0, 0.0], [0.0, 0.0]]), [0.0, 0.0]);
    }
}
