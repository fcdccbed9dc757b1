//! What the traits of tokio, hyper and `futures-io` have alike, said once for each type: they differ in the names of a few calls.

/// Received bytes lent in place: any trait that is called `AsyncBufRead`.
macro_rules! async_buf_read {
    ($trait:path, $type:ident) => {
        impl<Q: fourtuple_nic::Queue> $trait for $type<Q> {
            fn poll_fill_buf(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<&[u8]>> {
                self.get_mut().reading().poll_fill(cx)
            }

            fn consume(self: std::pin::Pin<&mut Self>, count: usize) {
                self.get_mut().reading().consume(count);
            }
        }
    };
}

/// Bytes out: a trait whose last call is `$end`, and what it has beside.
macro_rules! async_write {
    ($trait:path, $type:ident, $end:ident $(, $($beside:tt)+)?) => {
        impl<Q: fourtuple_nic::Queue> $trait for $type<Q> {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bytes: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.writing().poll_write(cx, bytes)
            }

            fn poll_write_vectored(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                parts: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.writing().poll_write_vectored(cx, parts)
            }

            $($($beside)+)?

            /// What was written is on its way already.
            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::task::Poll::Ready(Ok(()))
            }

            /// A FIN behind all that was written. Receiving goes on.
            fn $end(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                self.writing().shutdown();
                std::task::Poll::Ready(Ok(()))
            }
        }
    };
}

pub(super) use {async_buf_read, async_write};
