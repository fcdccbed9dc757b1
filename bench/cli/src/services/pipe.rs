//! What a service needs of a connection, whatever thread it runs on.

/// One connection, for the duration of a call. Nothing blocks.
pub(crate) trait Pipe {
    /// Received bytes in the service's hands.
    type Received;
    /// Received bytes that wait to be sent.
    type Held: Send + 'static;
    /// Bytes that are sent often.
    type Prepared: Send + 'static;

    /// The next bytes in order; `None` when nothing waits.
    fn receive(&mut self) -> Option<Self::Received>;
    /// The bytes themselves.
    fn bytes(received: &Self::Received) -> &[u8];
    /// The same bytes, to be sent.
    fn hold(received: Self::Received) -> Self::Held;
    /// Sends them, or gives back what is left; `on_writable` tells when to go on.
    fn send_held(&mut self, held: Self::Held) -> Result<(), Self::Held>;
    /// Sends a copy of as many bytes as there is room for; when not all, `on_writable` tells when to go on.
    fn send(&mut self, bytes: &[u8]) -> usize;
    /// Makes bytes ready to be sent often.
    fn prepare(&mut self, bytes: Vec<u8>) -> Self::Prepared;
    /// Sends prepared bytes from `from` up to `to`, as many as there is room for.
    fn send_prepared(&mut self, prepared: &Self::Prepared, from: usize, to: usize) -> usize;
    /// Half-close.
    fn shutdown(&mut self);
    /// Closes when everything is sent.
    fn close(&mut self);
    /// The engine drains: finish.
    fn is_draining(&self) -> bool;
    /// Time that never goes back, in nanoseconds.
    fn now_ns(&self) -> u64;
}
