//! Two ports of this process joined back to back: what one sends, the other receives, on the queue of the same number.
//!
//! ```text
//!   port A  tx 0 ──────► forward[0]  ──────► rx 0  port B
//!           rx 0 ◄────── backward[0] ◄────── tx 0
//! ```
//! No copy: the very mbuf changes hands. So the receiver flattens and copies what it may not keep (`queue/flatten.rs`), and
//! a sender's buffers come home from the receiver's thread.

use std::ffi::CString;
use std::ptr::NonNull;
use std::sync::Arc;

use dpdk_sys::rte_ring;
use fourtuple_nic::{MacAddr, NicError};

use super::device::{ANY_NODE, Device, fresh_name};
use super::{Nature, Port, PortOptions};
use crate::eal;
use crate::mbuf::Attaching;
use crate::pool;

/// Queues that DPDK's ring driver can have.
const QUEUES_MOST: u16 = dpdk_sys::RTE_PMD_RING_MAX_RX_RINGS as u16;

/// Two ports joined by rings of `options.descriptors` frames; the first two addresses of [`address`].
pub(super) fn pair(queues: u16, options: &PortOptions) -> Result<(Port, Port), NicError> {
    if queues == 0 || queues > QUEUES_MOST {
        let port = "ring".to_owned();
        return Err(NicError::TooManyQueues {
            port,
            asked: queues,
            available: QUEUES_MOST,
        });
    }
    let link = Arc::new(Link {
        forward: Rings::new(queues, options.descriptors)?,
        backward: Rings::new(queues, options.descriptors)?,
    });
    let first = end(&link, &link.backward, &link.forward, options)?;
    let second = end(&link, &link.forward, &link.backward, options)?;
    Ok((first, second))
}

fn end(link: &Arc<Link>, rx: &Rings, tx: &Rings, options: &PortOptions) -> Result<Port, NicError> {
    let name = fresh_name("p");
    // What the driver makes of the name.
    let device_name = format!("net_ring_{name}");
    let label = format!("ring:{name}");
    let device = {
        let _control = eal::control();
        eal::forget();
        let wide = CString::new(name).unwrap_or_default();
        let count = u32::from(rx.queues());
        // SAFETY: both lists hold `count` live rings, which the link keeps until both ports are closed; the name is copied.
        unsafe {
            dpdk_sys::rte_eth_from_rings(
                wide.as_ptr(),
                rx.0.as_ptr().cast(),
                count,
                tx.0.as_ptr().cast(),
                count,
                ANY_NODE as u32,
            )
        };
        Device::made(&label, &device_name)?
    };
    let nature = Nature {
        kernel_peer: false,
        attaching: Attaching::COPY_ALL,
        mac: Some(options.mac.unwrap_or_else(|| address(device.id()))),
        link: Some(Arc::clone(link)),
        counts_bytes: false,
        ..Nature::polled(options)
    };
    Port::open(label, device, rx.queues(), options, nature)
}

/// A locally administered address that no other port of this process has: 02:46:54:00 and the port's number.
fn address(port: u16) -> MacAddr {
    let [high, low] = port.to_be_bytes();
    MacAddr([0x02, 0x46, 0x54, 0x00, high, low])
}

/// The rings between two ports. Dropped with the second of them: what is still on the way goes back to its pools.
#[derive(Debug)]
pub(super) struct Link {
    forward: Rings,
    backward: Rings,
}

/// One ring for each queue, one producer and one consumer each.
#[derive(Debug)]
struct Rings(Vec<NonNull<rte_ring>>);

// SAFETY: the handles are only used to make ports, and to free the rings when no port uses them; the bursts in between are
// single-producer, single-consumer by invariant 4.
unsafe impl Send for Rings {}
// SAFETY: as above: nothing is done through a shared reference.
unsafe impl Sync for Rings {}

impl Rings {
    fn new(queues: u16, frames: u16) -> Result<Self, NicError> {
        let mut rings = Self(Vec::with_capacity(usize::from(queues)));
        for _ in 0..queues {
            let name = CString::new(fresh_name("ring")).unwrap_or_default();
            let size = u32::from(frames).next_power_of_two();
            let flags = dpdk_sys::RING_F_SP_ENQ | dpdk_sys::RING_F_SC_DEQ;
            // SAFETY: the EAL runs; the name is copied.
            let ring = unsafe { dpdk_sys::rte_ring_create(name.as_ptr(), size, ANY_NODE, flags) };
            let ring = NonNull::new(ring).ok_or_else(|| NicError::NoMemory {
                port: "ring".to_owned(),
                remedy: format!(
                    "{queues} rings of {size} frames can't be had; give DPDK more memory (huge pages, or a larger -m)"
                ),
            })?;
            rings.0.push(ring);
        }
        Ok(rings)
    }
}

impl Rings {
    fn queues(&self) -> u16 {
        self.0.len() as u16
    }
}

impl Drop for Rings {
    fn drop(&mut self) {
        let mut frames = [std::ptr::null_mut::<dpdk_sys::rte_mbuf>(); 32];
        for ring in &self.0 {
            loop {
                // SAFETY: both ports are closed (they hold the link), so this thread is the only consumer; the ring holds mbufs.
                let count = unsafe {
                    dpdk_sys::shim_ring_dequeue_burst(ring.as_ptr(), frames.as_mut_ptr().cast(), 32)
                };
                if count == 0 {
                    break;
                }
                pool::give_back(&mut frames[..count as usize]);
            }
            // SAFETY: no port refers to the ring any more.
            unsafe { dpdk_sys::rte_ring_free(ring.as_ptr()) }
        }
    }
}
