//! What can be wrong with a device.

/// A port can't be used as asked. The message names the port and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NicError {
    /// There is no such interface or device.
    #[error("{port}: there is no such interface; {remedy}")]
    Unknown {
        /// The port as the operator named it.
        port: String,
        /// What to do.
        remedy: String,
    },
    /// The process lacks a privilege.
    #[error("{port}: not permitted; {remedy}")]
    NotPermitted {
        /// The port as the operator named it.
        port: String,
        /// What to do.
        remedy: String,
    },
    /// More queues than the port has.
    #[error(
        "{port}: {asked} queues were asked for, this port has {available}; use --workers {available} or fewer"
    )]
    TooManyQueues {
        /// The port as the operator named it.
        port: String,
        /// How many were asked for.
        asked: u16,
        /// How many there are.
        available: u16,
    },
    /// An MTU that the port can't carry.
    #[error(
        "{port}: an MTU of {asked} bytes is not possible, at most {largest} are; ask for less, or raise the interface's"
    )]
    Mtu {
        /// The port as the operator named it.
        port: String,
        /// The MTU that was asked for, in bytes.
        asked: u16,
        /// The largest possible, in bytes.
        largest: u16,
    },
    /// Not enough memory for the pools.
    #[error("{port}: not enough memory for its buffers; {remedy}")]
    NoMemory {
        /// The port, or the EAL.
        port: String,
        /// What to do.
        remedy: String,
    },
    /// The EAL was started before with other words; it can't be started twice in a process.
    #[error(
        "the EAL already runs in this process with `{running}`, so `{asked}` is not possible; use the same EAL words"
    )]
    EalDiffers {
        /// The words it runs with.
        running: String,
        /// The words that were asked for.
        asked: String,
    },
    /// Anything else that the device or its driver refused.
    #[error("{port}: {reason}")]
    Refused {
        /// The port as the operator named it.
        port: String,
        /// What it said and what to do.
        reason: String,
    },
}
