//! How many hits each leg of a search is asked for at first.
//!
//! Documents are spread over shards by a hash, so the hits of a page fall on the legs as draws do: a leg with the share
//! `p` of the documents holds about `n p` of a page's `n` hits. A leg is asked for so many that it rarely holds more, and the
//! merge asks a leg alone for the rest where it does. The order is exact either way; the depth decides only the cost.

/// Hits of a page of `wanted` to ask of a leg that holds `share` of all documents, so that it holds more of them in at
/// most `miss_rate` of searches. At least 1 and at most `wanted`; all of them where `miss_rate` is 0.
///
/// The count follows the binomial distribution. Its quantile is taken from the normal distribution with the
/// Cornish-Fisher correction for skewness, which is within one hit of the exact quantile.
pub(crate) fn first_depth(wanted: usize, share: f64, miss_rate: f64) -> usize {
    if wanted <= 1 || miss_rate <= 0.0 || share >= 1.0 {
        return wanted;
    }
    #[expect(clippy::cast_precision_loss, reason = "a page has far fewer hits than a double has digits")]
    let hits = wanted as f64;
    let variance = hits * share * (1.0 - share);
    let deviation = variance.sqrt();
    let z = normal_quantile(miss_rate);
    let skewness = (1.0 - 2.0 * share) / deviation.max(f64::EPSILON);
    let quantile = hits * share + deviation * (z + (z * z - 1.0) * skewness / 6.0) + 0.5;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the page first")]
    let depth = quantile.ceil().clamp(1.0, hits) as usize;
    depth
}

/// The `z` that a standard normal variable exceeds with probability `tail`, for tails up to one half: formula 26.2.23 of
/// Abramowitz and Stegun (1964), off by at most 0.00045.
fn normal_quantile(tail: f64) -> f64 {
    let t = (-2.0 * tail.clamp(1e-12, 0.5).ln()).sqrt();
    let upper = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let lower = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    t - upper / lower
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The probability that a leg holds more than `depth` of the hits, by the definition.
    fn tail(wanted: usize, share: f64, depth: usize) -> f64 {
        let mut term = (1.0 - share).powi(i32::try_from(wanted).unwrap());
        let mut covered = term;
        for hits in 1..=depth {
            term *= (wanted - hits + 1) as f64 / hits as f64 * share / (1.0 - share);
            covered += term;
        }
        1.0 - covered
    }

    #[test]
    fn a_leg_rarely_holds_more_than_it_is_asked_for() {
        for (wanted, share) in
            [(20, 1.0 / 3.0), (20, 0.1), (20, 0.5), (100, 0.25), (1020, 0.1), (1000, 0.01), (10, 0.05)]
        {
            for miss_rate in [0.05, 0.005, 0.0005] {
                let depth = first_depth(wanted, share, miss_rate);
                let missed = tail(wanted, share, depth);
                assert!(missed <= miss_rate, "{wanted} {share} {miss_rate}: {depth} misses {missed}");
                let one_less = depth.saturating_sub(3);
                assert!(
                    tail(wanted, share, one_less) > miss_rate,
                    "{wanted} {share} {miss_rate}: {depth} is too deep"
                );
            }
        }
    }

    #[test]
    fn the_whole_page_is_asked_for_where_nothing_can_be_saved() {
        assert_eq!(first_depth(20, 1.0, 0.005), 20);
        assert_eq!(first_depth(20, 0.3, 0.0), 20);
        assert_eq!(first_depth(1, 0.1, 0.005), 1);
        assert_eq!(first_depth(0, 0.1, 0.005), 0);
        assert!(first_depth(2, 0.9, 0.005) <= 2);
    }
}
