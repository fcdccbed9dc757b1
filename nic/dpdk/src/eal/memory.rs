//! Looks whether huge pages can be had, before the EAL is asked: a process can start it only once, so there is no second try.

use std::fs;
use std::path::Path;
use std::ptr;

use super::words::Backing;

/// Huge pages are worth it from here on, in megabytes: the pools of one port with one queue, and some air.
const LEAST_MEGABYTES: u64 = 64;

/// Huge pages when at least `megabytes` of them are free and this process may map one.
pub(crate) fn look(megabytes: Option<u32>) -> Backing {
    let wanted = megabytes.map_or(LEAST_MEGABYTES, u64::from);
    if free_megabytes() >= wanted && may_map_one() {
        Backing::Huge
    } else {
        Backing::Ordinary
    }
}

/// Megabytes of free huge pages of the default size (2 MB on x86-64), all memory nodes together.
pub(crate) fn free_megabytes() -> u64 {
    free_in(Path::new("/sys/kernel/mm/hugepages"))
}

fn free_in(folder: &Path) -> u64 {
    let free = fs::read_to_string(folder.join("hugepages-2048kB/free_hugepages")).unwrap_or_default();
    free.trim().parse::<u64>().unwrap_or(0) * 2
}

/// Maps one huge page as the EAL would, and gives it back.
fn may_map_one() -> bool {
    const TWO_MEGABYTES: usize = 2 << 20;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB | (21 << libc::MAP_HUGE_SHIFT);
    // SAFETY: a fresh anonymous mapping at an address of the kernel's choice touches no memory of ours; only a
    // successful mapping is unmapped, with the length it was made with, and nothing points into it.
    unsafe {
        let page = libc::mmap(ptr::null_mut(), TWO_MEGABYTES, libc::PROT_READ, flags, -1, 0);
        page != libc::MAP_FAILED && libc::munmap(page, TWO_MEGABYTES) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_huge_pages_has_none_free() {
        assert_eq!(free_in(Path::new("/nowhere")), 0);
    }

    #[test]
    fn more_than_there_is_means_ordinary_pages() {
        assert_eq!(look(Some(u32::MAX)), Backing::Ordinary);
    }
}
