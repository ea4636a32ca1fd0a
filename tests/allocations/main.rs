//! How often the path of a request goes to the allocator once its buffers have their size.
//!
//! The allocator of this test counts, for each thread on its own. What a worker does beside (the
//! socket, timers, reports) is not here.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests panic, and say why")]

use allocation_counter::measure;
use harness::path::{self, Path};

/// Requests of one measurement.
const REQUESTS: u64 = 100;

/// Allocations of so many requests, step by step.
#[derive(Debug, Default, PartialEq, Eq)]
struct Allocations {
    compose: u64,
    read: u64,
    record: u64,
}

/// What one request may allocate: in reading, the type of the content in lower case.
const ALLOWED: Allocations = Allocations { compose: 0, read: 1, record: 0 };

impl Allocations {
    /// After the first two requests, which give buffers their size.
    fn of(stream: bool, answer: &[Vec<u8>]) -> Self {
        let mut path = Path::new(stream);
        path.go(answer);
        path.go(answer);
        let mut allocations = Self::default();
        for _ in 0..REQUESTS {
            let mut conclusion = None;
            let compose = measure(|| assert!(path.compose() > 0));
            let read = measure(|| conclusion = Some(path.read(answer)));
            let record = measure(|| path.record(conclusion.unwrap()));
            allocations.compose += compose.count_total;
            allocations.read += read.count_total;
            allocations.record += record.count_total;
        }
        assert_eq!(path.tally().counts.succeeded, REQUESTS + 2);
        allocations
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(measure(|| drop(std::hint::black_box(vec![1]))).count_total, 1);
}

#[test]
fn a_chunk_allocates_nothing() {
    let (short, long) = (path::stream(10), path::stream(500));
    assert_eq!(Allocations::of(true, &short), Allocations::of(true, &long), "490 more chunks");
}

#[test]
fn a_request_allocates_no_more_than_is_allowed_wherever_its_reads_end() {
    let streamed = path::stream(100);
    let at_once = vec![streamed.concat()];
    let torn: Vec<Vec<u8>> = streamed.concat().chunks(97).map(<[u8]>::to_vec).collect();
    for (name, stream, answer) in [
        ("a chunk in each read", true, streamed),
        ("all chunks in one read", true, at_once),
        ("reads that tear chunks", true, torn),
        ("a whole answer", false, path::whole()),
    ] {
        let found = Allocations::of(stream, &answer);
        let each = [
            (found.compose, ALLOWED.compose),
            (found.read, ALLOWED.read),
            (found.record, ALLOWED.record),
        ];
        let within = each.iter().all(|(found, allowed)| *found <= allowed * REQUESTS);
        assert!(within, "{name}: {found:?} in {REQUESTS} requests");
    }
}
