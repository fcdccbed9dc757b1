//! Buffers that are shared, and memory that a NIC reads: `bytes::Bytes` in both directions, and registered buffers to be filled.

use std::future::poll_fn;
use std::io;

use bytes::Bytes;
use fourtuple_nic::Queue;

use super::halves::{AsyncReadHalf, AsyncWriteHalf};
use super::stream::AsyncStream;
use crate::handoff::TxBuffer;

impl<Q: Queue> AsyncStream<Q> {
    /// The next received bytes as [`Bytes`], without a copy; `None` is the end of file. The buffer goes home behind the last of their
    /// clones and slices, on whatever thread that is dropped, and is charged to the receive window until then: what is kept for long is
    /// better copied. Cancel-safe.
    ///
    /// ```no_run
    /// # async fn relay(mut stream: fourtuple::AsyncStream, body: tokio::sync::mpsc::Sender<bytes::Bytes>) -> std::io::Result<()> {
    /// while let Some(part) = stream.recv_bytes().await? {
    ///     if body.send(part).await.is_err() {
    ///         break; // Nobody reads it any more.
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// A reset is an error and never the end of file.
    pub async fn recv_bytes(&mut self) -> io::Result<Option<Bytes>> {
        self.reader.recv_bytes().await
    }

    /// Sends all of these bytes, and takes those that were taken off their front: what a dropped call had not sent is still there, so
    /// it is cancel-safe. Of the heap's memory a NIC knows nothing, so they are copied once, into buffers that it knows, and counted in
    /// `tx_copied_bytes`. Several at once, small ones in one segment: `AsyncWriteExt::write_all_buf` with `Buf::chain`.
    ///
    /// ```no_run
    /// # async fn answer(mut stream: fourtuple::AsyncStream, mut page: bytes::Bytes) -> std::io::Result<()> {
    /// stream.send_bytes(&mut page).await?;
    /// assert!(page.is_empty());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As a write; a part may have been sent.
    pub async fn send_bytes(&mut self, bytes: &mut Bytes) -> io::Result<()> {
        self.writer.send_bytes(bytes).await
    }

    /// A buffer of registered memory, to be filled and [sent](Self::send_chunk) without a copy on this connection, or another of its
    /// worker and endpoint; waits until there is one. Cancel-safe.
    ///
    /// ```no_run
    /// # async fn greet(mut stream: fourtuple::AsyncStream, name: &str) -> std::io::Result<()> {
    /// use std::io::Write;
    /// let mut buffer = stream.tx_buffer().await?;
    /// write!(buffer, "hello, {name}\r\n")?;
    /// stream.send_chunk(buffer.into_chunk()).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// As a write.
    pub async fn tx_buffer(&mut self) -> io::Result<TxBuffer<Q>> {
        self.writer.tx_buffer().await
    }
}

impl<Q: Queue> AsyncReadHalf<Q> {
    /// As [`AsyncStream::recv_bytes`].
    ///
    /// # Errors
    /// A reset is an error and never the end of file.
    pub async fn recv_bytes(&mut self) -> io::Result<Option<Bytes>> {
        Ok(self.recv_chunk().await?.map(Bytes::from))
    }
}

impl<Q: Queue> AsyncWriteHalf<Q> {
    /// As [`AsyncStream::send_bytes`].
    ///
    /// # Errors
    /// As a write; a part may have been sent.
    pub async fn send_bytes(&mut self, bytes: &mut Bytes) -> io::Result<()> {
        poll_fn(|cx| self.writing().poll_send_bytes(cx, bytes)).await
    }

    /// As [`AsyncStream::tx_buffer`].
    ///
    /// # Errors
    /// As a write.
    pub async fn tx_buffer(&mut self) -> io::Result<TxBuffer<Q>> {
        poll_fn(|cx| self.writing().poll_tx_buffer(cx)).await
    }
}
