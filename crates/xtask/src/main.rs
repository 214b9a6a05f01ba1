//! Development tasks: generated files, tidy checks, benchmarks.
fn main() {}
