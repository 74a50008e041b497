//! How the process takes memory from the system.

/// Takes memory in ordinary pages.
///
/// The allocator asks for huge pages where the system leaves the choice. State that grows row by row fills them slowly:
/// a process at rest holds a fifth more with them, and clearing two megabytes at every fault costs more time than the
/// fewer faults save.
pub fn take_ordinary_pages() {
    #[cfg(target_os = "linux")]
    // SAFETY: the call takes integers only and changes nothing but how later mappings are backed.
    unsafe {
        // A system that refuses keeps its own way.
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
    }
}
