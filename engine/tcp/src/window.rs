//! The receive window: what is advertised, when, and never less than before (RFC 9293 §3.8.6, SHLD-14; RFC 7323 §2).
//!
//! ```text
//!   rcv.nxt                          rcv.adv        rcv.nxt + free
//!      │ promised: never taken back     │ grows only by a step worth telling (§3.8.6.2.2)
//! ```
//! `free` is the receive buffer less the buffer space that is charged (D5). A segment of few octets pins a whole buffer, so
//! the promise can exceed what is free: up to twice the receive buffer is charged before data in order is refused.

use crate::tcb::Debts;
use crate::{Buffers, Env, Profile, State, Tcb};

/// The window field of a SYN or SYN+ACK, never scaled (RFC 7323 §2.2), but such that a scaled field can say the same.
pub(crate) fn initial_window(profile: &Profile) -> u16 {
    let window = profile.receive_buffer.min(65_535) as u16;
    let shift = if profile.window_scaling {
        profile.window_shift()
    } else {
        0
    };
    window >> shift << shift
}

/// A window as a header says it.
pub(crate) fn scaled(window: u32, shift: u8) -> u16 {
    (window >> shift).min(65_535) as u16
}

/// A window in units of the shift, rounded up.
#[inline]
pub(crate) const fn scaled_up(window: u32, shift: u8) -> u32 {
    (window + ((1 << shift) - 1)) >> shift
}

impl<B: Buffers> Tcb<B> {
    /// Buffer space that is not charged; until the handshake is done, what a SYN can say of it. It may stay nothing for ever
    /// (RFC 9293 §3.8.6.1, MAY-8).
    #[inline]
    fn free_space(&self, profile: &Profile) -> u32 {
        if !self.state.is_synchronised() {
            return u32::from(initial_window(profile));
        }
        profile.receive_buffer.saturating_sub(self.received.charged())
    }

    /// RFC 9293 §3.8.6.2.2: the step by which a window may grow at least.
    #[inline]
    fn window_step(&self, profile: &Profile) -> u32 {
        (profile.receive_buffer / 2).min(u32::from(self.rcv.mss)).max(1)
    }

    /// The window field of a segment sent now; the right edge advertised moves with it, never back.
    // RFC 9293 §3.8.6, SHLD-14: not shrunk. A field that rounds down would (RFC 7323 §2.4), so the edge that stands is rounded up.
    #[inline(always)]
    pub(crate) fn advertise(&mut self, profile: &Profile) -> u16 {
        let standing = self.rcv.wnd();
        let shift = self.rcv.shift;
        let free = self.free_space(profile);
        let mut field = scaled_up(standing, shift);
        // RFC 9293 §3.8.6.2.2, MUST-39: receiver's silly window avoidance.
        let step = self.window_step(profile);
        if free.saturating_sub(standing) >= step {
            let told = free.min(65_535 << shift);
            if told.saturating_sub(standing) >= step {
                field = field.max(told >> shift);
            }
        }
        let field = field.min(65_535);
        self.rcv.adv = self.rcv.nxt + (field << shift);
        field as u16
    }

    /// Space was given back: an update is owed when the peer would otherwise stall, or the step is large.
    #[inline]
    pub(crate) fn consider_window_update(&mut self, env: &Env<'_, B>) {
        if !self.state.takes_text() {
            return;
        }
        let standing = self.rcv.wnd();
        if standing > env.profile.receive_buffer.div_ceil(2) {
            // What could be told is less than half of the buffer, and no step is larger than that.
            return;
        }
        let step = self.window_step(env.profile);
        // Without window scaling a header says less than there is: what can't be said is no news.
        let most = 65_535 << self.rcv.shift;
        let grown = self.free_space(env.profile).min(most).saturating_sub(standing);
        let large = (env.profile.receive_buffer.min(most) / 2).max(step);
        if grown >= large || (standing < step && grown >= step) {
            self.debts.insert(Debts::ACK);
        }
    }

    /// A segment of a SYN state: no scaling yet.
    pub(crate) fn advertise_initial(&mut self, profile: &Profile) -> u16 {
        debug_assert!(matches!(self.state, State::SynSent | State::SynReceived));
        let window = initial_window(profile);
        self.rcv.adv = self.rcv.nxt + u32::from(window);
        window
    }
}
