//! Registered memory that the application fills in place (D4): what is written there is sent without a copy.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
#[cfg(feature = "async")]
use std::task::{Context, Poll};
use std::time::Duration;

use fourtuple_nic::{Queue, RxBuf};

use super::chunk::Chunk;
#[cfg(feature = "async")]
use super::stream::Waits;
use super::stream::{Stream, StreamError};
use crate::attach::PortQueue;

/// An empty buffer of a worker's port, to be written to and sent as it is.
///
/// It is written to with [`io::Write`], or by any means into its [spare room](Self::spare_mut); what was written is a `[u8]` to look at and to
/// change. It takes about as much as a frame does; a write that does not fit is cut, as `write` of [`io::Write`] has it. Dropping it gives
/// it back, on whatever thread. An endpoint has [so many](super::EndpointLimits::blanks) of each worker at a time, which its copying sends
/// use, too: fill it and send it.
///
/// ```no_run
/// use std::io::Write;
/// # use std::time::Duration;
/// # fn greet(stream: &fourtuple::Stream, name: &str) -> Result<(), Box<dyn std::error::Error>> {
/// # let second = Duration::from_secs(1);
/// let mut buffer = stream.tx_buffer(second)?;
/// write!(buffer, "hello, {name}\r\n")?;
/// stream.send_chunk(buffer.into_chunk(), second)?;
/// # Ok(()) }
/// ```
///
/// By the crate `bytes`, whose `BufMut` any `&mut [u8]` is, with a length in front that is known only at the end:
///
/// ```no_run
/// use bytes::BufMut;
/// # use std::time::Duration;
/// # fn frame(stream: &fourtuple::Stream, name: &str) -> Result<(), Box<dyn std::error::Error>> {
/// # let second = Duration::from_secs(1);
/// let mut buffer = stream.tx_buffer(second)?;
/// let mut spare = buffer.spare_mut();
/// let room = spare.len();
/// spare.put_u16(0);
/// spare.put_slice(name.as_bytes());
/// let written = room - spare.len();
/// buffer.commit(written);
/// let length = buffer.len() as u16 - 2;
/// buffer[..2].copy_from_slice(&length.to_be_bytes());
/// stream.send_chunk(buffer.into_chunk(), second)?;
/// # Ok(()) }
/// ```
pub struct TxBuffer<Q: Queue = PortQueue>(Chunk<Q>);

impl<Q: Queue> TxBuffer<Q> {
    /// The room that is left, with whatever it held before. What is written there counts once it is [taken in](Self::commit).
    pub fn spare_mut(&mut self) -> &mut [u8] {
        self.0.blank_mut().map(RxBuf::spare_mut).unwrap_or_default()
    }

    /// Takes in the first `count` bytes of the [spare room](Self::spare_mut), which were written; all of it when there is less.
    pub fn commit(&mut self, count: usize) {
        if let Some(buffer) = self.0.blank_mut() {
            buffer.grow(count);
        }
    }

    /// What was written, to be [sent](Stream::send_chunk): without a copy on connections of the same endpoint and worker.
    pub fn into_chunk(self) -> Chunk<Q> {
        self.0
    }
}

impl<Q: Queue> Stream<Q> {
    /// A buffer to be filled and sent on this connection, or another of its worker; waits at most for `timeout` until there is one.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn tx_buffer(&self, timeout: Duration) -> Result<TxBuffer<Q>, StreamError> {
        self.wait(timeout, |core| core.blank(self.id)).map(TxBuffer)
    }

    /// The same, for a task: its waker is called when there is one.
    #[cfg(feature = "async")]
    pub(crate) fn poll_tx_buffer(&self, cx: &mut Context<'_>) -> Poll<Result<TxBuffer<Q>, StreamError>> {
        self.poll(cx, Waits::ToWrite, |core| core.blank(self.id))
            .map_ok(TxBuffer)
    }
}

impl<Q: Queue> io::Write for TxBuffer<Q> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.0.blank_mut().map_or(0, |buffer| buffer.append(bytes)))
    }

    /// There is nothing between.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<Q: Queue> Deref for TxBuffer<Q> {
    type Target = [u8];

    /// What was written.
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<Q: Queue> DerefMut for TxBuffer<Q> {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.blank_mut().map(RxBuf::bytes_mut).unwrap_or_default()
    }
}

impl<Q: Queue> fmt::Debug for TxBuffer<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TxBuffer")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
