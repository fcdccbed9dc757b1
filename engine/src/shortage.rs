//! How scarce receive buffers are, as a frame brings it along from the worker that received it.

/// How short of receive buffers the pool is from which a frame came: our own, or that of the worker which handed it over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shortage {
    /// The pool was under its low-water mark when the turn's burst came.
    pub(crate) short_of_buffers: bool,
    /// While less than a quarter of the buffers is free: the bytes of them that one connection may pin.
    pub(crate) share: Option<u32>,
    /// Half of the buffers are free: send queues may grow with their paths.
    pub(crate) is_plenty: bool,
}
