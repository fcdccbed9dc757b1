//! The EAL itself: once a process, quiet, unprivileged where need be, and its clock.

mod common;

use std::process::Command;
use std::time::{Duration, Instant};

use common::{
    alone, alone_through, as_nobody, eal, eal_on_ordinary_pages, frame, joined, receive, send, skip, small,
    worker,
};
use fourtuple_nic::{Clock, NicError};
use fourtuple_nic_dpdk::{Eal, EalOptions, Memory, TscClock};

// proves: D12, EAL words that differ from the first engine's are a ConfigError
#[test]
fn a_second_start_joins_the_first_or_says_what_differs() {
    alone("a_second_start_joins_the_first_or_says_what_differs", || {
        assert!(Eal::running().is_none());
        let first = EalOptions {
            megabytes: Some(64),
            ..EalOptions::default()
        };
        let eal = Eal::start(&first).unwrap();
        assert!(eal.version().starts_with("DPDK "));
        assert!(Eal::running().is_some());
        let again = Eal::start(&first).unwrap();
        assert_eq!(again.words(), eal.words());
        let memory = if eal.on_huge_pages() {
            Memory::HugePages
        } else {
            Memory::OrdinaryPages
        };
        assert!(
            Eal::start(&EalOptions {
                memory,
                ..first.clone()
            })
            .is_ok(),
            "what Auto became is no difference"
        );
        let other = EalOptions {
            megabytes: Some(65),
            ..first
        };
        let error = Eal::start(&other).unwrap_err();
        assert!(matches!(error, NicError::EalDiffers { .. }));
        let message = error.to_string();
        assert!(
            message.contains("-m 64") && message.contains("-m 65"),
            "{message}"
        );
    });
}

#[test]
fn starting_leaves_the_calling_thread_on_all_its_processors() {
    alone("starting_leaves_the_calling_thread_on_all_its_processors", || {
        let allowed = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            status
                .lines()
                .find(|line| line.starts_with("Cpus_allowed:"))
                .unwrap()
                .to_owned()
        };
        let before = allowed();
        let eal = eal();
        let _worker = worker(&eal);
        assert_eq!(allowed(), before);
    });
}

#[test]
fn ordinary_pages_serve_a_user_without_any_privilege() {
    let name = "ordinary_pages_serve_a_user_without_any_privilege";
    if !common::may_become_nobody() {
        return skip("becoming another user needs root and setpriv");
    }
    alone_through(name, as_nobody, || {
        let eal = eal_on_ordinary_pages(64);
        assert!(!eal.on_huge_pages());
        let _worker = worker(&eal);
        let ((_a, mut qa), (_b, mut qb)) = joined(&eal, &small());
        let out = frame(&mut qa, b"unprivileged");
        send(&mut qa, out);
        assert_eq!(receive(&mut qb).len(), 1);
    });
}

#[test]
fn dpdk_is_silent_on_stdout_and_stderr() {
    const NAME: &str = "dpdk_is_silent_on_stdout_and_stderr";
    let inside = || {
        let eal = eal();
        drop(eal.ring_pair(1, &small()).unwrap());
        // What fails is told by the error, not on the terminal.
        let message = eal.vdev("net_nosuch", 1, &small()).unwrap_err().to_string();
        assert!(message.contains("DPDK said"), "{message}");
    };
    if common::is_alone() {
        return inside();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([NAME, "--exact", "--nocapture"])
        .env("FOURTUPLE_TEST_ALONE", NAME)
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    for noise in ["EAL", "TELEMETRY", "ETHDEV", "vdev"] {
        assert!(!text.contains(noise), "{text}");
    }
}

#[test]
fn a_start_that_dpdk_refuses_says_what_it_said_and_that_there_is_no_second_try() {
    alone(
        "a_start_that_dpdk_refuses_says_what_it_said_and_that_there_is_no_second_try",
        || {
            let wrong = EalOptions {
                memory: Memory::OrdinaryPages,
                megabytes: Some(64),
                extra: vec!["--iova-mode=pb".to_owned()],
                ..EalOptions::default()
            };
            let message = Eal::start(&wrong).unwrap_err().to_string();
            assert!(
                message.contains("does not start") && message.contains("iova"),
                "{message}"
            );
        },
    );
}

#[test]
fn the_clock_runs_with_the_systems_and_never_backwards() {
    alone("the_clock_runs_with_the_systems_and_never_backwards", || {
        let eal = eal_on_ordinary_pages(64);
        let clock = TscClock::new(&eal);
        let (started, start) = (Instant::now(), clock.now_ns());
        let mut last = start;
        while started.elapsed() < Duration::from_millis(300) {
            let now = clock.now_ns();
            assert!(now >= last);
            last = now;
        }
        let (ours, systems) = (clock.now_ns() - start, started.elapsed().as_nanos() as u64);
        // Right to 100 ppm, and one preemption between the two readings.
        assert!(
            ours.abs_diff(systems) < systems / 10_000 + 20_000_000,
            "{ours} ns against {systems} ns"
        );
        assert!(clock.hz() > 100_000_000);
    });
}

#[test]
fn every_worker_gets_an_lcore_id_of_its_own_and_gives_it_back() {
    alone(
        "every_worker_gets_an_lcore_id_of_its_own_and_gives_it_back",
        || {
            let eal = eal_on_ordinary_pages(64);
            let mine = worker(&eal);
            let same = worker(&eal);
            assert_eq!(mine.lcore_id(), same.lcore_id(), "a thread may register twice");
            drop(mine);
            for _round in 0..200 {
                let theirs = std::thread::spawn(move || worker(&eal).lcore_id())
                    .join()
                    .unwrap();
                assert_ne!(theirs, same.lcore_id());
            }
        },
    );
}
