//! The allocator of the module: freed blocks are kept for the next call, and only large blocks
//! lie in large pages.
//!
//! A large page under a small block would be memory that nobody asked for: three of them are more
//! than a whole selection. Under blocks of megabytes, filled and read in no order, they save faults
//! and translations: without them a ranking takes a third longer.
#![allow(unsafe_code)] // an allocator is unsafe to call; this one hands on to `mimalloc`

use std::alloc::{GlobalAlloc, Layout};

use mimalloc::MiMalloc;

/// Bytes of a large page.
const PAGE: usize = 1 << 21;
/// Fewest bytes of a block that is to lie in large pages: one fits in, wherever it starts.
const FEWEST: usize = 2 * PAGE;

/// `mimalloc`, and large pages for large blocks.
pub struct Memory;

// SAFETY: every block comes from `MiMalloc` and goes back to it with the same layout; advice
// changes neither the block nor what is in it.
unsafe impl GlobalAlloc for Memory {
    // SAFETY: the caller keeps what the trait asks for.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        advise(unsafe { MiMalloc.alloc(layout) }, layout.size())
    }

    // SAFETY: the caller keeps what the trait asks for.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        advise(unsafe { MiMalloc.alloc_zeroed(layout) }, layout.size())
    }

    // SAFETY: the caller keeps what the trait asks for.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        advise(unsafe { MiMalloc.realloc(block, layout, size) }, size)
    }

    // SAFETY: the caller keeps what the trait asks for.
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { MiMalloc.dealloc(block, layout) }
    }
}

/// Asks for large pages under a block, if it is large; a system that has none goes without.
#[inline]
fn advise(block: *mut u8, size: usize) -> *mut u8 {
    #[cfg(target_os = "linux")]
    if size >= FEWEST && !block.is_null() {
        let start = block.align_offset(PAGE);
        let length = (size - start) & !(PAGE - 1);
        // SAFETY: the range lies within the block and starts at a page; the advice to use larger
        // pages is one that no reader or writer of the memory could see.
        unsafe { libc::madvise(block.add(start).cast(), length, libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (PAGE, FEWEST, size);
    block
}
