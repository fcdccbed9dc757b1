//! Tests with an EAL, each in a process of its own: an EAL can be started once in a process and never ended.
//!
//! A test wraps its body in [`alone`], which runs the test binary again with just this test. So `cargo test` (threads in one process)
//! and `cargo nextest` (a process each) do the same.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::print_stdout, reason = "a skip has to be seen")]

pub mod namespace;

use std::env;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use fourtuple_nic::{Queue, RxBuf, TxFrame};
use fourtuple_nic_dpdk::{DpdkQueue, Eal, EalOptions, Mbuf, Memory, Port, PortOptions, TxMbuf, WorkerThread};

const ALONE: &str = "FOURTUPLE_TEST_ALONE";

const SKIPPED: &str = "SKIPPED: ";

/// Runs `body` in a process of its own; `name` is the path of the test function, as the runner prints it.
#[track_caller]
pub fn alone(name: &str, body: impl FnOnce()) {
    alone_through(name, |command| command, body);
}

/// As [`alone`], with the command that runs the process changed by `through`: as another user, in a namespace.
#[track_caller]
pub fn alone_through(name: &str, through: impl FnOnce(Command) -> Command, body: impl FnOnce()) {
    if env::var_os(ALONE).is_some_and(|running| running == name) {
        return body();
    }
    let binary = env::current_exe().expect("a test binary knows where it is");
    let mut command = Command::new(binary);
    command
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(ALONE, name);
    let output = through(command).output().expect("the test binary runs again");
    let text = shown(&output);
    for (_, reason) in text.lines().filter_map(|line| line.split_once(SKIPPED)) {
        skip(reason);
    }
    assert!(
        output.status.success(),
        "{name}, alone in a process, failed with {}:\n{text}",
        output.status
    );
    assert!(text.contains("1 passed"), "{name} names no test:\n{text}");
}

fn shown(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    text
}

/// This process was started by [`alone`].
pub fn is_alone() -> bool {
    env::var_os(ALONE).is_some()
}

/// Whether [`as_nobody`] can work.
pub fn may_become_nobody() -> bool {
    is_alone()
        || as_nobody(Command::new("true"))
            .output()
            .is_ok_and(|output| output.status.success())
}

/// The same command, run by the user nobody without any capability.
pub fn as_nobody(command: Command) -> Command {
    let mut other = Command::new("setpriv");
    other.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--bounding-set=-all",
        "--inh-caps=-all",
    ]);
    other.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            other.env(name, value);
        }
    }
    other
}

/// Says that a test could not run here, and why. Never silent.
pub fn skip(reason: &str) {
    println!("{SKIPPED}{reason}");
}

/// Whether `done` becomes true within two seconds; for what the kernel does meanwhile.
pub fn soon(mut done: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        if done() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

/// A small EAL: huge pages where there are some, so that the tests run with what users run.
pub fn eal() -> Eal {
    let options = EalOptions {
        memory: Memory::Auto,
        megabytes: Some(128),
        ..EalOptions::default()
    };
    Eal::start(&options).expect("the EAL starts")
}

/// An EAL that takes no huge pages, with so much memory.
pub fn eal_on_ordinary_pages(megabytes: u32) -> Eal {
    let options = EalOptions {
        memory: Memory::OrdinaryPages,
        megabytes: Some(megabytes),
        ..EalOptions::default()
    };
    Eal::start(&options).expect("the EAL starts")
}

/// Registers this thread, as every worker does.
pub fn worker(eal: &Eal) -> WorkerThread {
    eal.register_thread().expect("an lcore id is left")
}

/// Few and small pools, exhausted and counted quickly; long payload is attached, short copied, on every port.
pub fn small() -> PortOptions {
    PortOptions {
        rx_buffers: 511,
        payload_buffers: 511,
        tx_buffers: 511,
        descriptors: 256,
        copied_at_most: Some(512),
        ..PortOptions::default()
    }
}

/// Two ports back to back, and the only queue of each.
pub fn joined(eal: &Eal, options: &PortOptions) -> ((Port, DpdkQueue), (Port, DpdkQueue)) {
    let (mut a, mut b) = eal.ring_pair(1, options).expect("a ring pair");
    let (qa, qb) = (a.take_queues().remove(0), b.take_queues().remove(0));
    ((a, qa), (b, qb))
}

/// A frame of these bytes.
#[track_caller]
pub fn frame(queue: &mut DpdkQueue, bytes: &[u8]) -> TxMbuf {
    let mut frame = queue.tx_frame().expect("a header buffer");
    frame.append(bytes.len()).expect("room").copy_from_slice(bytes);
    frame
}

/// Sends one frame, which must be taken.
#[track_caller]
pub fn send(queue: &mut DpdkQueue, frame: TxMbuf) {
    let mut frames = vec![frame];
    assert_eq!(queue.tx_burst(&mut frames), 1, "the port takes one frame");
}

/// All that one burst of 64 gives.
pub fn receive(queue: &mut DpdkQueue) -> Vec<Mbuf> {
    let mut frames = Vec::with_capacity(64);
    queue.rx_burst(&mut frames, 64);
    frames
}

/// The bytes of frames, as lists that compare.
pub fn contents(frames: &[Mbuf]) -> Vec<Vec<u8>> {
    frames.iter().map(|frame| frame.bytes().to_vec()).collect()
}

/// Every buffer of this queue's pools is free.
pub fn all_home(queue: &DpdkQueue) -> bool {
    let gauge = queue.pool();
    let (payload, payload_free) = queue.payload_pool();
    gauge.rx_free == gauge.rx_capacity && gauge.tx_free == gauge.tx_capacity && payload == payload_free
}
