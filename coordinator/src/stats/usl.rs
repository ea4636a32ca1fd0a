//! The universal scalability law (Gunther 1993; *Guerrilla Capacity Planning*, 2007), fitted to
//! measured rates: what a server does with N requests in flight,
//! `X(N) = λN / (1 + σ(N − 1) + κN(N − 1))`. λ is the rate of one, σ what must be done one after
//! another, κ what every pair costs. It guides a search (the method, section 3.13); it never
//! replaces a measurement.

use super::ratio;

/// How far beyond the highest measured load a peak is believed, as a factor.
const REACH: f64 = 1.5;

/// A rate measured at a load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UslPoint {
    /// Mean requests in flight, as achieved.
    pub in_flight: f64,
    /// Throughput.
    pub rate: f64,
    /// Variance of the throughput.
    pub variance: f64,
}

/// A fitted law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usl {
    /// Rate of one request in flight.
    pub lambda: f64,
    /// Contention, at least 0.
    pub sigma: f64,
    /// Coherency, at least 0.
    pub kappa: f64,
    /// The highest load of the points.
    pub measured_up_to: f64,
}

/// Where a law peaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// The load, `√((1 − σ) / κ)`.
    pub in_flight: f64,
    /// The rate there.
    pub rate: f64,
}

impl Usl {
    /// Fits the law by least squares, each point weighted by one over its variance, with σ and κ
    /// at least 0. `None` for fewer than three points that can be used, or where none of them
    /// shows a positive λ.
    ///
    /// `N / X` is linear in `1/λ`, `σ/λ` and `κ/λ`, so the fit is exact: no iteration, no start
    /// values. The variance of a rate becomes that of its reciprocal by the delta method.
    pub fn fit(points: &[UslPoint]) -> Option<Self> {
        let rows: Vec<Row> = points.iter().filter_map(Row::of).collect();
        if rows.len() < 3 {
            return None;
        }
        // The least squares under sign constraints lie on one of the faces of the orthant.
        let faces = [[true, true], [true, false], [false, true], [false, false]];
        let fits = faces.into_iter().filter_map(|[sigma, kappa]| {
            let fit = solve(&rows, [true, sigma, kappa])?;
            let [one, pair, all] = fit;
            (one > 0.0 && pair >= 0.0 && all >= 0.0).then_some((misfit(&rows, fit), fit))
        });
        let (_, [one, contention, coherency]) = fits.min_by(|a, b| a.0.total_cmp(&b.0))?;
        Some(Self {
            lambda: ratio(1.0, one)?,
            sigma: ratio(contention, one)?,
            kappa: ratio(coherency, one)?,
            measured_up_to: points.iter().map(|point| point.in_flight).fold(0.0, f64::max),
        })
    }

    /// The rate at a load.
    pub fn rate(&self, in_flight: f64) -> f64 {
        let others = in_flight - 1.0;
        self.lambda * in_flight / (1.0 + self.sigma * others + self.kappa * in_flight * others)
    }

    /// Where the rate is highest; `None` if the law has no peak, or one so far beyond the measured
    /// loads that nothing was seen of it.
    pub fn peak(&self) -> Option<Peak> {
        let in_flight = ratio(1.0 - self.sigma, self.kappa).filter(|square| *square >= 1.0)?.sqrt();
        (in_flight <= REACH * self.measured_up_to)
            .then(|| Peak { in_flight, rate: self.rate(in_flight) })
    }
}

/// A point as the linear problem has it.
struct Row {
    /// What 1/λ, σ/λ and κ/λ are multiplied with.
    factors: [f64; 3],
    /// `N / X`.
    value: f64,
    weight: f64,
}

impl Row {
    fn of(point: &UslPoint) -> Option<Self> {
        let UslPoint { in_flight: n, rate, variance } = *point;
        let usable = n > 0.0 && rate > 0.0 && variance > 0.0;
        let value = ratio(n, rate).filter(|_| usable)?;
        let weight =
            ratio(rate.powi(2), value.powi(2) * variance).filter(|weight| *weight > 0.0)?;
        Some(Self { factors: [1.0, n - 1.0, n * (n - 1.0)], value, weight })
    }
}

/// The weighted least squares of the coefficients in use, the others 0; `None` if the points do
/// not determine them.
fn solve(rows: &[Row], used: [bool; 3]) -> Option<[f64; 3]> {
    let [x, y, z] = [0, 1, 2].map(|column| Column::of(rows, column));
    let right = Column { values: rows.iter().map(|row| row.value).collect(), scale: 1.0 };
    let weights: Vec<f64> = rows.iter().map(|row| row.weight).collect();
    // A coefficient not in use has the equation "1 times it is 0".
    let line = |own: &Column, place: usize, used: bool| {
        let unit = |column| if column == place { 1.0 } else { 0.0 };
        let products = [&x, &y, &z, &right].map(|other| own.product(other, &weights));
        if used { products } else { [unit(0), unit(1), unit(2), 0.0] }
    };
    let [first, second, third] = used;
    let lines = [line(&x, 0, first), line(&y, 1, second), line(&z, 2, third)];
    let [a, b, c] = cramer(&lines)?;
    let keep =
        |value: f64, column: &Column, used: bool| if used { value / column.scale } else { 0.0 };
    Some([keep(a, &x, first), keep(b, &y, second), keep(c, &z, third)])
}

/// A column of the linear problem, scaled to at most 1: columns differ by many orders of
/// magnitude, and scaled, the normal equations stay well conditioned.
struct Column {
    values: Vec<f64>,
    scale: f64,
}

impl Column {
    fn of(rows: &[Row], column: usize) -> Self {
        let values = rows.iter().filter_map(|row| row.factors.get(column).copied());
        let scale = values.clone().map(f64::abs).fold(f64::MIN_POSITIVE, f64::max);
        Self { values: values.map(|value| value / scale).collect(), scale }
    }

    fn product(&self, other: &Self, weights: &[f64]) -> f64 {
        let pairs = self.values.iter().zip(&other.values).zip(weights);
        pairs.map(|((own, other), weight)| own * other * weight).sum()
    }
}

/// Three linear equations, each with its right side last, by Cramer's rule.
fn cramer(lines: &[[f64; 4]; 3]) -> Option<[f64; 3]> {
    let [x, y, z, right] = [0, 1, 2, 3]
        .map(|column| lines.each_ref().map(|line| line.get(column).copied().unwrap_or_default()));
    let whole = determinant(x, y, z);
    Some([
        ratio(determinant(right, y, z), whole)?,
        ratio(determinant(x, right, z), whole)?,
        ratio(determinant(x, y, right), whole)?,
    ])
}

fn determinant(x: [f64; 3], [a, b, c]: [f64; 3], [d, e, f]: [f64; 3]) -> f64 {
    let [first, second, third] = x;
    first * (b * f - c * e) + second * (c * d - a * f) + third * (a * e - b * d)
}

fn misfit(rows: &[Row], fit: [f64; 3]) -> f64 {
    let off = |row: &Row| {
        let fitted: f64 = row.factors.iter().zip(fit).map(|(factor, part)| factor * part).sum();
        row.weight * (row.value - fitted).powi(2)
    };
    rows.iter().map(off).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(in_flight: f64, rate: f64) -> UslPoint {
        UslPoint { in_flight, rate, variance: (0.01 * rate).powi(2) }
    }

    #[test]
    fn the_vector_of_the_method() {
        let cases = crate::paper_cases();
        let vector = &cases["method_vectors"]["usl"];
        let number = |value: &serde_json::Value| value.as_f64().unwrap();
        let points = vector["points"].as_array().unwrap();
        let points: Vec<_> = points.iter().map(|p| point(number(&p[0]), number(&p[1]))).collect();
        let fit = Usl::fit(&points).unwrap();
        let peak = fit.peak().unwrap();
        assert!((peak.in_flight - number(&vector["expected_n_star"])).abs() < 0.01, "{peak:?}");
        assert!((peak.rate - number(&vector["expected_x_star"])).abs() < 0.01, "{peak:?}");
        assert!((fit.lambda - 25.0).abs() < 1e-3, "{fit:?}");
        assert!((fit.sigma - 0.02).abs() < 1e-5 && (fit.kappa - 1e-5).abs() < 1e-8, "{fit:?}");
    }

    #[test]
    fn a_peak_far_beyond_the_measured_loads_was_not_seen() {
        let law = Usl { lambda: 25.0, sigma: 0.02, kappa: 1e-5, measured_up_to: 0.0 };
        let fit = |loads: &[f64]| {
            let points: Vec<_> = loads.iter().map(|n| point(*n, law.rate(*n))).collect();
            Usl::fit(&points).unwrap()
        };
        assert!(fit(&[1.0, 10.0, 100.0, 200.0]).peak().is_none());
        assert!(fit(&[1.0, 10.0, 100.0, 210.0]).peak().is_some());
    }

    #[test]
    fn what_only_rises_has_neither_contention_nor_a_peak() {
        // Faster than linear: unconstrained, σ would be negative.
        let points = [1.0, 2.0, 4.0, 8.0].map(|n: f64| point(n, 10.0 * n.powf(1.1)));
        let fit = Usl::fit(&points).unwrap();
        assert_eq!((fit.sigma, fit.kappa, fit.peak()), (0.0, 0.0, None));
    }

    #[test]
    fn a_precise_point_outweighs_a_vague_one() {
        let vague = UslPoint { in_flight: 4.0, rate: 80.0, variance: 1e6 };
        let points = [point(1.0, 10.0), point(2.0, 20.0), point(4.0, 40.0), vague];
        assert!((Usl::fit(&points).unwrap().rate(4.0) - 40.0).abs() < 0.1);
    }

    proptest! {
        #[test]
        fn a_fit_finds_the_law_that_made_the_points(
            lambda in 0.1..1e3, sigma in 0.0..0.5, kappa in 0.0..1e-3,
        ) {
            let law = Usl { lambda, sigma, kappa, measured_up_to: 512.0 };
            let loads = (0..10).map(|power| f64::from(1 << power));
            let points: Vec<_> = loads.map(|n| point(n, law.rate(n))).collect();
            let fit = Usl::fit(&points).unwrap();
            for n in [1.0, 30.0, 512.0] {
                prop_assert!((fit.rate(n) / law.rate(n) - 1.0).abs() < 1e-6);
            }
        }

        #[test]
        fn a_fit_is_finite_whatever_the_points(
            points in prop::collection::vec((any::<f64>(), any::<f64>(), any::<f64>()), 0..9),
        ) {
            let points: Vec<_> = points
                .into_iter()
                .map(|(in_flight, rate, variance)| UslPoint { in_flight, rate, variance })
                .collect();
            if let Some(fit) = Usl::fit(&points) {
                prop_assert!(fit.lambda.is_finite() && fit.sigma >= 0.0 && fit.kappa >= 0.0);
            }
        }
    }
}
