//! Each target over its seeds, and over changes of them that are the same every time: the short run of the fuzzer.

use fourtuple_nic_mem::Random;

use super::{cookies, fragments, frames, icmp, neighbours, run, sequences};

/// A target's seeds as they are, then `each` changes of every one; $FUZZ_TIMES times as many when it is set.
fn play(target: &str, each: u64, body: fn(&[u8])) {
    let folder = format!("{}/fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut seeds: Vec<_> = std::fs::read_dir(&folder)
        .expect("seeds")
        .map(|seed| seed.expect("a seed").path())
        .collect();
    seeds.sort();
    let seeds: Vec<_> = seeds
        .iter()
        .map(|seed| std::fs::read(seed).expect("a seed"))
        .collect();
    assert!(seeds.len() >= 4, "{} seeds in {folder}", seeds.len());
    let times = std::env::var("FUZZ_TIMES").map_or(1, |times| times.parse().expect("a number"));
    for (number, seed) in seeds.iter().enumerate() {
        body(seed);
        let mut random = Random::new(number as u64 + 1);
        for _ in 0..each * times {
            let other = &seeds[random.below(seeds.len() as u64) as usize];
            let script = changed(seed, other, &mut random);
            if std::panic::catch_unwind(|| body(&script)).is_err() {
                panic!("{target} fails with {script:02x?}");
            }
        }
    }
}

/// One to eight changes: bits, octets, pieces out, pieces in, the rest of another seed.
fn changed(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(8) {
        let at = random.below(bytes.len() as u64 + 1) as usize;
        let rest = (bytes.len() - at).min(1 + random.below(16) as usize);
        match random.below(6) {
            0 if rest > 0 => bytes[at] ^= 1 << random.below(8),
            1 if rest > 0 => bytes[at] = random.next_u64() as u8,
            2 => drop(bytes.drain(at..at + rest)),
            3 => {
                let piece = bytes[at..at + rest].to_vec();
                let to = random.below(bytes.len() as u64 + 1) as usize;
                bytes.splice(to..to, piece);
            }
            4 => {
                let noise: Vec<u8> = (0..random.below(9)).map(|_| random.next_u64() as u8).collect();
                bytes.splice(at..at, noise);
            }
            _ => {
                bytes.truncate(at);
                bytes.extend_from_slice(&other[random.below(other.len() as u64 + 1) as usize..]);
            }
        }
    }
    bytes.truncate(4_096);
    bytes
}

#[test]
fn receive() {
    play("receive", 4, run);
}

#[test]
fn frames_of_any_bytes() {
    play("frames", 3_000, frames::frames);
}

#[test]
fn options_of_any_bytes() {
    play("options", 3_000, frames::options);
}

#[test]
fn sequences_of_any_segments() {
    play("sequences", 12, sequences::sequences);
}

// proves: RFC 9293 MUST-56
#[test]
fn any_icmp() {
    play("icmp", 8, icmp::icmp);
}

#[test]
fn any_neighbours() {
    play("neighbours", 8, neighbours::neighbours);
}

// proves: RFC 815 §3, RFC 5722 §4, RFC 6946 §4, RFC 8200 §4.5
#[test]
fn any_fragments() {
    play("fragments", 8, fragments::fragments);
}

#[test]
fn any_handshakes_with_cookies() {
    play("cookies", 8, cookies::cookies);
}
