//! The `chatapi` program.
fn main() {}
