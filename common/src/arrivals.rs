//! When a user intends to send its next request.

use crate::time::Tick;

/// The law by which a level's users intend their requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arrivals {
    /// Closed loop: a user intends its next request at the instant its last one ended.
    Closed,
}

impl Arrivals {
    /// The intended instant of a user's next request.
    ///
    /// `fire` is the instant at which the level begins, `free` the one at which the user's previous
    /// request ended (`None` before its first).
    pub fn intended(self, fire: Tick, free: Option<Tick>) -> Tick {
        match self {
            Self::Closed => free.map_or(fire, |free| free.max(fire)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_loop_sends_when_its_user_is_free_and_never_before_fire() {
        assert_eq!(Arrivals::Closed.intended(Tick(10), None), Tick(10));
        assert_eq!(Arrivals::Closed.intended(Tick(10), Some(Tick(4))), Tick(10));
        assert_eq!(Arrivals::Closed.intended(Tick(10), Some(Tick(14))), Tick(14));
    }
}
