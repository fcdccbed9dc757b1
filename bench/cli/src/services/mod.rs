//! The services of `fourtuple serve`, each written once, for connections on the worker and on application threads alike.
//!
//! | file | idea |
//! |---|---|
//! | pipe | what a service needs of a connection |
//! | echo, discard, chargen, daytime, http | one service each (RFC 862, 863, 864, 867, 9112) |
//! | http_request, http_range | requests of HTTP/1.1, and the parts they ask for |
//! | http_web, http_files | what http answers with; the files of a folder |
//! | clock | the time of day |
//! | on_worker | run to completion: a handler |
//! | on_threads | hand-off: threads with an endpoint each |

mod chargen;
mod clock;
mod daytime;
mod discard;
mod echo;
mod http;
pub(crate) mod http_files;
mod http_range;
mod http_request;
mod http_web;
pub(crate) mod on_threads;
pub(crate) mod on_worker;
mod pipe;
#[cfg(test)]
mod testing;

use std::str::FromStr;

pub(crate) use http_web::Site;
use pipe::Pipe;

use crate::units::{self, Ports};

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Echo,
    Discard,
    Chargen,
    Daytime,
    Http,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Echo,
        Self::Discard,
        Self::Chargen,
        Self::Daytime,
        Self::Http,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Discard => "discard",
            Self::Chargen => "chargen",
            Self::Daytime => "daytime",
            Self::Http => "http",
        }
    }

    /// The port that the service is known by.
    pub(crate) fn port(self) -> u16 {
        match self {
            Self::Echo => 7,
            Self::Discard => 9,
            Self::Chargen => 19,
            Self::Daytime => 13,
            Self::Http => 80,
        }
    }
}

/// A service and where it listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) kind: Kind,
    /// The first port, and the last: mostly the same.
    pub(crate) first: u16,
    pub(crate) last: u16,
}

impl FromStr for Service {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, ports) = text
            .split_once(':')
            .map_or((text, None), |(name, ports)| (name, Some(ports)));
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| {
                format!(
                    "there is no service `{name}`; there are {}",
                    Kind::ALL.map(Kind::name).join(", ")
                )
            })?;
        let (first, last): Ports = match ports {
            None => (kind.port(), kind.port()),
            Some(ports) => units::ports(ports)?,
        };
        Ok(Self { kind, first, last })
    }
}

/// What a service knows of one connection.
#[derive(Default)]
pub(crate) enum Session<H> {
    /// Not open yet, or over.
    #[default]
    None,
    Echo(echo::Echo<H>),
    Discard,
    Chargen(chargen::Chargen),
    Daytime,
    Http(http::Http),
}

/// What all connections of a thread share: bytes that are sent often.
pub(crate) struct Kit<P> {
    chargen: Option<P>,
    web: http_web::Web<P>,
}

impl<P> Kit<P> {
    pub(crate) fn new(site: Site) -> Self {
        Self {
            chargen: None,
            web: http_web::Web::new(site),
        }
    }
}

impl<H: Send + 'static> Session<H> {
    /// A connection of this service is open.
    pub(crate) fn open<P: Pipe<Held = H>>(kind: Kind, pipe: &mut P, kit: &mut Kit<P::Prepared>) -> Self {
        let mut session = match kind {
            Kind::Echo => Self::Echo(echo::Echo::default()),
            Kind::Discard => Self::Discard,
            Kind::Chargen => Self::Chargen(chargen::Chargen::default()),
            Kind::Daytime => {
                daytime::on_open(pipe);
                Self::Daytime
            }
            Kind::Http => Self::Http(http::Http::default()),
        };
        session.fill(pipe, kit);
        session
    }

    fn fill<P: Pipe<Held = H>>(&mut self, pipe: &mut P, kit: &mut Kit<P::Prepared>) {
        if let Self::Chargen(chargen) = self {
            let pattern = kit
                .chargen
                .get_or_insert_with(|| pipe.prepare(chargen::pattern()));
            chargen.fill(pipe, pattern);
        }
    }

    pub(crate) fn on_readable<P: Pipe<Held = H>>(&mut self, pipe: &mut P, kit: &mut Kit<P::Prepared>) {
        match self {
            Self::Echo(echo) => echo.on_readable(pipe),
            Self::None | Self::Discard | Self::Chargen(_) => discard::on_readable(pipe),
            Self::Daytime => daytime::on_readable(pipe),
            Self::Http(http) => http.go_on(pipe, &mut kit.web),
        }
    }

    pub(crate) fn on_writable<P: Pipe<Held = H>>(&mut self, pipe: &mut P, kit: &mut Kit<P::Prepared>) {
        match self {
            Self::Echo(echo) => echo.on_writable(pipe),
            Self::Chargen(_) => self.fill(pipe, kit),
            Self::Http(http) => http.go_on(pipe, &mut kit.web),
            Self::None | Self::Discard | Self::Daytime => {}
        }
    }

    pub(crate) fn on_peer_closed<P: Pipe<Held = H>>(&mut self, pipe: &mut P, kit: &mut Kit<P::Prepared>) {
        match self {
            Self::Echo(echo) => echo.on_peer_closed(pipe),
            // RFC 864 sends until the peer is gone: one that only closed its side still reads.
            Self::Chargen(_) => {}
            Self::Http(http) => http.on_peer_closed(pipe, &mut kit.web),
            Self::None | Self::Discard | Self::Daytime => pipe.close(),
        }
    }

    /// The engine drains: what waits for a next request closes. The others end when their peers do.
    pub(crate) fn on_drain<P: Pipe<Held = H>>(&mut self, pipe: &mut P) {
        match self {
            Self::Http(http) if http.is_idle() => pipe.close(),
            Self::None | Self::Echo(_) | Self::Discard | Self::Chargen(_) | Self::Daytime | Self::Http(_) => {
            }
        }
    }

    /// Something waits for room.
    pub(crate) fn waits(&self) -> bool {
        match self {
            Self::Echo(echo) => echo.waits(),
            Self::Chargen(_) => true,
            Self::Http(http) => http.waits(),
            Self::None | Self::Discard | Self::Daytime => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_as_people_write_them() {
        let cases = [
            ("echo", Some((Kind::Echo, 7, 7))),
            ("http:8080", Some((Kind::Http, 8080, 8080))),
            ("chargen", Some((Kind::Chargen, 19, 19))),
            ("discard:1", Some((Kind::Discard, 1, 1))),
            ("daytime", Some((Kind::Daytime, 13, 13))),
            ("echo:7000-7999", Some((Kind::Echo, 7_000, 7_999))),
            ("echo:1-65535", Some((Kind::Echo, 1, 65_535))),
            ("gopher:70", None),
            ("echo:0", None),
            ("echo:65536", None),
            ("echo:7-6", None),
            ("echo:0-6", None),
            ("echo:", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let parsed = text
                .parse()
                .ok()
                .map(|service: Service| (service.kind, service.first, service.last));
            assert_eq!(parsed, expected, "{text}");
        }
    }
}
