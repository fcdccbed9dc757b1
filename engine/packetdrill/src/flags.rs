//! What stands in `--so_flags`: `key=value`, separated by commas.
#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::time::Duration;

use fourtuple::stepped::SteppedOptions;
use fourtuple::{Instant, Profile};
use ipnet::IpNet;

/// The options of the shard, or one line that says what is wrong.
pub(crate) fn parse(flags: &str) -> Result<SteppedOptions, String> {
    let mut options = SteppedOptions {
        addresses: Vec::new(),
        gateways: Vec::new(),
        mtu: 1500,
        profile: Profile::default(),
        seed: 1,
        started: Instant::from_millis(1_000),
    };
    for flag in flags.split([',', ' ']).filter(|flag| !flag.is_empty()) {
        let (key, value) = flag
            .split_once('=')
            .ok_or_else(|| format!("{flag}: write it as KEY=VALUE; keys are {KEYS}"))?;
        set(&mut options, key, value)?;
    }
    // packetdrill's own network, when the script's runner names no other.
    if options.addresses.is_empty() {
        for net in ["192.168.0.2/16", "fd3d:fa7b:d17d::2/48"] {
            options.addresses.push(number(net, net)?);
        }
    }
    if options.gateways.is_empty() {
        for gateway in ["192.168.0.1", "fd3d:fa7b:d17d:8888::"] {
            options.gateways.push(number(gateway, gateway)?);
        }
    }
    Ok(options)
}

/// All keys, for messages.
const KEYS: &str = "ip, gateway, mtu, seed, receive_buffer, send_buffer, timestamps, sack, ecn, window_scaling, nodelay, \
                    initial_window, delayed_ack_ms, min_rto_ms, max_rto_ms, initial_rto_ms, msl_ms, r2_ms, \
                    syn_timeout_ms, connect_timeout_ms, challenge_acks";

fn set(options: &mut SteppedOptions, key: &str, value: &str) -> Result<(), String> {
    let profile = &mut options.profile;
    match key {
        "ip" => options.addresses.push(number::<IpNet>(key, value)?),
        "gateway" => options.gateways.push(number::<IpAddr>(key, value)?),
        "mtu" => options.mtu = number(key, value)?,
        "seed" => options.seed = number(key, value)?,
        "receive_buffer" => profile.receive_buffer = number(key, value)?,
        "send_buffer" => {
            profile.send_buffer = number(key, value)?;
            profile.send_buffer_most = 0;
        }
        "timestamps" => profile.timestamps = switch(key, value)?,
        "sack" => profile.sack = switch(key, value)?,
        "ecn" => profile.ecn = number(key, value)?,
        "window_scaling" => profile.window_scaling = switch(key, value)?,
        "nodelay" => profile.nodelay = switch(key, value)?,
        "initial_window" => profile.initial_window_segments = number(key, value)?,
        "challenge_acks" => profile.challenge_acks_per_s = number(key, value)?,
        "delayed_ack_ms" => profile.delayed_ack = span(key, value)?,
        "min_rto_ms" => profile.min_rto = span(key, value)?,
        "max_rto_ms" => profile.max_rto = span(key, value)?,
        "initial_rto_ms" => profile.initial_rto = span(key, value)?,
        "msl_ms" => profile.msl = span(key, value)?,
        "r2_ms" => profile.r2 = span(key, value)?,
        "syn_timeout_ms" => profile.syn_timeout = span(key, value)?,
        "connect_timeout_ms" => profile.connect_timeout = span(key, value)?,
        _ => return Err(format!("{key}: no such key; there are {KEYS}")),
    }
    Ok(())
}

fn number<T: std::str::FromStr>(key: &str, value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("{key}={value}: not understood"))
}

fn span(key: &str, value: &str) -> Result<Duration, String> {
    number(key, value).map(Duration::from_millis)
}

fn switch(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("{key}={value}: write on or off")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_understood_or_named() {
        let options =
            parse("ip=10.0.0.2/24,gateway=10.0.0.1 mtu=1400,sack=off,ecn=on,min_rto_ms=1000").unwrap();
        assert_eq!(options.addresses, ["10.0.0.2/24".parse().unwrap()]);
        assert_eq!(options.mtu, 1400);
        assert!(!options.profile.sack && options.profile.ecn == fourtuple::Ecn::On);
        assert_eq!(options.profile.min_rto, Duration::from_secs(1));
        for wrong in ["mtu", "mtu=x", "sack=yes", "ecn=1", "speed=1"] {
            let problem = parse(wrong).unwrap_err();
            assert!(problem.starts_with(wrong.split('=').next().unwrap()), "{problem}");
        }
        assert_eq!(parse("").unwrap().addresses.len(), 2);
    }
}
