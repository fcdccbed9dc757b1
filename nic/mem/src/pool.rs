//! A fixed number of buffers of one size. A buffer goes home when its last holder drops it, on whatever thread.
//!
//! The number of holders is the reference count of the memory itself. It is only ever looked at and lowered under the pool's
//! lock, so exactly one holder finds that it is the last.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Buffers of one queue for one purpose.
pub(crate) struct Pool {
    free: Mutex<Vec<Arc<[u8]>>>,
    capacity: u32,
    /// Bytes that one buffer holds.
    room: usize,
}

impl Pool {
    pub(crate) fn new(capacity: u32, room: usize) -> Arc<Self> {
        let free = (0..capacity).map(|_| Arc::from(vec![0; room])).collect();
        Arc::new(Self {
            free: Mutex::new(free),
            capacity,
            room,
        })
    }

    /// A buffer for one holder; `None` when all are out.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Loan> {
        let memory = self.lock().pop()?;
        Some(Loan {
            memory: Some(memory),
            pool: self.clone(),
        })
    }

    pub(crate) fn capacity(&self) -> u32 {
        self.capacity
    }

    pub(crate) fn free(&self) -> u32 {
        self.lock().len() as u32
    }

    pub(crate) fn room(&self) -> usize {
        self.room
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<[u8]>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A holder's part in a buffer; clones share it.
pub(crate) struct Loan {
    /// `None` only while it is being dropped.
    memory: Option<Arc<[u8]>>,
    pool: Arc<Pool>,
}

impl Loan {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.memory.as_deref().unwrap_or(&[])
    }

    /// For writing; nothing while others hold the buffer too.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory.as_mut().and_then(Arc::get_mut).unwrap_or(&mut [])
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }
}

impl Clone for Loan {
    fn clone(&self) -> Self {
        Self {
            memory: self.memory.clone(),
            pool: self.pool.clone(),
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let Some(memory) = self.memory.take() else {
            return;
        };
        let mut free = self.pool.lock();
        // Nobody else holds it, so nobody else can clone it either.
        if Arc::strong_count(&memory) == 1 {
            free.push(memory);
        }
        // Any other holder's count goes down here, still under the lock.
        else {
            drop(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn the_last_holder_brings_a_buffer_home() {
        let pool = Pool::new(2, 16);
        let first = pool.take().unwrap();
        let again = first.clone();
        let second = pool.take().unwrap();
        assert!(pool.take().is_none());
        assert_eq!((pool.capacity(), pool.free()), (2, 0));
        drop(first);
        assert_eq!(pool.free(), 0);
        drop(again);
        assert_eq!(pool.free(), 1);
        drop(second);
        assert_eq!(pool.free(), 2);
    }

    #[test]
    fn a_buffer_is_written_by_its_only_holder() {
        let pool = Pool::new(1, 4);
        let mut only = pool.take().unwrap();
        only.bytes_mut().copy_from_slice(b"once");
        let mut shared = only.clone();
        assert_eq!((only.bytes_mut().len(), shared.bytes_mut().len()), (0, 0));
        assert_eq!(shared.bytes(), b"once");
        drop(shared);
        assert_eq!(only.bytes_mut().len(), 4);
    }

    #[test]
    fn no_buffer_is_lost_when_many_threads_drop_the_same_ones() {
        let pool = Pool::new(64, 8);
        for _ in 0..50 {
            let loans: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
            assert_eq!(loans.len(), 64);
            thread::scope(|scope| {
                for _ in 0..4 {
                    let mine = loans.clone();
                    scope.spawn(move || drop(mine));
                }
                drop(loans);
            });
            assert_eq!(pool.free(), 64);
        }
    }
}
