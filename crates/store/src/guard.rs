//! Decoders that panic on malformed bytes.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a decoder; where malformed bytes make it panic, that is an error like any other, which `panicked` makes of a description.
///
/// The decoder must not be used again after an error.
///
/// # Errors
/// Those of `decode`, and that of `panicked`.
pub fn guarded<T, E>(decode: impl FnOnce() -> Result<T, E>, panicked: impl FnOnce(String) -> E) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(panicked("malformed bytes stopped the decoder".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error() {
        let empty: &[u8] = &[];
        assert_eq!(guarded(|| Ok(empty[0]), |what| what), Err("malformed bytes stopped the decoder".to_owned()));
        assert_eq!(guarded(|| Ok::<_, String>(7), |what| what), Ok(7));
    }
}
