//! Takes what DPDK logs away from stderr: into `tracing` at the level debug, and into a short memory, from which an error
//! that DPDK tells only in its log finds its way into our message.

use std::collections::VecDeque;
use std::ffi::c_char;
use std::sync::Mutex;

/// Lines remembered: a driver that fails says so in two or three.
const REMEMBERED: usize = 16;

/// RTE_LOG_ERR; smaller is worse.
const ERROR: u32 = 4;

static RECENT: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

/// Redirects DPDK's log; called once, before the EAL starts.
pub(super) fn take_over() {
    // SAFETY: `line` has the signature that shim.h declares, lives for ever and never unwinds into C. Called before
    // rte_eal_init, so no other thread logs yet.
    let failed = unsafe { dpdk_sys::shim_log_to(Some(line)) } != 0;
    if failed {
        tracing::debug!("DPDK keeps logging to stderr: no stream could be made");
    }
}

/// Forgets the lines so far, so that [`complaint`] speaks of what comes now.
pub(crate) fn forget() {
    if let Ok(mut recent) = RECENT.lock() {
        recent.clear();
    }
}

/// What DPDK complained of since [`forget`]; empty when it was content.
pub(crate) fn complaint() -> String {
    let Ok(recent) = RECENT.lock() else {
        return String::new();
    };
    let lines: Vec<&str> = recent.iter().map(String::as_str).collect();
    lines.join("; ")
}

unsafe extern "C" fn line(level: u32, text: *const c_char, len: usize) {
    // SAFETY: shim.c passes the text that stdio handed to it: `len` readable bytes for the time of this call.
    let bytes = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), len) };
    let text = String::from_utf8_lossy(bytes);
    for text in text.lines().map(str::trim).filter(|text| !text.is_empty()) {
        tracing::debug!(target: "dpdk", level, "{text}");
        if level > ERROR {
            continue;
        }
        if let Ok(mut recent) = RECENT.lock() {
            if recent.len() == REMEMBERED {
                recent.pop_front();
            }
            recent.push_back(text.to_owned());
        }
    }
}
