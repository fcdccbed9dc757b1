//! SIGINT and SIGTERM: the first asks for an orderly end, the second ends at once with 130.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::exit::Failure;

/// Whether a signal came.
#[derive(Clone, Debug)]
pub(crate) struct Signals(Arc<AtomicBool>);

impl Signals {
    /// Takes both signals over.
    pub(crate) fn install() -> Result<Self, Failure> {
        let came = Arc::new(AtomicBool::new(false));
        let refused = |error: std::io::Error| Failure::Unusable(format!("signals can't be handled: {error}"));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal sets the flag that makes the second one end the process.
            flag::register_conditional_shutdown(signal, 130, Arc::clone(&came)).map_err(refused)?;
            flag::register(signal, Arc::clone(&came)).map_err(refused)?;
        }
        Ok(Self(came))
    }

    pub(crate) fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
