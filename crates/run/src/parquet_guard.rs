//! Reading Parquet bytes that may be malformed.

use parquet::errors::ParquetError;

/// Runs a Parquet decoder, which must not be used again after an error; where malformed bytes make it panic, that is an error like any
/// other.
pub(crate) fn guarded<T>(decode: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    headwater_store::guarded(decode, ParquetError::General)
}
