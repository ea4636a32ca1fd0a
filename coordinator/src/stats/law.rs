//! Arithmetic between rates, latencies and requests in flight.

/// Little's law: the mean number in flight is the rate at which requests end times how long each
/// is in flight. With a quantile of the latency in place of its mean it is an upper bound.
pub fn in_flight(requests_per_s: f64, latency_s: f64) -> f64 {
    requests_per_s * latency_s
}

/// `part / whole`; `None` where it is not a finite number.
pub fn ratio(part: f64, whole: f64) -> Option<f64> {
    Some(part / whole).filter(|quotient| quotient.is_finite())
}
