//! How many pods a rate needs: a model from measured constants, and the error of the model.
//!
//! The model: a core is busy for a fixed share of its time plus a fixed time per search. Both are fitted to two rates
//! and verified at a third, on one core and on two. Invariant: nothing is pinned, because two gateway cores leave none
//! for the load; so rates stay well below the machine's capacity.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;

use super::cases::{Case, scale};
use super::report::Spread;
use super::{Options, measure};
use crate::compare::processes::Fleet;

/// Searches a second for which pods are counted.
const RATE_WANTED: f64 = 100_000.0;
/// The planned share of a core's time; the rest is for bursts and for failed pods.
const BUSY_WANTED: f64 = 0.7;
const CORES_OF_A_POD: [f64; 3] = [2.0, 4.0, 8.0];
/// The rates to which the model is fitted, and the one at which it is verified, as fractions of one core's peak.
const RATES_FITTED: [f64; 2] = [0.15, 0.3];
const RATE_TRIED: f64 = 0.45;

/// Core time: seconds per second, and seconds per search.
#[derive(Clone, Copy)]
struct Model {
    fixed: f64,
    per_search: f64,
}

impl Model {
    fn fit([(rate, busy), (other_rate, other_busy)]: [(f64, f64); 2]) -> Self {
        let per_search = (other_busy - busy) / (other_rate - rate);
        Self { fixed: busy - per_search * rate, per_search }
    }

    fn busy(self, rate: f64) -> f64 {
        self.fixed + self.per_search * rate
    }

    /// Searches a second of one core that is busy for this share of its time.
    fn rate(self, busy: f64) -> f64 {
        (busy - self.fixed) / self.per_search
    }
}

/// Measures, fits, verifies and prints. Fails when something cannot be started, or a request fails.
pub fn run(options: &Options, output: &mut dyn Write) -> anyhow::Result<()> {
    let gateway: PathBuf = options.gateway.clone().context("scaling needs the gateway")?;
    let (one, two) = (scale(1), scale(2));
    let fleets = [Fleet::of_gateway(&one, options, &gateway)?, Fleet::of_gateway(&two, options, &gateway)?];
    let peer = |side: usize| fleets[side].peers.first().context("no gateway");
    let peak = measure::window(peer(0)?, &one, options, None)?.requests_per_second;
    let busy = |side: usize, case: &Case, part: f64| -> anyhow::Result<f64> {
        let windows = (0..options.rounds)
            .map(|_| Ok(measure::window(peer(side)?, case, options, Some(peak * part))?.busy))
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Spread::of(windows.into_iter()).median)
    };
    let mut fitted = [(0.0, 0.0); 2];
    for (point, part) in fitted.iter_mut().zip(RATES_FITTED) {
        *point = (peak * part, busy(0, &one, part)?);
    }
    let model = Model::fit(fitted);
    let tried = peak * RATE_TRIED;
    let expected = model.busy(tried);
    let (found_one, found_two) = (busy(0, &one, RATE_TRIED)?, busy(1, &two, RATE_TRIED)?);
    writeln!(output, "one core, closed loop: {peak:.0} searches/s")?;
    writeln!(
        output,
        "model: {:.2} % of a core, and {:.1} us a search",
        model.fixed * 100.0,
        model.per_search * 1e6
    )?;
    writeln!(output, "at {tried:.0} searches/s: {expected:.3} cores expected")?;
    for (name, found) in [("one core", found_one), ("two cores", found_two)] {
        writeln!(output, "  {name:10} {found:.3} found, {:+.1} %", (found / expected - 1.0) * 100.0)?;
    }
    let per_core = model.rate(BUSY_WANTED) * expected / found_two.max(expected);
    writeln!(
        output,
        "{RATE_WANTED:.0} searches/s, cores {:.0} % busy: {:.1} cores of this kind",
        BUSY_WANTED * 100.0,
        RATE_WANTED / per_core
    )?;
    for cores in CORES_OF_A_POD {
        let pods = (RATE_WANTED / (per_core * cores)).ceil();
        writeln!(output, "  {pods:3.0} pods of {cores:.0} cores, and one more that may fail")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_through_two_points_gives_the_third() {
        let model = Model::fit([(1000.0, 0.11), (2000.0, 0.21)]);
        assert!((model.fixed - 0.01).abs() < 1e-9 && (model.per_search - 1e-4).abs() < 1e-12);
        assert!((model.busy(3000.0) - 0.31).abs() < 1e-9);
        assert!((model.rate(0.31) - 3000.0).abs() < 1e-6);
    }
}
