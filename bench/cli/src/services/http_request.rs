//! Requests of HTTP/1.1 (RFC 9112), as far as pages and files need them: target, whether to keep the connection, conditions.

use std::mem::MaybeUninit;

/// Most bytes of a request's head.
pub(crate) const HEAD_LIMIT: usize = 8 * 1024;
/// Most header lines of a request.
const HEADERS: usize = 64;

/// What stands at the front of the bytes received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parsed<'a> {
    /// The head has not come to its end.
    Incomplete,
    /// A request to be answered, and its length in bytes.
    Request(usize, Request<'a>),
    /// A request to be refused; nothing behind it is understood.
    Refused(Refusal),
}

/// A request to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request<'a> {
    /// HEAD: the same answer without its body.
    pub(crate) head_only: bool,
    /// How the connection goes on.
    pub(crate) keep: Keep,
    /// As it was sent: `/a%20b?c`, or with scheme and host before it.
    pub(crate) target: &'a str,
    /// The part that is wanted; `None` too where If-Range makes it depend on what nobody here keeps.
    pub(crate) range: Option<&'a [u8]>,
    /// Not wanted when it is one of these.
    pub(crate) none_match: Option<&'a [u8]>,
    /// Not wanted when it has not changed since.
    pub(crate) modified_since: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// The path, without host and query, percent-encoded as it was sent.
    pub(crate) fn path(&self) -> &'a str {
        let target = if self.target.starts_with('/') {
            self.target
        } else {
            match self.target.split_once("://") {
                Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
                None => self.target,
            }
        };
        target.split(['?', '#']).next().unwrap_or("/")
    }
}

/// Whether the connection stays after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// It stays, as HTTP/1.1 has it.
    Stays,
    /// It stays because an HTTP/1.0 client asked for it; the answer has to say so.
    Asked,
    /// It is closed.
    Closes,
}

/// Why a request is refused, in plain words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Malformed,
    NoHost,
    Body,
    Method,
    TooLarge,
    Version,
}

impl Refusal {
    pub(crate) fn status(self) -> &'static str {
        match self {
            Self::Malformed | Self::NoHost => "400 Bad Request",
            Self::Body => "413 Content Too Large",
            Self::Method => "405 Method Not Allowed",
            Self::TooLarge => "431 Request Header Fields Too Large",
            Self::Version => "505 HTTP Version Not Supported",
        }
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Malformed => "This is not a request of HTTP/1.1.",
            Self::NoHost => "A request of HTTP/1.1 names its Host, once.",
            Self::Body => "Requests with a body are not taken here.",
            Self::Method => "There is GET and HEAD here.",
            Self::TooLarge => "The head of a request may have 8 KiB and 64 lines here.",
            Self::Version => "HTTP/1.0 and HTTP/1.1 are spoken here.",
        }
    }
}

/// Reads the request at the front of `bytes`.
pub(crate) fn parse(bytes: &[u8]) -> Parsed<'_> {
    // Not cleared before each request: 2 KiB.
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS];
    let mut request = httparse::Request::new(&mut []);
    let len = match request.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(httparse::Status::Complete(len)) if len <= HEAD_LIMIT => len,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_LIMIT => return Parsed::Incomplete,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Parsed::Refused(Refusal::TooLarge),
        Err(httparse::Error::Version) => return Parsed::Refused(Refusal::Version),
        Err(_) => return Parsed::Refused(Refusal::Malformed),
    };
    let named = |name: &'static str| {
        request
            .headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    };
    let is_1_1 = request.version == Some(1);
    // RFC 9112 §3.2: a request of HTTP/1.1 without Host, or with several, is answered with 400.
    if named("host").count() > 1 || (is_1_1 && named("host").next().is_none()) {
        return Parsed::Refused(Refusal::NoHost);
    }
    if named("transfer-encoding").next().is_some() || named("content-length").any(|value| value != b"0") {
        return Parsed::Refused(Refusal::Body);
    }
    let head_only = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Parsed::Refused(Refusal::Method),
    };
    // RFC 9112 §3.2.4: the asterisk form is for OPTIONS.
    let Some(target) = request
        .path
        .filter(|path| path.starts_with('/') || path.contains("://"))
    else {
        return Parsed::Refused(Refusal::Malformed);
    };
    let asks = |word: &str| {
        named("connection").any(|value| {
            value
                .split(|byte| *byte == b',')
                .any(|part| part.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
        })
    };
    // RFC 9112 §9.3.
    let keep = match (asks("close"), is_1_1, asks("keep-alive")) {
        (true, ..) | (false, false, false) => Keep::Closes,
        (false, true, _) => Keep::Stays,
        (false, false, true) => Keep::Asked,
    };
    // RFC 9110 §14.2: Range is for GET alone.
    let takes_range = !head_only && named("if-range").next().is_none();
    let wanted = Request {
        head_only,
        keep,
        target,
        range: named("range").next().filter(|_| takes_range),
        none_match: named("if-none-match").next(),
        modified_since: named("if-modified-since").next(),
    };
    Parsed::Request(len, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a request came to: its length, whether it is a HEAD, how the connection goes on; or why it was refused.
    type Found = Result<Option<(usize, bool, Keep)>, Refusal>;

    fn found(bytes: &[u8]) -> Found {
        match parse(bytes) {
            Parsed::Incomplete => Ok(None),
            Parsed::Request(len, request) => Ok(Some((len, request.head_only, request.keep))),
            Parsed::Refused(why) => Err(why),
        }
    }

    fn request(text: &str, head_only: bool, keep: Keep) -> (String, Found) {
        (text.to_owned(), Ok(Some((text.len(), head_only, keep))))
    }

    fn refused(text: &str, why: Refusal) -> (String, Found) {
        (text.to_owned(), Err(why))
    }

    #[test]
    fn requests_as_clients_send_them() {
        let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(HEAD_LIMIT));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HEADERS + 1));
        let cases = [
            request("GET / HTTP/1.1\r\nHost: a\r\n\r\n", false, Keep::Stays),
            request("GET /any/path?q HTTP/1.1\r\nhost: a\r\n\r\n", false, Keep::Stays),
            request("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", false, Keep::Stays),
            request("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", true, Keep::Stays),
            request(
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                false,
                Keep::Closes,
            ),
            request(
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, Close\r\n\r\n",
                false,
                Keep::Closes,
            ),
            request("GET / HTTP/1.0\r\n\r\n", false, Keep::Closes),
            request(
                "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
                false,
                Keep::Asked,
            ),
            request(
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
                false,
                Keep::Stays,
            ),
            refused("GET / HTTP/1.1\r\n\r\n", Refusal::NoHost),
            refused("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Refusal::NoHost),
            refused("POST / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::Method),
            refused(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
                Refusal::Body,
            ),
            refused(
                "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                Refusal::Body,
            ),
            refused("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::Method),
            refused("GET * HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::Malformed),
            refused("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Refusal::Version),
            refused("\x16\x03\x01\x02", Refusal::Malformed),
            refused(&long, Refusal::TooLarge),
            refused(&many, Refusal::TooLarge),
        ];
        for (text, expected) in cases {
            assert_eq!(
                found(text.as_bytes()),
                expected,
                "{}",
                &text[..text.len().min(80)]
            );
        }
    }

    #[test]
    fn a_request_is_incomplete_up_to_its_last_byte() {
        let text = b"GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";
        for len in 0..text.len() {
            assert_eq!(found(&text[..len]), Ok(None), "{len}");
        }
    }

    #[test]
    fn the_next_request_is_left_alone() {
        let one = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let two = format!("{one}{one}");
        assert_eq!(found(two.as_bytes()), Ok(Some((one.len(), false, Keep::Stays))));
    }

    #[test]
    fn paths_and_conditions_are_found() {
        let text = "GET http://a:80/b%20c?d=/e HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\nIf-None-Match: \"x\"\r\n\r\n";
        let Parsed::Request(_, request) = parse(text.as_bytes()) else {
            panic!()
        };
        assert_eq!(request.path(), "/b%20c");
        assert_eq!(request.range, Some(&b"bytes=0-1"[..]));
        assert_eq!(request.none_match, Some(&b"\"x\""[..]));
        for (target, path) in [
            ("/", "/"),
            ("/a?b", "/a"),
            ("/?http://x/y", "/"),
            ("http://a", "/"),
            ("/a://b/c", "/a://b/c"),
        ] {
            let text = format!("HEAD {target} HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\n\r\n");
            let Parsed::Request(_, request) = parse(text.as_bytes()) else {
                panic!("{target}")
            };
            assert_eq!((request.path(), request.range), (path, None), "{target}");
        }
        let text = "GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\nIf-Range: \"x\"\r\n\r\n";
        assert!(matches!(parse(text.as_bytes()), Parsed::Request(_, request) if request.range.is_none()));
    }
}
