//! The EAL, DPDK's environment: started once in a process, never ended (D12).
//!
//! `rte_eal_init` pins the thread that calls it, so it runs on a thread of its own that ends afterwards. It can't be tried
//! twice: what can be known beforehand (huge pages) is looked up beforehand.

mod log;
mod memory;
mod thread;
mod words;

use std::ffi::{CStr, CString};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::{mem, ptr, thread as std_thread};

use fourtuple_nic::NicError;

pub(crate) use log::{complaint, forget};
pub use thread::WorkerThread;
pub(crate) use thread::{Passages, lcore, lcores_used, pass};
use words::Backing;
pub use words::{EalOptions, Memory, ORDINARY_MEGABYTES};

use crate::clock::{self, TscRate};
use crate::pool;

/// The running EAL. Copies are the same one; it outlives them all.
#[derive(Clone, Copy, Debug)]
pub struct Eal {
    running: &'static Running,
}

#[derive(Debug)]
struct Running {
    backing: Backing,
    /// The words that followed from the options.
    words: Vec<String>,
    tsc: TscRate,
}

static RUNNING: OnceLock<Running> = OnceLock::new();

/// Held by whoever attaches, detaches or starts: DPDK's lists of devices and pools know no concurrent writers.
static CONTROL: Mutex<()> = Mutex::new(());

impl Eal {
    /// Starts the EAL (about 150 ms), or returns the one that runs when it was started with the same options.
    ///
    /// # Errors
    /// [`NicError::EalDiffers`] when it runs with other words, [`NicError::NoMemory`] or [`NicError::Refused`] when it does
    /// not start, with what DPDK said.
    pub fn start(options: &EalOptions) -> Result<Self, NicError> {
        let _control = control();
        if let Some(running) = RUNNING.get() {
            return Self::join(running, options);
        }
        // DPDK takes over what it is told, at its start: a device that the kernel uses is not even named to it.
        options
            .pci
            .iter()
            .try_for_each(|address| crate::port::require_usable(address))?;
        let backing = options
            .backing()
            .unwrap_or_else(|| memory::look(options.megabytes));
        let words = options.words(backing);
        let tsc = initialise(&words, options.chooses_cores()).map_err(|failure| failure.explain(backing))?;
        let running = RUNNING.get_or_init(|| Running { backing, words, tsc });
        Ok(Self { running })
    }

    /// The EAL of this process, if it was started.
    pub fn running() -> Option<Self> {
        RUNNING.get().map(|running| Self { running })
    }

    fn join(running: &'static Running, options: &EalOptions) -> Result<Self, NicError> {
        let backing = options.backing().unwrap_or(running.backing);
        let asked = options.words(backing);
        if asked == running.words {
            return Ok(Self { running });
        }
        Err(NicError::EalDiffers {
            running: running.words.join(" "),
            asked: asked.join(" "),
        })
    }

    /// Gives the calling thread an lcore id, so that it has its own cache in every pool.
    ///
    /// # Errors
    /// [`NicError::Refused`] when all lcore ids are taken.
    pub fn register_thread(&self) -> Result<WorkerThread, NicError> {
        WorkerThread::register()
    }

    /// The words that the EAL was started with.
    pub fn words(&self) -> &[String] {
        &self.running.words
    }

    /// Pools lie on huge pages.
    pub fn on_huge_pages(&self) -> bool {
        self.running.backing == Backing::Huge
    }

    /// Version of the DPDK that runs, as `DPDK 22.11.11`.
    pub fn version(&self) -> String {
        // SAFETY: rte_version returns a string that lives for ever.
        unsafe { CStr::from_ptr(dpdk_sys::rte_version()) }
            .to_string_lossy()
            .into_owned()
    }

    /// Ports that are attached now, whoever attached them.
    pub fn port_count(&self) -> u16 {
        // SAFETY: the EAL runs; reads a table of static size.
        unsafe { dpdk_sys::rte_eth_dev_count_avail() }
    }

    /// Named areas of DPDK memory that exist now: pools, rings and tables. Tests compare it before and after.
    pub fn memory_zones(&self) -> usize {
        unsafe extern "C" fn count(_zone: *const dpdk_sys::rte_memzone, total: *mut std::ffi::c_void) {
            // SAFETY: the walk below passes a pointer to its own `total` and calls back before it returns.
            unsafe { *total.cast::<usize>() += 1 }
        }
        let mut total = 0usize;
        // SAFETY: the EAL runs; `count` only writes to `total`, which outlives the walk.
        unsafe { dpdk_sys::rte_memzone_walk(Some(count), (&raw mut total).cast()) }
        total
    }

    /// Frees the pools of closed ports whose lent buffers have all come home; returns how many still wait.
    ///
    /// Attaching and closing do it too; a control thread may call it now and then.
    pub fn sweep_pools(&self) -> usize {
        let _control = control();
        pool::sweep()
    }

    pub(crate) fn tsc(&self) -> TscRate {
        self.running.tsc
    }
}

/// Waits until no other thread attaches or detaches.
pub(crate) fn control() -> MutexGuard<'static, ()> {
    // Who panicked while holding it left DPDK in whatever state it is in; refusing to close ports would not mend that.
    CONTROL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The errno of the last DPDK call of this thread.
pub(crate) fn errno() -> i32 {
    // SAFETY: reads a thread-local of the EAL.
    unsafe { dpdk_sys::shim_errno() }
}

struct Failure {
    errno: i32,
    complaint: String,
}

impl Failure {
    fn explain(self, backing: Backing) -> NicError {
        let Failure { errno, complaint } = self;
        let port = "EAL".to_owned();
        let said = if complaint.is_empty() {
            String::new()
        } else {
            format!(" (DPDK said: {complaint})")
        };
        match (errno, backing) {
            (libc::EALREADY, _) => NicError::Refused {
                port,
                reason: "an earlier start failed in this process, and DPDK can be started only once; mend the cause \
                         and start the process anew"
                    .to_owned(),
            },
            (libc::ENOMEM | libc::EACCES, Backing::Huge) => NicError::NoMemory {
                port,
                remedy: format!(
                    "reserve huge pages (`sysctl vm.nr_hugepages=256`) or use ordinary pages (`--no-huge`){said}"
                ),
            },
            (libc::ENOMEM, Backing::Ordinary) => {
                NicError::NoMemory { port, remedy: format!("ask for fewer megabytes{said}") }
            }
            _ => {
                let system = std::io::Error::from_raw_os_error(errno);
                NicError::Refused { port, reason: format!("DPDK does not start: {system}{said}") }
            }
        }
    }
}

/// Runs `rte_eal_init` on a thread of its own, timing the TSC against the system's clock meanwhile.
fn initialise(words: &[String], cores_chosen: bool) -> Result<TscRate, Failure> {
    log::take_over();
    forget();
    let mut words = words.to_vec();
    words.insert(0, "fourtuple".to_owned());
    if !cores_chosen {
        // One core for the EAL itself, where it may run; workers are threads of ours that register.
        words.push("--lcores".to_owned());
        words.push(format!("0@{}", first_allowed_cpu()));
    }
    let started = std_thread::Builder::new()
        .name("eal-init".to_owned())
        .spawn(move || {
            let began = clock::Sample::take();
            let mut arguments: Vec<CString> = words
                .into_iter()
                .map(|word| CString::new(word.replace('\0', "")).unwrap_or_default())
                .collect();
            let mut pointers: Vec<*mut std::ffi::c_char> = arguments
                .iter_mut()
                .map(|word| word.as_ptr().cast_mut())
                .collect();
            let count = pointers.len() as i32;
            pointers.push(ptr::null_mut());
            // SAFETY: `count` NUL-terminated strings and a null pointer behind them, as main() has them. The EAL keeps pointers
            // into them (getopt permutes the array), so both are leaked below: once in a process.
            let parsed = unsafe { dpdk_sys::rte_eal_init(count, pointers.as_mut_ptr()) };
            let failed = errno();
            mem::forget((arguments, pointers));
            if parsed < 0 {
                return Err(failed);
            }
            // SAFETY: the EAL runs now.
            let told = unsafe { dpdk_sys::rte_get_tsc_hz() };
            Ok(TscRate::between(began, clock::Sample::take(), told))
        });
    let outcome = started.map(std_thread::JoinHandle::join);
    match outcome {
        Ok(Ok(Ok(tsc))) => Ok(tsc),
        Ok(Ok(Err(errno))) => Err(Failure {
            errno,
            complaint: complaint(),
        }),
        Ok(Err(_)) | Err(_) => Err(Failure {
            errno: libc::EAGAIN,
            complaint: complaint(),
        }),
    }
}

/// The first processor that this process may use; 0 when nobody knows.
fn first_allowed_cpu() -> usize {
    // SAFETY: cpu_set_t is plain bits, for which all zero is a value; the call writes at most its size.
    unsafe {
        let mut allowed: libc::cpu_set_t = mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut allowed) != 0 {
            return 0;
        }
        (0..libc::CPU_SETSIZE as usize)
            .find(|&cpu| libc::CPU_ISSET(cpu, &allowed))
            .unwrap_or(0)
    }
}
