//! The allocator of Flow's programs, and giving back to the system what was freed.

pub use mimalloc::MiMalloc as Allocator;

/// Gives memory that nothing holds back to the system at once, a few milliseconds for a gigabyte. The allocator does so by itself
/// only a second after something was freed, when more is freed: a program that waits after a large load would keep it.
///
/// Does nothing in a program whose allocator is another.
#[expect(unsafe_code, reason = "the allocator has no other interface")]
pub fn give_back() {
    // SAFETY: `mi_collect` takes no pointers, may be called from every thread at any time, and frees only what nobody holds.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
