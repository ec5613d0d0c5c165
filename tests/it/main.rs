//! Integration tests.
// `cfg(test)` is always true here; it tells the lints that helpers beside `#[test]` functions are tests too.
#[cfg(test)]
mod emulator;
