//! Memory that begins on a cache line, so that no vector load or tile row straddles two.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// A number that any bit pattern is a value of.
///
/// # Safety
/// The type has no padding, no invalid bit patterns and an alignment of at most 64.
pub unsafe trait Plain: Copy + Default + Send + Sync + 'static {}

// SAFETY: every bit pattern is a float.
unsafe impl Plain for f32 {}
// SAFETY: a transparent wrapper of u16.
unsafe impl Plain for half::bf16 {}
// SAFETY: every bit pattern is an integer.
unsafe impl Plain for i8 {}
// SAFETY: as above.
unsafe impl Plain for i16 {}
// SAFETY: as above.
unsafe impl Plain for u8 {}

/// Reads numbers as words of 32 bits, in the order of memory.
///
/// # Panics
/// If they do not begin and end on a word.
pub(crate) fn words<T: Plain>(numbers: &[T]) -> &[i32] {
    // SAFETY: numbers have no padding, and every bit pattern is an i32.
    let (before, words, after) = unsafe { numbers.align_to() };
    assert!(before.is_empty() && after.is_empty(), "numbers begin and end on a word");
    words
}

/// 64 bytes.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A growable slice of zero-initialised numbers that begins on a cache line.
#[derive(Clone)]
pub struct Buffer<T> {
    lines: Vec<Line>,
    len: usize,
    numbers: PhantomData<T>,
}

impl<T: Plain> Buffer<T> {
    /// `len` zeros.
    #[must_use]
    pub fn zeros(len: usize) -> Self {
        let mut buffer = Self::default();
        buffer.grow(len);
        buffer
    }

    /// Makes room for at least `len` numbers; new ones are zero.
    ///
    /// # Panics
    /// If they are more than memory could hold.
    pub fn grow(&mut self, len: usize) {
        if len > self.len {
            let bytes = len.checked_mul(size_of::<T>()).expect("a buffer fits into the address space");
            self.lines.resize(bytes.div_ceil(size_of::<Line>()), Line([0; 64]));
            self.len = len;
        }
    }
}

impl<T> Buffer<T> {
    /// No numbers.
    pub const EMPTY: Self = Self { lines: Vec::new(), len: 0, numbers: PhantomData };
}

impl<T> Default for Buffer<T> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<T> std::fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} × {})", self.len, std::any::type_name::<T>())
    }
}

impl<T: Plain> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `lines` holds at least `len` numbers, initialised, aligned for any `Plain`.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Plain> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_begins_on_a_line_and_keeps_what_it_holds_when_it_grows() {
        let mut buffer = Buffer::<f32>::zeros(17);
        buffer[16] = 3.0;
        buffer.grow(1000);
        buffer.grow(5);
        assert_eq!((buffer.len(), buffer[16], buffer[999]), (1000, 3.0, 0.0));
        assert!(buffer.as_ptr().addr().is_multiple_of(64));
    }
}
