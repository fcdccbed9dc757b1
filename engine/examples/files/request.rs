//! Requests of HTTP/1.1 (RFC 9112), as far as files need them.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Most bytes of a request's head.
const MOST_HEAD: usize = 8 << 10;
/// Most header lines.
const MOST_LINES: usize = 64;

/// What stands at the front of the bytes received.
#[derive(Debug, PartialEq)]
pub(crate) enum Parsed<'a> {
    /// A request that has not come to its end.
    Partial,
    /// A request, and its length in bytes.
    Request(usize, Request<'a>),
    /// What is refused, with this status; nothing behind it is understood.
    Refused(&'static str),
}

#[derive(Debug, PartialEq)]
pub(crate) struct Request<'a> {
    /// Decoded, without query.
    pub(crate) path: Cow<'a, str>,
    /// HEAD: the answer goes without its body.
    pub(crate) head_only: bool,
    /// More requests may follow on this connection.
    pub(crate) keep: bool,
}

/// Reads the request at the front of `bytes`.
pub(crate) fn parse(bytes: &[u8]) -> Parsed<'_> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_LINES];
    let mut request = httparse::Request::new(&mut headers);
    let len = match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if len <= MOST_HEAD => len,
        Ok(httparse::Status::Partial) if bytes.len() < MOST_HEAD => return Parsed::Partial,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return Parsed::Refused("431 Request Header Fields Too Large");
        }
        Err(_) => return Parsed::Refused("400 Bad Request"),
    };
    let head_only = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Parsed::Refused("501 Not Implemented"),
    };
    let lines = |name: &'static str| {
        let named = request
            .headers
            .iter()
            .filter(move |line| line.name.eq_ignore_ascii_case(name));
        named.map(|line| line.value.trim_ascii())
    };
    let is_1_1 = request.version == Some(1);
    // RFC 9112 §3.2: exactly one Host. A body would be taken for the next request.
    if is_1_1 && lines("host").count() != 1
        || lines("transfer-encoding").count() > 0
        || lines("content-length").any(|len| len != b"0")
    {
        return Parsed::Refused("400 Bad Request");
    }
    let Some(path) = request.path.filter(|path| path.starts_with('/')) else {
        return Parsed::Refused("400 Bad Request");
    };
    let path = path.split('?').next().unwrap_or(path);
    let Ok(path) = percent_decode_str(path).decode_utf8() else {
        return Parsed::Refused("400 Bad Request");
    };
    // RFC 9112 §9.3. Clients of HTTP/1.0 are never kept.
    let keep = is_1_1 && !lines("connection").any(|value| value.eq_ignore_ascii_case(b"close"));
    Parsed::Request(
        len,
        Request {
            path,
            head_only,
            keep,
        },
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_are_read_and_what_follows_is_left_alone() {
        for (text, path, head_only, keep) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "/", false, true),
            (
                "HEAD /a%20b/c?d=e%20f HTTP/1.1\r\nhost: a\r\n\r\n",
                "/a b/c",
                true,
                true,
            ),
            (
                "GET /.. HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n",
                "/..",
                false,
                false,
            ),
            (
                "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
                "/a",
                false,
                false,
            ),
        ] {
            let then = [text, "GET"].concat();
            let path = path.into();
            let expected = Parsed::Request(
                text.len(),
                Request {
                    path,
                    head_only,
                    keep,
                },
            );
            assert_eq!(parse(then.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_request_is_partial_up_to_its_last_byte() {
        let text = b"GET /a HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";
        for len in 0..text.len() {
            assert_eq!(parse(&text[..len]), Parsed::Partial, "{len}");
        }
    }

    #[test]
    fn hostile_requests_are_refused_before_they_cost_memory() {
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n", "x".repeat(MOST_HEAD));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(MOST_LINES + 1));
        for (text, status) in [
            ("GET / HTTP/1.1\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
            ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", "400"),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                "400",
            ),
            ("\x16\x03\x01\x02", "400"),
            ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", "501"),
            (long.as_str(), "431"),
            (many.as_str(), "431"),
        ] {
            let found = parse(text.as_bytes());
            assert!(
                matches!(found, Parsed::Refused(why) if why.starts_with(status)),
                "{text:.60}: {found:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_wait_for_more_than_is_allowed(
            start in "(GET|HEAD|BREW) /[a-z%./]{0,9} HTTP/1\\.[01]\r\n([A-Za-z-]{1,9}: .{0,9}\r\n){0,9}",
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            for bytes in [&bytes[..], &[start.as_bytes(), &bytes[..], b"\r\n\r\n"].concat()] {
                if let Parsed::Request(len, _) = parse(bytes) {
                    prop_assert!(0 < len && len <= bytes.len());
                }
                let endless = [bytes, &[b'x'; MOST_HEAD]].concat();
                prop_assert_ne!(parse(&endless), Parsed::Partial);
            }
        }
    }
}
