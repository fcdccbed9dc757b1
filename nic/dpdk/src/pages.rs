//! Asks the system to back tables with transparent huge pages.

use fourtuple_nic::HugePages;

/// `madvise(MADV_HUGEPAGE)` on whole pages of the region; advice only, so failure changes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct TransparentHugePages;

impl HugePages for TransparentHugePages {
    fn advise(&self, address: usize, len: usize) {
        let Some((from, len)) = whole_pages(address, len) else {
            return;
        };
        // SAFETY: MADV_HUGEPAGE changes neither contents nor mapping of any address, whoever owns it; it only says how
        // the kernel should back it. An address that is not mapped gives an error, which is ignored.
        unsafe { libc::madvise(from as *mut libc::c_void, len, libc::MADV_HUGEPAGE) };
    }
}

/// The region from the start of its first page on, since madvise wants an aligned address; `None` when it is empty.
fn whole_pages(address: usize, len: usize) -> Option<(usize, usize)> {
    const PAGE: usize = 4096;
    let from = address & !(PAGE - 1);
    let end = address.checked_add(len)?;
    (len > 0).then(|| (from, end - from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advised_region_begins_at_a_page_and_covers_all() {
        let rows = [
            (0x1000, 0x2000, Some((0x1000, 0x2000))),
            (0x1008, 0x1000, Some((0x1000, 0x1008))),
            (0x1000, 0, None),
            (usize::MAX, 2, None),
        ];
        for (address, len, expected) in rows {
            assert_eq!(whole_pages(address, len), expected, "{address:#x} + {len:#x}");
        }
    }

    #[test]
    fn advice_on_memory_leaves_it_as_it_is() {
        let memory = vec![7u8; 8 << 20];
        TransparentHugePages.advise(memory.as_ptr() as usize, memory.len());
        TransparentHugePages.advise(0x10, 1 << 20);
        assert!(memory.iter().all(|&byte| byte == 7));
    }
}
