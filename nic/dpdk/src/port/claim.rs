//! Whose an interface's XDP program is. DPDK's driver asks nobody: it removes whatever program is attached when it closes, even
//! when it never got a socket. So both an engine that runs and a program of somebody else's are looked for before it is started.

use std::ffi::{CStr, c_int, c_void};
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use fourtuple_nic::NicError;

/// The program that libxdp attaches for us; one of that name which nobody claims was left by an engine that was killed.
const OURS: &str = "xsk_def_prog";

/// Held as long as a port uses the interface: a name that only one process can have, in this network namespace, and that
/// goes with the process however it ends.
#[derive(Debug)]
pub(super) struct Claim {
    _name: UnixListener,
}

impl Claim {
    /// Claims `interface`, whose number in the calling thread's network namespace is `index`.
    pub(super) fn take(port: &str, interface: &str, index: u32) -> Result<Self, NicError> {
        let refused = |reason: String| NicError::Refused {
            port: port.to_owned(),
            reason,
        };
        let name = format!("fourtuple/af_xdp/{index}");
        let claimed =
            SocketAddr::from_abstract_name(name).and_then(|address| UnixListener::bind_addr(&address));
        let claim = match claimed {
            Ok(name) => Self { _name: name },
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(refused(
                    "another engine uses it by AF_XDP; end that one, or use another interface".to_owned(),
                ));
            }
            Err(error) => return Err(refused(format!("it can't be claimed: {error}"))),
        };
        match attached(index) {
            Some(program) if program != OURS => Err(refused(format!(
                "another XDP program (`{program}`) is attached to it; `ip link set {interface} xdp off` removes it, if nobody needs it"
            ))),
            _ => Ok(claim),
        }
    }
}

/// The name of the XDP program on an interface; `None` when there is none, or nobody can tell.
fn attached(index: u32) -> Option<String> {
    type Query = unsafe extern "C" fn(c_int, c_int, *mut u32) -> c_int;
    type Open = unsafe extern "C" fn(u32) -> c_int;
    type Describe = unsafe extern "C" fn(c_int, *mut c_void, *mut u32) -> c_int;
    /// As much of struct bpf_prog_info (linux/bpf.h) as goes up to the name.
    #[repr(C)]
    struct Info {
        before: [u8; 64],
        name: [u8; 16],
    }
    let (query, open, describe) = (
        loaded(c"bpf_xdp_query_id")?,
        loaded(c"bpf_prog_get_fd_by_id")?,
        loaded(c"bpf_obj_get_info_by_fd")?,
    );
    // SAFETY: these are libbpf's functions of these names, whose signatures are part of its ABI since 0.7; each writes only to what
    // it is given, the last as many bytes as it is told. A descriptor that was opened is owned by nobody else.
    unsafe {
        let query: Query = mem::transmute(query);
        let open: Open = mem::transmute(open);
        let describe: Describe = mem::transmute(describe);
        let mut id = 0;
        if query(index as c_int, 0, &raw mut id) != 0 || id == 0 {
            return None;
        }
        let fd = open(id);
        if fd < 0 {
            return Some(format!("number {id}"));
        }
        let program = OwnedFd::from_raw_fd(fd);
        let mut info = Info {
            before: [0; 64],
            name: [0; 16],
        };
        let mut len = size_of::<Info>() as u32;
        describe(program.as_raw_fd(), (&raw mut info).cast(), &raw mut len);
        let name = CStr::from_bytes_until_nul(&info.name).ok()?;
        Some(name.to_string_lossy().into_owned())
    }
}

/// A function of one of the libraries that DPDK's driver brought into this process: linked into it, or loaded with the driver,
/// whose names are not everybody's.
pub(super) fn loaded(name: &CStr) -> Option<*mut c_void> {
    const LIBRARIES: [&CStr; 3] = [c"libbpf.so.1", c"libbpf.so.0", c"libxdp.so.1"];
    let handles = LIBRARIES.map(|library| {
        // SAFETY: a NUL-terminated name; nothing is loaded that is not there already, so no code runs.
        unsafe { libc::dlopen(library.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) }
    });
    let there = handles.into_iter().filter(|handle| !handle.is_null());
    std::iter::once(libc::RTLD_DEFAULT)
        .chain(there)
        // SAFETY: looks a name up in a library that stays loaded: its handle is never closed.
        .map(|handle| unsafe { libc::dlsym(handle, name.as_ptr()) })
        .find(|function| !function.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_claimed_once_at_a_time() {
        // A number that no interface has.
        let index = 2_000_000_000 + std::process::id() % 1000;
        let claim = Claim::take("p", "x", index).expect("nobody has it");
        let message = Claim::take("p", "x", index).unwrap_err().to_string();
        assert!(message.contains("another engine"), "{message}");
        drop(claim);
        assert!(Claim::take("p", "x", index).is_ok());
    }
}
