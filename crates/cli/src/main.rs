//! The treering command line.

fn main() {}
