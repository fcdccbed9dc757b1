//! Discard (RFC 863): what comes is taken and thrown away.

use super::pipe::Pipe;

pub(crate) fn on_readable<P: Pipe>(pipe: &mut P) {
    while pipe.receive().is_some() {}
}
