//! One seed per campaign; every random choice is a function of it and of what is being chosen.

use crate::ids::UserId;
use crate::phase::Phase;

/// The seed of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seed(pub u64);

impl Seed {
    /// The seed of a repeat of a campaign's levels: its own for the first, and another for every
    /// further one, so that a cache of prompts that was not emptied has not seen its requests.
    pub fn of_repeat(self, repeat: u32) -> Self {
        match repeat {
            0 => self,
            repeat => Self(mix(self.0 ^ mix(repeat.into()))),
        }
    }

    /// The generator for one request.
    ///
    /// It depends on the phase, the level's place in its phase, the *global* number of the user
    /// and the number of the request within that user, never on the agent: one agent or twenty
    /// send the same set of requests.
    pub fn request(self, phase: Phase, level: u32, user: UserId, request: u64) -> Generator {
        let mut state = mix(self.0 ^ 0x666c_6f6f_646d_6172);
        for part in [phase.number().into(), level.into(), user.0.into(), request] {
            state = mix(state.wrapping_add(mix(part)));
        }
        Generator { state }
    }

    /// The generator for what kind of request one is, of a level that has several; apart from that
    /// of [`Seed::request`], so that a request's content does not depend on there being others.
    pub fn choice(self, phase: Phase, level: u32, user: UserId, request: u64) -> Generator {
        let mut generator = self.request(phase, level, user, request);
        Generator { state: generator.next_u64() ^ 0x6d69_785f_6f66_5f69 }
    }

    /// The generator for the images of one request.
    pub fn images(self, phase: Phase, level: u32, user: UserId, request: u64) -> Generator {
        let mut generator = self.request(phase, level, user, request);
        Generator { state: generator.next_u64() ^ 0x7069_6374_7572_6573 }
    }

    /// The generator for what the images of a level are made of.
    pub fn picture_parts(self, phase: Phase, level: u32) -> Generator {
        self.images(phase, level, UserId(u32::MAX), u64::MAX)
    }

    /// The generator for the arrivals of a level in open loop.
    pub fn arrivals(self, phase: Phase, level: u32) -> Generator {
        let mut generator = self.request(phase, level, UserId(u32::MAX), u64::MAX);
        Generator { state: generator.next_u64() ^ 0x6172_7269_7661_6c73 }
    }
}

/// A small deterministic generator (SplitMix64, Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub struct Generator {
    state: u64,
}

impl Generator {
    /// A generator that starts at `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        finish(self.state)
    }

    /// A number in [0, 1) with 53 random bits.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A standard normal number (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// An exponential number of mean 1.
    pub fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// A gamma number of this shape, above 0, and scale 1 (Marsaglia and Tsang 2000).
    pub fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let boost = (1.0 - self.unit()).powf(1.0 / shape);
            return self.gamma(shape + 1.0) * boost;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let z = self.normal();
            let v = (1.0 + c * z).powi(3);
            if v > 0.0 && (1.0 - self.unit()).ln() < 0.5 * z * z + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(value: u64) -> u64 {
    finish(value.wrapping_add(GOLDEN))
}

fn finish(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_request_has_a_generator_of_its_own() {
        let mut seen = BTreeSet::new();
        for phase in Phase::ALL {
            for level in 0..4 {
                for user in 0..20 {
                    for request in 0..20 {
                        let mut generator = Seed(42).request(phase, level, UserId(user), request);
                        assert!(seen.insert(generator.next_u64()));
                    }
                }
            }
        }
    }

    #[test]
    fn known_values_stay() {
        let mut generator = Generator::new(0);
        assert_eq!(generator.next_u64(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(generator.next_u64(), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn unit_and_normal_have_their_moments() {
        let mut generator = Generator::new(7);
        let n = 20_000;
        let unit: f64 = (0..n).map(|_| generator.unit()).sum::<f64>() / f64::from(n);
        assert!((unit - 0.5).abs() < 0.01, "{unit}");
        let normals: Vec<f64> = (0..n).map(|_| generator.normal()).collect();
        let mean = normals.iter().sum::<f64>() / f64::from(n);
        let var = normals.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.03 && (var - 1.0).abs() < 0.05, "{mean} {var}");
    }
}
