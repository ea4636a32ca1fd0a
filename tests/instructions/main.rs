//! Fixed work of the request path, for a tool that counts instructions: `instructions PART TIMES`
//! does the part that often. `tests/lanes/callgrind.sh` runs it twice with different TIMES and takes
//! the difference, which leaves out all preparation.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a driver panics, and says why"
)]

use std::hint::black_box;

use common::tally::Tally;
use harness::path::{self, Path};

/// What can be counted.
const PARTS: [&str; 6] = ["stream", "coalesced", "whole", "compose", "record", "merge"];

fn main() {
    // cargo adds a flag of its own.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [part, times] => work(part, times.parse().expect("a number")),
        _ => println!("instructions PART TIMES, where PART is one of {}", PARTS.join(", ")),
    }
}

fn work(part: &str, times: u64) {
    let streamed = path::stream(100);
    let mut path = Path::new(part != "whole");
    // What is kept for the next request is there before anything is counted.
    path.go(&if part == "whole" { path::whole() } else { streamed.clone() });
    match part {
        "stream" => read(&mut path, times, &streamed),
        "coalesced" => read(&mut path, times, &[streamed.concat()]),
        "whole" => read(&mut path, times, &path::whole()),
        "compose" => (0..times).for_each(|_| assert!(black_box(path.compose()) > 0)),
        "record" => {
            let conclusion = path.read(&streamed);
            (0..times).for_each(|_| path.record(black_box(conclusion.clone())));
        }
        "merge" => {
            let mut total = Tally::default();
            (0..times).for_each(|_| total.merge(black_box(path.tally())));
            black_box(total);
        }
        _ => panic!("{part} is none of {}", PARTS.join(", ")),
    }
}

fn read(path: &mut Path, times: u64, answer: &[Vec<u8>]) {
    for _ in 0..times {
        let conclusion = path.read(black_box(answer));
        path.discard(black_box(conclusion));
    }
}
