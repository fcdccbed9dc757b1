//! What few connections ever have, and so lies in a pool: urgent pointers and the search for the path's MTU (D6).
//!
//! A piece is taken when the first of them comes up and given back with the last. While the pool is empty urgent data is
//! neither told nor announced, though it is carried in line as ever, and segments that got smaller stay so.

use fourtuple_wire::SeqNum;

use crate::path_mtu::Search;
use crate::pool::NIL;
use crate::{Buffers, Env, Pools, Tcb};

/// The piece of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Aside {
    /// RCV.UP: the octet behind the last urgent one, while it is ahead of what was taken.
    pub(crate) receive_urgent: Option<SeqNum>,
    /// SND.UP: the same of what we send, until it is acknowledged.
    pub(crate) send_urgent: Option<SeqNum>,
    /// How large segments may be, while that is not known.
    pub(crate) search: Option<Search>,
}

impl Aside {
    const fn is_empty(&self) -> bool {
        self.receive_urgent.is_none() && self.send_urgent.is_none() && self.search.is_none()
    }
}

impl<B: Buffers> Tcb<B> {
    /// What lies aside, if anything does.
    pub(crate) fn aside<'a>(&self, pools: &'a Pools<B>) -> Option<&'a Aside> {
        pools.asides.piece(self.aside)
    }

    /// Changes what lies aside; takes a piece for it, or gives the piece back. `None`: there was none left to take.
    pub(crate) fn change_aside<R>(
        &mut self,
        env: &mut Env<'_, B>,
        change: impl FnOnce(&mut Aside) -> R,
    ) -> Option<R> {
        if self.aside == NIL {
            let Ok(index) = env.pools.asides.insert(Aside::default()) else {
                env.counters.pool_empty += 1;
                return None;
            };
            self.aside = index;
        }
        let aside = env.pools.asides.piece_mut(self.aside)?;
        let result = change(aside);
        if aside.is_empty() {
            self.drop_aside(env);
        }
        Some(result)
    }

    /// Gives the piece back.
    pub(crate) fn drop_aside(&mut self, env: &mut Env<'_, B>) {
        if self.aside != NIL {
            env.pools.asides.remove(self.aside);
            self.aside = NIL;
        }
    }
}
