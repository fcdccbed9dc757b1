//! A listener as TOML has it: the fields of [`Listen`], and the options of its connections that are not those of the configuration.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use fourtuple_tcp::{CongestionKind, KeepAlive, Pacing};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::{AcceptPolicy, Delivery, Listen, SynCookies};
use crate::config::parse_span;
use crate::options::ConnectionOption;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Words {
    port: Ports,
    address: Option<IpAddr>,
    backlog: Option<u32>,
    syn_queue: Option<u32>,
    syn_cookies: Option<SynCookies>,
    fast_open: Option<u32>,
    delivery: Option<Delivery>,
    policy: Option<AcceptPolicy>,
    nodelay: Option<bool>,
    keepalive: Option<KeepAliveWords>,
    user_timeout: Option<Span>,
    r1: Option<u8>,
    r2: Option<Span>,
    ttl: Option<u8>,
    dscp: Option<Dscp>,
    mss_clamp: Option<u16>,
    receive_buffer: Option<u32>,
    congestion: Option<Name<CongestionKind>>,
    pacing: Option<PacingWord>,
    max_pacing_rate: Option<u64>,
    linger: Option<Span>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Ports {
    One(u16),
    Several(String),
}

/// `30s`, `100ms`.
struct Span(Duration);

/// `60s,10s,6`, or `off`.
struct KeepAliveWords(Option<KeepAlive>);

/// 0–63.
struct Dscp(u8);

/// One of several words.
struct Name<T>(T);

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PacingWord {
    Auto,
    On,
    Off,
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        parse_span(&text).map(Self).map_err(Error::custom)
    }
}

impl<'de> Deserialize<'de> for KeepAliveWords {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let wrong = || {
            D::Error::custom(format!(
                "`{text}`: write idle time, interval and count, as 60s,10s,6, or off"
            ))
        };
        if text == "off" {
            return Ok(Self(None));
        }
        let parts: Vec<_> = text.split(',').collect();
        let [idle, interval, count] = parts[..] else {
            return Err(wrong());
        };
        let keepalive = KeepAlive::new(
            parse_span(idle).map_err(Error::custom)?,
            parse_span(interval).map_err(Error::custom)?,
            count.parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?,
        );
        Ok(Self(Some(keepalive)))
    }
}

impl<'de> Deserialize<'de> for Dscp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match u8::deserialize(from)? {
            point @ 0..=63 => Ok(Self(point)),
            point => Err(Error::custom(format!("{point}: code points go from 0 to 63"))),
        }
    }
}

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Name<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?
            .parse()
            .map(Self)
            .map_err(Error::custom)
    }
}

impl Words {
    fn options(&self) -> Vec<ConnectionOption> {
        let pacing = self.pacing.as_ref().map(|word| match word {
            PacingWord::Auto => Pacing::Auto,
            PacingWord::On => Pacing::On,
            PacingWord::Off => Pacing::Off,
        });
        let span = |span: &Option<Span>| span.as_ref().map(|span| span.0);
        let given = [
            self.nodelay.map(ConnectionOption::NoDelay),
            self.keepalive
                .as_ref()
                .map(|keepalive| ConnectionOption::KeepAlive(keepalive.0)),
            span(&self.user_timeout).map(|span| ConnectionOption::UserTimeout(Some(span))),
            self.r1.map(ConnectionOption::R1),
            span(&self.r2).map(ConnectionOption::R2),
            self.ttl.map(ConnectionOption::Ttl),
            self.dscp.as_ref().map(|dscp| ConnectionOption::Dscp(dscp.0)),
            self.mss_clamp.map(ConnectionOption::MssClamp),
            self.receive_buffer.map(ConnectionOption::ReceiveBuffer),
            self.congestion
                .as_ref()
                .map(|name| ConnectionOption::Congestion(name.0)),
            pacing.map(ConnectionOption::Pacing),
            self.max_pacing_rate
                .map(|rate| ConnectionOption::MaxPacingRate(Some(rate))),
            span(&self.linger).map(ConnectionOption::Linger),
        ];
        given.into_iter().flatten().collect()
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let words = Words::deserialize(from)?;
        let options = words.options();
        let listen = match words.port {
            Ports::One(port) => Self::on(port),
            Ports::Several(text) => {
                let bounds = text.split_once('-').unwrap_or((&text, &text));
                let (Ok(first), Ok(last)) = (bounds.0.parse(), bounds.1.parse()) else {
                    let problem = format!("`{text}` is no port and no range: write it as 80 or '8000-8003'");
                    return Err(Error::custom(problem));
                };
                Self::on_ports(first..=last)
            }
        };
        Ok(Self {
            address: words.address,
            backlog: words.backlog.unwrap_or(listen.backlog),
            syn_queue: words.syn_queue.unwrap_or(listen.syn_queue),
            syn_cookies: words.syn_cookies.unwrap_or(listen.syn_cookies),
            fast_open: words.fast_open.unwrap_or(listen.fast_open),
            delivery: words.delivery.unwrap_or(listen.delivery),
            policy: words.policy.unwrap_or(listen.policy),
            options,
            ..listen
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[test]
    fn toml_names_every_option_of_a_listeners_connections() {
        let text = "msl = '1s'\nsend-buffer = 8192\n[[listen]]\nport = 80\nnodelay = true\nkeepalive = '60s,10s,6'\nuser-timeout = '30s'\n\
                    r1 = 4\nr2 = '200s'\nttl = 9\ndscp = 46\nmss-clamp = 1000\nreceive-buffer = 65536\ncongestion = 'bbr'\n\
                    pacing = 'on'\nmax-pacing-rate = 1000000\nlinger = '5s'\n[[listen]]\nport = 81\nkeepalive = 'off'\n";
        let config = Config::from_toml(text).unwrap();
        let own = config.profile();
        let [first, second] = &config.listen[..] else {
            panic!("{config:?}")
        };
        let keepalive = KeepAlive::new(Duration::from_secs(60), Duration::from_secs(10), 6);
        let expected = own.clone().with(|profile| {
            profile.nodelay = true;
            profile.keepalive = Some(keepalive);
            profile.user_timeout = Some(Duration::from_secs(30));
            profile.r1 = 4;
            profile.r2 = Duration::from_secs(200);
            profile.ttl = 9;
            profile.dscp = 46;
            profile.mss_clamp = Some(1000);
            profile.receive_buffer = 65_536;
            profile.congestion = CongestionKind::Bbr;
            profile.pacing = Pacing::On;
            profile.max_pacing_rate = Some(1_000_000);
            profile.orphan_timeout = Duration::from_secs(5);
        });
        assert_eq!(first.profile_over(&own), expected);
        assert_eq!(
            (own.msl, own.send_buffer),
            (Duration::from_secs(1), 8192),
            "the rest is the engine's"
        );
        assert_eq!(second.profile_over(&own), own);
        for (wrong, named) in [
            ("keepalive = '60s'", "60s,10s,6"),
            ("keepalive = '60s,10s,0'", "60s,10s,6"),
            ("dscp = 64", "0 to 63"),
            ("congestion = 'vegas'", "cubic, newreno, bbr, dctcp"),
            ("pacing = 'yes'", "auto"),
            ("linger = 'long'", "30s"),
        ] {
            let error = Config::from_toml(&format!("[[listen]]\nport = 80\n{wrong}"))
                .unwrap_err()
                .to_string();
            assert!(error.contains(named), "{wrong}: {error}");
        }
    }
}
