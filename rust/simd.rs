//! One body of code, compiled for several instruction sets and chosen at run time.
//!
//! The bodies hold plain IEEE operations in a fixed order and no fused multiply-add, so that
//! every level gives the same bits.
#![allow(unsafe_code)] // calls into code compiled for a wider set

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Set {
    Baseline,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// An instruction set that the kernel has code for and this machine can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(Set);

impl Level {
    /// What every machine of the architecture has.
    pub const BASELINE: Self = Self(Set::Baseline);

    /// The widest level of this machine.
    #[must_use]
    pub fn detect() -> Self {
        *Self::available().last().unwrap_or(&Self::BASELINE)
    }

    /// The levels of this machine, narrowest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut levels = vec![Self::BASELINE];
        levels.extend(Self::wider());
        levels
    }

    #[cfg(target_arch = "x86_64")]
    fn wider() -> Vec<Self> {
        let counts = is_x86_feature_detected!("popcnt") && is_x86_feature_detected!("lzcnt");
        let bits = is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2");
        let has_avx2 = is_x86_feature_detected!("avx2") && counts && bits;
        let wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq");
        let rest = is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl");
        let levels = [(has_avx2, Set::Avx2), (has_avx2 && wide && rest, Set::Avx512)];
        levels.into_iter().filter(|(is_there, _)| *is_there).map(|(_, set)| Self(set)).collect()
    }

    /// What every machine of the architecture has is all that there is code for.
    #[cfg(not(target_arch = "x86_64"))]
    fn wider() -> Option<Self> {
        None
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Set::Baseline => "baseline",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "avx512",
        }
    }
}

/// A piece of work that is compiled once for each level; `run` has to be `#[inline(always)]`.
pub trait Task {
    /// What it gives back.
    type Output;

    /// Does the work.
    fn run(self) -> Self::Output;
}

/// Runs the task with the code of a level, which has to be among [`Level::available`].
#[inline]
pub fn dispatch<T: Task>(level: Level, task: T) -> T::Output {
    match level.0 {
        Set::Baseline => task.run(),
        // SAFETY: the field of a Level is private and only `Level::available` makes one other
        // than the baseline, after it detected the features that the callee is compiled for.
        #[cfg(target_arch = "x86_64")]
        Set::Avx2 => unsafe { avx2(task) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Set::Avx512 => unsafe { avx512(task) },
    }
}

/// Asks for the cache lines of values that will be read soon; nothing where there are none.
#[inline(always)]
pub fn prefetch<T>(values: &[T], places: std::ops::Range<usize>) {
    #[cfg(target_arch = "x86_64")]
    for value in
        values.get(places).unwrap_or(&[]).iter().step_by((64 / size_of::<T>().max(1)).max(1))
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing that the program could see, and the address is that
        // of a borrowed value.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, places);
}

/// A column that is written from its start on, past the caches: it is not read again soon.
pub struct Stream<'a> {
    level: Level,
    into: &'a mut [i64],
}

impl<'a> Stream<'a> {
    /// Writes with the instructions of a level.
    #[inline(always)]
    pub fn new(level: Level, into: &'a mut [i64]) -> Self {
        Self { level, into }
    }

    /// Writes the next values; those beyond the column's end are dropped.
    #[inline(always)]
    pub fn push(&mut self, values: &[i64]) {
        let length = values.len().min(self.into.len());
        let (now, later) = std::mem::take(&mut self.into).split_at_mut(length);
        self.into = later;
        match self.level.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Baseline => stream_words(now, &values[..length]),
            // SAFETY: as in `dispatch`; both of these levels have AVX.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 | Set::Avx512 => unsafe { stream_lines(now, &values[..length]) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => now.copy_from_slice(&values[..length]),
        }
    }
}

impl Drop for Stream<'_> {
    /// Puts the writes before all that follows; the borrow ends after it.
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: a fence touches no memory.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            std::arch::x86_64::_mm_sfence();
        }
    }
}

/// Writes word by word.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn stream_words(into: &mut [i64], values: &[i64]) {
    for (place, &value) in into.iter_mut().zip(values) {
        // SAFETY: the place is borrowed and aligned, and nobody else has it before the fence.
        unsafe { std::arch::x86_64::_mm_stream_si64(std::ptr::from_mut(place), value) };
    }
}

/// Writes by cache lines, and word by word before the first and after the last.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
fn stream_lines(into: &mut [i64], values: &[i64]) {
    use std::arch::x86_64::{_mm256_loadu_si256, _mm256_stream_si256};
    let head = into.as_ptr().align_offset(64).min(into.len());
    let (before, after) = into.split_at_mut(head);
    stream_words(before, &values[..head]);
    let (halves, rest) = after.as_chunks_mut::<4>();
    let (values, tail) = values[head..].as_chunks::<4>();
    for (half, value) in halves.iter_mut().zip(values) {
        // SAFETY: both are four words long, and the half of a cache line begins where 32 bytes
        // do; nobody else has it before the fence.
        unsafe {
            let value = _mm256_loadu_si256(std::ptr::from_ref(value).cast());
            _mm256_stream_si256(std::ptr::from_mut(half).cast(), value);
        }
    }
    stream_words(rest, tail);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt,lzcnt,bmi1,bmi2")]
fn avx2<T: Task>(task: T) -> T::Output {
    task.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,popcnt,lzcnt,bmi1,bmi2")]
fn avx512<T: Task>(task: T) -> T::Output {
    task.run()
}
