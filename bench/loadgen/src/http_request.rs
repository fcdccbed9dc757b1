//! The request that an HTTP run sends over and over (RFC 9112): made once, padded to about the size asked for.

use std::net::SocketAddr;

use crate::plan::{Close, Plan};

/// The bytes of one request.
pub(crate) fn request(plan: &Plan) -> Vec<u8> {
    let path = match (&plan.path, plan.response) {
        (Some(path), _) => path.clone(),
        (None, Some(bytes)) => format!("/bytes/{bytes}"),
        (None, None) => "/".to_owned(),
    };
    let close = match plan.close {
        Close::Server => "Connection: close\r\n",
        Close::Client | Close::Reset => "",
    };
    let mut text = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{close}", host(plan.target));
    let missing = (plan.size as usize).saturating_sub(text.len() + END.len());
    if missing >= PADDING.len() + END.len() {
        text.push_str(PADDING);
        text.extend(std::iter::repeat_n('x', missing - PADDING.len() - END.len()));
        text.push_str(END);
    }
    text.push_str(END);
    text.into_bytes()
}

/// The target as a Host header names it: without the port that is HTTP's own (RFC 9110 §7.2).
fn host(target: SocketAddr) -> String {
    match (target.port(), target) {
        (80, SocketAddr::V4(target)) => target.ip().to_string(),
        (80, SocketAddr::V6(target)) => format!("[{}]", target.ip()),
        (_, target) => target.to_string(),
    }
}

/// The header that makes a request longer; a request that lacks fewer bytes stays as it is.
const PADDING: &str = "X-Padding: ";

/// The end of a line, and of the head.
const END: &str = "\r\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Pattern;

    fn plan(target: &str) -> Plan {
        Plan::new(Pattern::Http, target.parse().unwrap())
    }

    fn text(plan: &Plan) -> String {
        String::from_utf8(request(plan)).unwrap()
    }

    #[test]
    fn a_request_names_its_host_and_what_it_wants() {
        let small = |target| Plan {
            size: 0,
            ..plan(target)
        };
        assert_eq!(
            text(&small("10.0.0.1:80")),
            "GET / HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n"
        );
        assert_eq!(
            text(&small("[fd99::1]:8080")),
            "GET / HTTP/1.1\r\nHost: [fd99::1]:8080\r\n\r\n"
        );
        assert!(text(&small("[fd99::1]:80")).contains("Host: [fd99::1]\r\n"));
        let sized = Plan {
            response: Some(4_096),
            close: Close::Server,
            ..small("10.0.0.1:80")
        };
        assert_eq!(
            text(&sized),
            "GET /bytes/4096 HTTP/1.1\r\nHost: 10.0.0.1\r\nConnection: close\r\n\r\n"
        );
        let named = Plan {
            path: Some("/a?b".into()),
            ..sized
        };
        assert!(text(&named).starts_with("GET /a?b HTTP/1.1\r\n"));
    }

    #[test]
    fn padding_makes_it_as_long_as_asked_for() {
        for size in [100, 1_000, 8_192] {
            let plan = Plan {
                size,
                ..plan("10.0.0.1:80")
            };
            assert_eq!(request(&plan).len(), size as usize);
            let mut headers = [httparse::EMPTY_HEADER; 4];
            let mut parsed = httparse::Request::new(&mut headers);
            assert!(parsed.parse(&request(&plan)).unwrap().is_complete());
        }
        let plan = Plan {
            size: 40,
            ..plan("10.0.0.1:80")
        };
        assert!(
            (30..=40).contains(&request(&plan).len()),
            "too few bytes are missing for a header"
        );
    }
}
