//! Project tasks: `cargo xtask ci | test | bench | tidy`.

fn main() {}
