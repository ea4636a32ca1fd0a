//! The measured curve of rate against load, and what it proves about where 95 % of the highest
//! rate is reached.
//!
//! One assumption is made of a server: its rate rises up to some load and falls beyond it, however
//! steeply. Rates that contradict it only by noise are taken together (isotonic regression up to
//! the peak, antitonic beyond: Barlow and others 1972), which gives the highest rate the evidence
//! of all levels of a plateau instead of the luck of the best one.

use std::ops::Range;

use super::table::Point;

/// Part of the highest rate at which a server counts as saturated.
pub(super) const PART: f64 = 0.95;
/// Standard errors beyond which an end of a bracket is proven: one look errs once in 14,000, because
/// a search looks at many loads, and again after every level.
pub(super) const Z_PROOF: f64 = 3.8;
/// The same for a load with fewer runs than a proof takes.
const Z_FAR: f64 = 6.0;
/// Standard errors of the one-sided 95 % that the answer itself asks for.
const Z_ANSWER: f64 = 1.645;

/// Runs of a load without which nothing is proven of it (the method, section 3.13).
pub(super) const RUNS_MIN: u32 = 3;

/// The curve.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    points: Vec<Point>,
    blocks: Vec<Block>,
    /// Index of the block with the highest rate.
    top: usize,
}

/// Neighbouring points taken together.
#[derive(Clone, Debug)]
struct Block {
    members: Range<usize>,
    ln_rate: f64,
    weight: f64,
}

/// Points that one point is compared with.
struct Rival {
    members: Range<usize>,
    /// By how much the comparison proves that the point reaches 95 % of theirs; negative if it
    /// does not.
    spare: f64,
}

impl Curve {
    /// `None` without a point. `points` are ascending in load.
    pub(super) fn of(points: Vec<Point>) -> Option<Self> {
        let fits = (0..points.len()).map(|split| {
            let (rise, fall) = points.split_at(split + 1);
            let mut blocks = monotone(rise, 0, 1.0);
            blocks.extend(monotone(fall, split + 1, -1.0));
            (misfit(&points, &blocks), blocks)
        });
        let (_, blocks) = fits.min_by(|a, b| a.0.total_cmp(&b.0))?;
        // The peak is the last block that rises or the first that falls.
        let rate = |index: &usize| blocks.get(*index).map_or(f64::NEG_INFINITY, |b| b.ln_rate);
        let top = (0..blocks.len()).max_by(|a, b| rate(a).total_cmp(&rate(b)))?;
        Some(Self { points, blocks, top })
    }

    /// The points.
    pub(super) fn points(&self) -> &[Point] {
        &self.points
    }

    /// The highest load.
    pub(super) fn end(&self) -> u32 {
        self.points.last().map_or(0, |point| point.load)
    }

    /// The highest rate: its logarithm and the variance of that.
    pub(super) fn top(&self) -> (f64, f64) {
        self.blocks.get(self.top).map_or((0.0, 1.0), |block| (block.ln_rate, 1.0 / block.weight))
    }

    /// The points of the highest rate.
    pub(super) fn top_points(&self) -> &[Point] {
        let members = self.blocks.get(self.top).map_or(0..0, |block| block.members.clone());
        self.points.get(members).unwrap_or_default()
    }

    /// How far the rate at `load` lies above 95 % of the highest, as a difference of logarithms;
    /// between levels the rate is taken as linear in the load.
    pub(super) fn margin(&self, load: f64) -> f64 {
        let fitted = self.fitted();
        let right = fitted.iter().position(|(at, _)| *at >= load).unwrap_or(fitted.len());
        let left = right.checked_sub(1).and_then(|left| fitted.get(left));
        let ln_rate = match (left, fitted.get(right)) {
            (Some((a, x)), Some((b, y))) => {
                (x.exp() + (y.exp() - x.exp()) * (load - a) / (b - a)).ln()
            }
            (Some((_, x)), None) | (None, Some((_, x))) => *x,
            (None, None) => 0.0,
        };
        ln_rate - self.top().0 - PART.ln()
    }

    /// The smallest load at which the fitted rate is 95 % of the highest.
    pub(super) fn crossing(&self) -> f64 {
        let limit = self.top().0 + PART.ln();
        let mut below: Option<(f64, f64)> = None;
        for (load, ln_rate) in self.fitted() {
            if ln_rate >= limit {
                let Some((at, rate)) = below else { return load };
                let part = (limit.exp() - rate.exp()) / (ln_rate.exp() - rate.exp());
                return at + (load - at) * part.clamp(0.0, 1.0);
            }
            below = Some((load, ln_rate));
        }
        f64::from(self.end())
    }

    /// The highest load below the peak whose rate is proven to be less than 95 % of the highest;
    /// one with enough runs if there is any, or else one far below.
    pub(super) fn proven_below(&self) -> Option<u32> {
        let proven = |runs: u32, z: f64| {
            let mut points = self.points.iter().enumerate();
            points.rfind(|(index, point)| point.runs >= runs && self.is_below(*index, z))
        };
        proven(RUNS_MIN, Z_PROOF).or_else(|| proven(1, Z_FAR)).map(|(_, point)| point.load)
    }

    fn is_below(&self, index: usize, z: f64) -> bool {
        // Lower loads that were faster speak for this one too: the rate rises up to the peak.
        let after = index + 1..self.points.len();
        let own = self.blocks.iter().find(|block| block.members.contains(&index));
        let Some((own, own_variance)) = own.and_then(|block| block.without(&self.points, after))
        else {
            return false;
        };
        self.blocks.iter().any(|block| {
            let later = block.without(&self.points, 0..index + 1);
            later.is_some_and(|(mean, variance)| {
                mean - own + PART.ln() >= z * (variance + own_variance).sqrt()
            })
        })
    }

    /// The smallest load proven to reach 95 % of the highest rate.
    pub(super) fn proven_above(&self) -> Option<u32> {
        self.reaching(Z_PROOF)
    }

    /// The smallest load that reaches 95 % of the highest rate with a probability of 95 %.
    pub(super) fn answer(&self) -> Option<u32> {
        self.reaching(Z_ANSWER)
    }

    /// The points whose comparison stands most in the way of proving that `load` reaches 95 %.
    pub(super) fn rival(&self, load: u32) -> &[Point] {
        let point = self.points.iter().enumerate().find(|(_, point)| point.load == load);
        let Some((index, point)) = point else { return self.top_points() };
        let rivals = self.rivals(index, point, Z_PROOF);
        let weakest = rivals.into_iter().min_by(|a, b| a.spare.total_cmp(&b.spare));
        let members = weakest.map_or(0..0, |rival| rival.members);
        self.points.get(members).unwrap_or_default()
    }

    fn reaching(&self, z: f64) -> Option<u32> {
        let reaches = |(index, point): &(usize, &Point)| {
            point.runs >= RUNS_MIN
                && self.rivals(*index, point, z).iter().all(|rival| rival.spare >= 0.0)
        };
        let mut points = self.points.iter().enumerate();
        points.find(reaches).map(|(_, point)| point.load)
    }

    /// How a point compares with each block of the others. The fastest of those is what the highest
    /// rate is; a slower one can only be it by its uncertainty, which `Z_ANSWER` rules out well
    /// enough.
    fn rivals(&self, index: usize, point: &Point, z: f64) -> Vec<Rival> {
        let own = index..index + 1;
        let others: Vec<(Range<usize>, f64, f64)> = self
            .blocks
            .iter()
            .filter_map(|block| {
                let (mean, variance) = block.without(&self.points, own.clone())?;
                Some((block.members.clone(), mean, variance))
            })
            .collect();
        let best = others.iter().map(|(_, mean, _)| *mean).fold(f64::NEG_INFINITY, f64::max);
        let compare = |(members, mean, variance): (Range<usize>, f64, f64)| {
            let z = if mean < best { z.min(Z_ANSWER) } else { z };
            let se = (variance + point.variance).sqrt();
            Rival { members, spare: point.ln_rate - mean - PART.ln() - z * se }
        };
        others.into_iter().map(compare).collect()
    }

    /// Loads with the rates of their blocks.
    fn fitted(&self) -> Vec<(f64, f64)> {
        let of = |block: &Block| {
            let ln_rate = block.ln_rate;
            let members = self.points.get(block.members.clone()).unwrap_or_default();
            members.iter().map(move |point| (f64::from(point.load), ln_rate)).collect::<Vec<_>>()
        };
        self.blocks.iter().flat_map(of).collect()
    }
}

impl Block {
    fn of(index: usize, point: &Point) -> Self {
        Self { members: index..index + 1, ln_rate: point.ln_rate, weight: 1.0 / point.variance }
    }

    fn merge(&self, right: &Self) -> Self {
        let weight = self.weight + right.weight;
        let ln_rate = (self.ln_rate * self.weight + right.ln_rate * right.weight) / weight;
        Self { members: self.members.start..right.members.end, ln_rate, weight }
    }

    /// Mean and variance of the block's points outside `left_out`; `None` if none remains.
    fn without(&self, points: &[Point], left_out: Range<usize>) -> Option<(f64, f64)> {
        let mut weight = 0.0;
        let mut sum = 0.0;
        for index in self.members.clone().filter(|index| !left_out.contains(index)) {
            let point = points.get(index)?;
            weight += 1.0 / point.variance;
            sum += point.ln_rate / point.variance;
        }
        (weight > 0.0).then(|| (sum / weight, 1.0 / weight))
    }
}

/// Pools neighbours that run against `direction` (1 rising, −1 falling).
fn monotone(points: &[Point], first: usize, direction: f64) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::with_capacity(points.len());
    for (index, point) in (first..).zip(points) {
        let mut block = Block::of(index, point);
        while let Some(last) =
            blocks.pop_if(|last| direction * (block.ln_rate - last.ln_rate) <= 0.0)
        {
            block = last.merge(&block);
        }
        blocks.push(block);
    }
    blocks
}

fn misfit(points: &[Point], blocks: &[Block]) -> f64 {
    let off = |block: &Block| {
        let members = points.get(block.members.clone()).unwrap_or_default();
        let off = |point: &Point| (point.ln_rate - block.ln_rate).powi(2) / point.variance;
        members.iter().map(off).sum::<f64>()
    };
    blocks.iter().map(off).sum()
}
