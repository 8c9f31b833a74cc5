//! Matrices in memory of their owners.

/// A matrix to read: rows of float32 at a fixed distance, or the transpose of such rows.
///
/// The number at row i and column j lies at i · `row_step` + j · `column_step`, which is within `values` for all of them.
#[derive(Clone, Copy, Debug)]
pub struct MatrixView<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// Numbers from one row to the next.
    row_step: usize,
    /// Numbers from one column to the next.
    column_step: usize,
}

impl<'a> MatrixView<'a> {
    /// Takes `rows` rows of `columns` numbers, one after the other.
    ///
    /// # Panics
    /// If `values` is too short.
    #[must_use]
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::with_stride(values, rows, columns, columns)
    }

    /// Takes `rows` rows of `columns` numbers, `stride` apart.
    ///
    /// # Panics
    /// If `values` is too short, or `stride` shorter than a row.
    #[must_use]
    pub fn with_stride(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        let row_step = checked_step(values.len(), rows, columns, stride);
        Self { values, rows, columns, row_step, column_step: 1 }
    }

    /// Returns the transpose, which lies in the same memory.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            values: self.values,
            rows: self.columns,
            columns: self.rows,
            row_step: self.column_step,
            column_step: self.row_step,
        }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Where the first number lies.
    pub(super) fn as_ptr(&self) -> *const f32 {
        self.values.as_ptr()
    }

    /// The memory from the first number on.
    pub(super) fn values(&self) -> &'a [f32] {
        self.values
    }

    /// Numbers from one row to the next, and from one column to the next.
    pub(super) fn steps(&self) -> [isize; 2] {
        [self.row_step.cast_signed(), self.column_step.cast_signed()]
    }

    /// The `count` columns from `first` on.
    pub(super) fn column_range(self, first: usize, count: usize) -> Self {
        assert!(first + count <= self.columns, "the matrix has these columns");
        let from = self.values.len().min(first * self.column_step);
        Self { values: &self.values[from..], columns: count, ..self }
    }

    /// The `count` rows from `first` on.
    pub(super) fn row_range(self, first: usize, count: usize) -> Self {
        self.transposed().column_range(first, count).transposed()
    }
}

/// A matrix to write: rows of float32 at a fixed distance. What lies between rows is left alone.
///
/// The number at row i and column j lies at i · `stride` + j, which is within `values` for all of them and no other's place.
#[derive(Debug)]
pub struct MatrixViewMut<'a> {
    values: &'a mut [f32],
    rows: usize,
    columns: usize,
    /// Numbers from one row to the next.
    stride: usize,
}

impl<'a> MatrixViewMut<'a> {
    /// Takes `rows` rows of `columns` numbers, one after the other.
    ///
    /// # Panics
    /// If `values` is too short.
    #[must_use]
    pub fn new(values: &'a mut [f32], rows: usize, columns: usize) -> Self {
        Self::with_stride(values, rows, columns, columns)
    }

    /// Takes `rows` rows of `columns` numbers, `stride` apart.
    ///
    /// # Panics
    /// If `values` is too short, or `stride` shorter than a row.
    #[must_use]
    pub fn with_stride(values: &'a mut [f32], rows: usize, columns: usize, stride: usize) -> Self {
        let stride = checked_step(values.len(), rows, columns, stride);
        Self { values, rows, columns, stride }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Where the first number lies.
    pub(super) fn as_mut_ptr(&mut self) -> *mut f32 {
        self.values.as_mut_ptr()
    }

    /// Numbers from one row to the next, and from one column to the next.
    pub(super) fn steps(&self) -> [isize; 2] {
        [self.stride.cast_signed(), 1]
    }

    /// The memory from the first number on, and the numbers from one row to the next.
    pub(super) fn into_values(self) -> (&'a mut [f32], usize) {
        (self.values, self.stride)
    }

    /// The `count` rows from `first` on.
    pub(super) fn row_range(&mut self, first: usize, count: usize) -> MatrixViewMut<'_> {
        assert!(first + count <= self.rows, "the matrix has these rows");
        let from = self.values.len().min(first * self.stride);
        MatrixViewMut { values: &mut self.values[from..], rows: count, columns: self.columns, stride: self.stride }
    }
}

/// What becomes of what the output holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// The output becomes the product. What it holds is not read and may be NaN.
    Replace,
    /// The product is added to the output.
    Add,
}

/// Returns the distance of rows once all of them are known to lie apart within `len` numbers. A distance that is never used
/// becomes the length of a row, so that it fits into any integer.
fn checked_step(len: usize, rows: usize, columns: usize, stride: usize) -> usize {
    if rows == 0 || columns == 0 {
        return 0;
    }
    assert!(
        rows == 1 || stride >= columns,
        "rows of {columns} numbers lie apart, not {stride} numbers from each other"
    );
    let end = (rows - 1).checked_mul(stride).and_then(|last| last.checked_add(columns));
    assert!(
        end.is_some_and(|end| end <= len),
        "{rows} rows of {columns} numbers, {stride} apart, do not fit into {len} numbers"
    );
    if rows == 1 { columns } else { stride }
}
