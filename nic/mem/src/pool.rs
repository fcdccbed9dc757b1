//! A fixed number of buffers of one size. A buffer goes home when its last holder drops it, on whatever thread.
//!
//! The number of holders is the reference count of the memory itself. It is only ever looked at and lowered under the pool's
//! lock, so exactly one holder finds that it is the last.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Buffers of one queue for one purpose.
pub(crate) struct Pool {
    free: Mutex<Free>,
    capacity: u32,
    /// Bytes that one buffer holds.
    room: usize,
}

/// Buffers that nobody holds.
struct Free {
    made: Vec<Arc<[u8]>>,
    /// Those that are made when they are needed for the first time.
    to_make: u32,
}

impl Pool {
    /// All buffers are made at once, or each when it is needed for the first time.
    pub(crate) fn new(capacity: u32, room: usize, lazy: bool) -> Arc<Self> {
        let mut made = Vec::with_capacity(capacity as usize);
        let to_make = if lazy { capacity } else { 0 };
        made.extend((to_make..capacity).map(|_| memory(room)));
        Arc::new(Self {
            free: Mutex::new(Free { made, to_make }),
            capacity,
            room,
        })
    }

    /// A buffer for one holder; `None` when all are out.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Loan> {
        let mut free = self.lock();
        let taken = match free.made.pop() {
            Some(memory) => memory,
            None => {
                free.to_make = free.to_make.checked_sub(1)?;
                memory(self.room)
            }
        };
        Some(Loan {
            memory: Some(taken),
            pool: self.clone(),
        })
    }

    pub(crate) fn capacity(&self) -> u32 {
        self.capacity
    }

    pub(crate) fn free(&self) -> u32 {
        let free = self.lock();
        free.made.len() as u32 + free.to_make
    }

    pub(crate) fn room(&self) -> usize {
        self.room
    }

    fn lock(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn memory(room: usize) -> Arc<[u8]> {
    Arc::from(vec![0; room])
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
            free.made.push(memory);
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
        let pool = Pool::new(2, 16, true);
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
        let pool = Pool::new(1, 4, false);
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
        let pool = Pool::new(64, 8, true);
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
