//! What a port tells of itself to whoever asks. Asking may enter the kernel or wait for the device: it is no worker's affair.

/// State of a port's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Link {
    /// There is a carrier: frames can arrive and leave.
    pub up: bool,
    /// In megabits a second, where somebody knows.
    pub megabits: Option<u32>,
}

/// One port at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PortReport {
    /// What people call it, as in [`crate::Promises::name`].
    pub name: String,
    /// Its link.
    pub link: Link,
    /// What its driver counts beyond [`crate::PortStats`], by the driver's own names.
    pub counters: Vec<(String, u64)>,
}
