//! The kernel of `deleverage`: scores, order, selection and lights of perpetual-futures positions.
//!
//! Slices in, vectors out: no input or output, no clock, no randomness, and no Python outside of
//! `python.rs`. A score is a rational of whole numbers; floats only decide where they are far
//! enough apart, the rest is compared exactly, so that threads, chunks, row order and instruction
//! sets never change an answer.

pub mod allocate;
pub mod bands;
pub mod bins;
pub mod book;
pub mod buckets;
pub mod classes;
pub mod columns;
pub mod cuts;
pub mod doubts;
pub mod error;
pub mod exact;
pub mod floor;
pub mod formula;
pub mod groups;
pub mod keys;
pub mod lane;
pub mod lights;
pub mod load;
pub mod order;
pub mod places;
pub mod quantise;
pub mod queue;
pub mod rank;
pub mod rule;
pub mod scatter;
pub mod score;
pub mod screen;
pub mod select;
pub mod simd;
pub mod spell;
pub mod spread;
pub mod sweep;
pub mod turns;

#[cfg(feature = "python")]
mod memory;
#[cfg(feature = "python")]
mod python;
