//! What the kernel refuses, and why.

use std::fmt;

/// A refusal; the kernel has done nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A column has another length than `lots`.
    Length {
        /// Name of the column.
        column: &'static str,
        /// Rows it has.
        got: usize,
        /// Rows that `lots` has.
        expected: usize,
    },
    /// The rule reads a column that was not given.
    Missing {
        /// Name of the column.
        column: &'static str,
    },
    /// A value lies outside of what the column may hold.
    Value {
        /// Name of the column.
        column: &'static str,
        /// Row of the first such value.
        row: usize,
        /// The value.
        value: i64,
        /// What it has to be.
        expected: &'static str,
    },
    /// An argument that is not a column lies outside of its range.
    Argument {
        /// Name of the argument.
        name: &'static str,
        /// What it has to be.
        expected: &'static str,
        /// What it is.
        got: i64,
    },
}

/// The kernel's result.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { column, got, expected } => {
                write!(f, "{column}: expected {expected} rows as in lots, got {got}")
            }
            Self::Missing { column } => {
                write!(f, "{column}: the rule reads this column and it was not given")
            }
            Self::Value { column, row, value, expected } => {
                write!(f, "{column}: expected {expected}, got {value} in row {row}")
            }
            Self::Argument { name, expected, got } => {
                write!(f, "{name}: expected {expected}, got {got}")
            }
        }
    }
}

impl std::error::Error for Error {}
