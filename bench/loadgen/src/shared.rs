//! What workers and the watching thread tell each other: one word of phase in, counters and one histogram out.
//!
//! Each value has one writer. Counters are stored with `Relaxed`: they are looked at for progress, and read for the outcome
//! only after `finished`, whose Release and Acquire order them.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::recorder::{Counts, Errors, Recorder};

/// What all workers are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Connections are opened; no operation starts.
    Connect,
    /// Operations are done and not counted.
    WarmUp,
    /// Operations count.
    Measure,
    /// Nothing starts any more; what is under way may end.
    Finish,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Connect, Self::WarmUp, Self::Measure, Self::Finish];
}

/// What a worker hands over when its measured time is over.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) recorder: Recorder,
    /// From its first measured turn to its last.
    pub(crate) measured: Duration,
}

/// One worker's side.
#[derive(Debug, Default)]
pub(crate) struct Live {
    operations: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    connect: AtomicU64,
    reset: AtomicU64,
    timeout: AtomicU64,
    verify: AtomicU64,
    status: AtomicU64,
    /// Connections that are open now.
    pub(crate) open: AtomicU32,
    /// All that was to be opened before the start is open.
    pub(crate) ready: AtomicBool,
    /// Its share of the operations is done.
    pub(crate) done: AtomicBool,
    finished: AtomicBool,
    result: Mutex<Option<Finished>>,
    /// Why the last connection could not be opened, or ended.
    failure: Mutex<Option<Failure>>,
}

/// Why a connection could not be opened, or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It could not even be tried.
    NotTried(fourtuple::ConnectError),
    /// The peer or the path.
    Peer(fourtuple::ConnectionError),
    /// There was no answer within the time-out.
    NoAnswer,
    /// The peer closed it.
    Closed,
    /// What it answers is not HTTP.
    NotHttp,
    /// It answers with a status that is not 2xx.
    Status,
}

impl Live {
    /// What is told of a run under way: not what only its end tells.
    pub(crate) fn publish(&self, counts: &Counts) {
        let Counts {
            operations,
            sent,
            received,
            errors,
            established: _,
            lost: _,
        } = *counts;
        let Errors {
            connect,
            reset,
            timeout,
            verify,
            status,
        } = errors;
        let fields = [
            (&self.operations, operations),
            (&self.sent, sent),
            (&self.received, received),
            (&self.connect, connect),
            (&self.reset, reset),
            (&self.timeout, timeout),
            (&self.verify, verify),
            (&self.status, status.unwrap_or_default()),
        ];
        for (field, value) in fields {
            field.store(value, Ordering::Relaxed);
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let read = |field: &AtomicU64| field.load(Ordering::Relaxed);
        Counts {
            operations: read(&self.operations),
            sent: read(&self.sent),
            received: read(&self.received),
            errors: Errors {
                connect: read(&self.connect),
                reset: read(&self.reset),
                timeout: read(&self.timeout),
                verify: read(&self.verify),
                status: Some(read(&self.status)),
            },
            ..Counts::default()
        }
    }

    /// Notes a failure, unless the watching thread is looking: a worker never waits.
    pub(crate) fn note(&self, failure: Failure) {
        if let Ok(mut last) = self.failure.try_lock() {
            *last = Some(failure);
        }
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn finish(&self, result: Finished) {
        // Nobody takes the lock before `finished` is set.
        if let Ok(mut place) = self.result.try_lock() {
            *place = Some(result);
        }
        // Pairs with the Acquire of `take`.
        self.finished.store(true, Ordering::Release);
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    pub(crate) fn take(&self) -> Option<Finished> {
        if !self.is_finished() {
            return None;
        }
        self.result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What all workers of a run share.
#[derive(Debug)]
pub(crate) struct Shared {
    phase: AtomicU8,
    pub(crate) workers: Vec<Live>,
}

impl Shared {
    pub(crate) fn new(workers: u16) -> Self {
        Self {
            phase: AtomicU8::new(Phase::Connect as u8),
            workers: (0..workers).map(|_| Live::default()).collect(),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        // Relaxed: a phase says nothing of other memory.
        let number = self.phase.load(Ordering::Relaxed);
        Phase::ALL
            .into_iter()
            .find(|phase| *phase as u8 == number)
            .unwrap_or(Phase::Finish)
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        self.workers.iter().for_each(|worker| sum.add(&worker.counts()));
        sum
    }

    pub(crate) fn open(&self) -> u32 {
        self.workers
            .iter()
            .map(|worker| worker.open.load(Ordering::Relaxed))
            .sum()
    }
}
