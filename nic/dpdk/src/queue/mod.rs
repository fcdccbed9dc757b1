//! One worker's pair of queues of one port: the contract, kept.
//!
//! Received frames land straight in the worker's burst vector: an [`Mbuf`] is a pointer. Each is looked at once, to see that it is
//! plain; what is not is copied (`flatten.rs`), and what is, too, while its sender runs out of buffers (`lender.rs`). Frames to send are
//! written into buffers that others came in (`borrowed.rs`), else into those of a stash that is refilled in bulk.

mod borrowed;
mod flatten;
mod lender;
mod prefetch;
mod stash;

use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dpdk_sys::rte_mbuf;
use fourtuple_nic::{PoolGauge, PortStats, Promises, Queue, RxBuf, TxFrame};

use crate::eal;
use crate::mbuf::{Attaching, Mbuf, RawMbuf, SharedMbuf, TxMbuf};
use crate::pool::Pool;
use crate::port::{Inner, QueuePools};
use borrowed::Borrowed;
use lender::Lender;
use stash::Stash;

/// Frames handed to the driver at a time: twice a usual burst.
const TX_BATCH: usize = 64;

/// Bytes of a cache line.
const LINE: usize = 64;

/// Frames whose first line is fetched ahead of being looked at: half of a usual burst, about as many as a core fetches at a time.
const LOOK_AHEAD: usize = 16;

/// How long a program at the other end may leave its ring full; then frames to it are dropped until there is room. Many
/// times what a preempted process waits for its turn, and less than a second, in which TCP gives up nothing.
const STALL_MOST: Duration = Duration::from_millis(200);

/// Bytes of an Ethernet header with one VLAN tag.
const L2_BYTES: usize = 18;

/// One worker's pair of queues of one port, with that worker's pools.
#[derive(Debug)]
pub struct DpdkQueue {
    port: Arc<Inner>,
    /// What DPDK calls it: a port, and a number there.
    id: u16,
    device_queue: u16,
    /// Its number at our port.
    queue: u16,
    attaching: Attaching,
    frame_most: usize,
    wait_fd: Option<RawFd>,
    /// The driver keeps sent buffers and gives them back when asked; cleared when it turns out that it doesn't.
    reclaims: bool,
    /// Bytes are counted here, since the driver does not.
    counts_bytes: bool,
    headers: Stash,
    /// Buffers of the other end of a ring port, taken before those.
    borrowed: Borrowed,
    /// Answers may leave in such buffers: not with several queues, where a frame may be dropped by a worker other than the one that takes
    /// it, whose cache would keep it from the sender, and only where no frame has a second segment, which would come out of the other
    /// end's pool, too.
    borrows: bool,
    /// Whose buffers a ring port's frames come in.
    lender: Lender,
    /// Since when the ring has been full without a break; only where the other end may stop reading.
    stalled: Option<Instant>,
}

// SAFETY: the stash holds unique references to mbufs, which may move between threads; `&mut self` keeps bursts of this queue from
// being concurrent (invariant 4).
unsafe impl Send for DpdkQueue {}

impl DpdkQueue {
    /// Made once for each queue index of a port (invariant 4).
    pub(crate) fn new(port: Arc<Inner>, queue: u16, wait_fd: Option<RawFd>) -> Self {
        let promises = port.promises();
        let (id, device_queue) = port.place(queue);
        Self {
            id,
            device_queue,
            queue,
            attaching: port.attaching(),
            frame_most: usize::from(promises.mtu) + L2_BYTES,
            wait_fd,
            reclaims: true,
            counts_bytes: !port.counts_bytes(),
            headers: Stash::default(),
            borrowed: Borrowed::default(),
            borrows: promises.queues == 1 && port.attaching() == Attaching::COPY_ALL,
            lender: Lender::default(),
            stalled: None,
            port,
        }
    }

    /// The number of this queue at its port.
    pub fn index(&self) -> u16 {
        self.queue
    }

    #[inline]
    fn pools(&self) -> &QueuePools {
        self.port.pools(self.queue)
    }

    /// An empty buffer of the payload pool.
    fn payload_buffer(&self) -> Option<RawMbuf> {
        self.pools().payload.take()
    }

    /// Looks at what the driver wrote to `received` and keeps the good ones at its front; returns how many.
    #[inline]
    fn sort_out(&self, received: &mut [*mut rte_mbuf]) -> usize {
        let mut kept = 0;
        let QueuePools {
            receive, transmit, ..
        } = self.pools();
        // The mbuf's first line, which is written, too, when headers are cut off. The second stays with the sender: nothing of it
        // is needed, not even when the buffer goes home.
        let look_at = |mbuf: *mut rte_mbuf| prefetch::for_write(mbuf.cast());
        for ahead in received.iter().take(LOOK_AHEAD) {
            look_at(*ahead);
        }
        for at in 0..received.len() {
            if let Some(ahead) = received.get(at + LOOK_AHEAD) {
                look_at(*ahead);
            }
            let Some(frame) = NonNull::new(received[at]) else {
                continue;
            };
            // SAFETY: a driver hands out live mbufs, with the reference that the caller of a burst owns from then on.
            let frame = unsafe { RawMbuf::new(frame) };
            let copies = self.lender.is_short(&frame, receive.as_ptr(), transmit.as_ptr());
            let frame = if frame.is_plain() && !copies {
                Some(frame)
            } else {
                self.flatten(frame)
            };
            if let Some(frame) = frame {
                received[kept] = frame.as_ptr();
                kept += 1;
            }
        }
        kept
    }

    /// A plain copy of a frame that we may not keep as it is; `None`, counted, when that is not possible.
    #[cold]
    fn flatten(&self, frame: RawMbuf) -> Option<RawMbuf> {
        let counters = self.port.counters(self.queue);
        match flatten::into_plain(frame, &self.pools().receive) {
            Ok(plain) => {
                counters.flattened.add(1);
                Some(plain)
            }
            Err(flatten::Lost::NoBuffer) => {
                counters.rx_no_buffer.add(1);
                None
            }
            Err(flatten::Lost::TooLong) => {
                counters.rx_errors.add(1);
                None
            }
        }
    }

    /// Frames of which the port took none: dropped and counted where there is nobody to take them; returns how many.
    #[cold]
    fn drop_all(&self, frames: &mut Vec<TxMbuf>) -> usize {
        let count = frames.len();
        frames.clear();
        self.port.counters(self.queue).tx_errors.add(count as u64);
        count
    }

    /// The ring has been full for so long that nobody can be expected to read it.
    #[cold]
    fn is_stalled(&mut self) -> bool {
        self.port.may_stall() && self.stalled.get_or_insert_with(Instant::now).elapsed() > STALL_MOST
    }

    /// Hands the frames of one batch, all of which is written, to the driver; returns how many it took. For `tx_burst`, which
    /// holds `&mut self`.
    fn send(&self, batch: &mut [MaybeUninit<*mut rte_mbuf>]) -> usize {
        let (first, count) = (batch.as_mut_ptr().cast(), batch.len() as u16);
        // SAFETY: the port is started while it has a queue (invariant 5); only this queue sends on this index (invariant 4);
        // `batch` holds live chains of which each is referred to once. The driver owns those that it takes.
        let taken = unsafe { dpdk_sys::shim_tx_burst(self.id, self.device_queue, first, count) };
        usize::from(taken)
    }
}

impl Queue for DpdkQueue {
    type Rx = Mbuf;
    type Shared = SharedMbuf;
    type Tx = TxMbuf;

    fn promises(&self) -> &Promises {
        self.port.promises()
    }

    #[inline]
    fn rx_burst(&mut self, into: &mut Vec<Mbuf>, max: usize) -> usize {
        eal::pass();
        let Some(_passage) = self.port.enter(self.queue) else {
            return 0;
        };
        let before = into.len();
        let room = into.spare_capacity_mut();
        let most = room.len().min(max).min(usize::from(u16::MAX));
        let places = room.as_mut_ptr().cast::<*mut rte_mbuf>();
        // SAFETY: `room` has `most` places of the size of a pointer (Mbuf is transparent); the port is started while it has a queue
        // (invariant 5), and only this queue receives on this index (invariant 4).
        let received = unsafe { dpdk_sys::shim_rx_burst(self.id, self.device_queue, places, most as u16) };
        if received == 0 {
            return 0;
        }
        // SAFETY: the driver wrote that many pointers there.
        let received = unsafe { std::slice::from_raw_parts_mut(places, usize::from(received)) };
        let kept = self.sort_out(received);
        // SAFETY: the first `kept` places hold pointers to plain mbufs whose only reference is ours: what an Mbuf is.
        unsafe { into.set_len(before + kept) }
        if self.borrows
            && let Some(first) = into.get(before)
        {
            let QueuePools {
                receive, transmit, ..
            } = self.port.pools(self.queue);
            self.borrowed.top_up(first, receive, transmit);
        }
        if self.counts_bytes {
            let bytes = into[before..].iter().map(|frame| frame.bytes().len() as u64);
            self.port.counters(self.queue).rx_bytes.add(bytes.sum());
        }
        kept
    }

    #[inline]
    fn tx_frame(&mut self) -> Option<TxMbuf> {
        let head = match self.borrowed.take() {
            Some(head) => head,
            None => self.headers.take(&self.port.pools(self.queue).transmit)?,
        };
        Some(TxMbuf::new(head, self.attaching))
    }

    fn tx_burst(&mut self, frames: &mut Vec<TxMbuf>) -> usize {
        let Some(passage) = self.port.enter(self.queue) else {
            return self.drop_all(frames);
        };
        let mut gone = 0;
        let mut linearised = 0;
        let mut refused = 0;
        let mut bytes = 0;
        while gone < frames.len() {
            let mut batch = [const { MaybeUninit::uninit() }; TX_BATCH];
            let (mut filled, mut filled_bytes) = (0, 0);
            for (place, frame) in batch.iter_mut().zip(&frames[gone..]) {
                // Some drivers stop for ever at a frame that is too long, so they never see one.
                if frame.frame_len() > self.frame_most {
                    break;
                }
                place.write(frame.as_ptr());
                filled += 1;
                filled_bytes += frame.frame_len() as u64;
                linearised += u64::from(frame.linearised());
            }
            if filled == 0 {
                drop(frames.remove(gone));
                refused += 1;
                continue;
            }
            self.headers.note_sent(filled, filled_bytes);
            let taken = self.send(&mut batch[..filled]);
            bytes += filled_bytes;
            gone += taken;
            if taken < filled {
                // Those are ours still.
                let rest = &frames[gone..gone + filled - taken];
                bytes -= rest.iter().map(|frame| frame.frame_len() as u64).sum::<u64>();
                linearised -= rest
                    .iter()
                    .map(|frame| u64::from(frame.linearised()))
                    .sum::<u64>();
                break;
            }
        }
        // The driver owns them now.
        frames.drain(..gone).for_each(std::mem::forget);
        let counters = self.port.counters(self.queue);
        counters.linearised.add(linearised);
        counters.tx_errors.add(refused);
        if self.counts_bytes {
            counters.tx_bytes.add(bytes);
        }
        drop(passage);
        if gone > 0 {
            self.stalled = None;
        } else if !frames.is_empty() && self.is_stalled() {
            return self.drop_all(frames);
        }
        gone
    }

    fn share_copy(&mut self, bytes: &[u8]) -> Option<SharedMbuf> {
        let mut buffer = self.payload_buffer()?;
        match buffer.extend(bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                Some(SharedMbuf::whole(buffer))
            }
            None => {
                drop(Mbuf::new(buffer));
                None
            }
        }
    }

    fn blank(&mut self) -> Option<Mbuf> {
        self.payload_buffer().map(Mbuf::new)
    }

    fn reclaim(&mut self) {
        self.borrowed.empty();
        if !self.reclaims {
            return;
        }
        let Some(_passage) = self.port.enter(self.queue) else {
            return;
        };
        // SAFETY: as in `send`; zero asks for all that was sent.
        let answer = unsafe { dpdk_sys::rte_eth_tx_done_cleanup(self.id, self.device_queue, 0) };
        self.reclaims = answer != -libc::ENOTSUP;
    }

    fn pool(&self) -> PoolGauge {
        let QueuePools {
            receive,
            payload: _,
            transmit,
        } = self.pools();
        let free = |pool: &Pool, stashed: u32| (pool.free() + stashed).min(pool.capacity());
        PoolGauge {
            rx_capacity: receive.capacity(),
            rx_free: free(receive, 0),
            tx_capacity: transmit.capacity(),
            tx_free: free(transmit, self.headers.len()),
        }
    }

    #[inline]
    fn rx_free(&self) -> u32 {
        let receive = &self.pools().receive;
        receive.free().min(receive.capacity())
    }

    fn payload_pool(&self) -> (u32, u32) {
        let payload = &self.pools().payload;
        (payload.capacity(), payload.free())
    }

    fn stats(&self) -> PortStats {
        self.port.count_missed(self.queue);
        self.port.stats()
    }

    fn wait_fd(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: the descriptor belongs to the port's driver, which keeps it open until the port is closed; this queue holds the
        // port, and the borrow holds the queue.
        self.wait_fd.map(|fd| unsafe { BorrowedFd::borrow_raw(fd) })
    }

    #[inline]
    fn prefetch<T>(place: &T) {
        prefetch::for_read(ptr::from_ref(place).cast());
    }

    #[inline]
    fn prefetch_received(byte: &u8) {
        // On a ring port an answer may be written into the same buffer.
        prefetch::for_write(byte);
    }

    #[inline]
    fn prefetch_lines<T>(place: &T) {
        let first: *const u8 = ptr::from_ref(place).cast();
        for line in (0..size_of::<T>()).step_by(LINE) {
            prefetch::for_read(first.wrapping_add(line).cast());
        }
    }
}

impl Drop for DpdkQueue {
    fn drop(&mut self) {
        self.borrowed.empty();
        self.headers.empty();
    }
}
