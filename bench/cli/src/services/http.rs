//! HTTP/1.1 over one connection: keep-alive, pipelining, HEAD, an orderly end.
//!
//! What of a request came alone is kept in memory of the connection's own, at most one head and one received piece; an answer
//! that does not fit into the send queue stops the reading of more requests.

use super::http_request::{Keep, Parsed, parse};
use super::http_web::{Answer, Web};
use super::pipe::Pipe;

/// One connection's requests.
#[derive(Default)]
pub(crate) struct Http {
    /// Bytes of a request that has not come to its end, or that waits for the answer before it.
    partial: Vec<u8>,
    answer: Option<Answer>,
    /// No more requests are taken: the answer that ends the connection was given.
    over: bool,
    /// That answer is on its way.
    ended: bool,
    at_end: bool,
}

impl Http {
    /// Answers what has come, as far as there is room.
    pub(crate) fn go_on<P: Pipe>(&mut self, pipe: &mut P, web: &mut Web<P::Prepared>) {
        web.refresh(pipe);
        loop {
            if self.ended {
                // What a client says after the end is thrown away, so that it can read the answer.
                while pipe.receive().is_some() {}
                return;
            }
            if !self.send_answer(pipe, web) {
                return;
            }
            if self.over {
                self.end(pipe);
                continue;
            }
            if !self.partial.is_empty() {
                let mut partial = std::mem::take(&mut self.partial);
                let used = self.take(&parse(&partial), pipe, web);
                partial.drain(..used);
                self.partial = partial;
                if used > 0 || self.over {
                    continue;
                }
            }
            let Some(received) = pipe.receive() else {
                break;
            };
            self.receive(P::bytes(&received), pipe, web);
        }
        if self.at_end {
            // What is left of a request will never be whole.
            pipe.close();
        }
    }

    pub(crate) fn on_peer_closed<P: Pipe>(&mut self, pipe: &mut P, web: &mut Web<P::Prepared>) {
        self.at_end = true;
        if self.ended {
            pipe.close();
        } else {
            self.go_on(pipe, web);
        }
    }

    /// Nothing is under way: the connection may be closed without harm.
    pub(crate) fn is_idle(&self) -> bool {
        self.answer.is_none() && self.partial.is_empty()
    }

    /// Something waits for room.
    pub(crate) fn waits(&self) -> bool {
        self.answer.is_some()
    }

    /// Requests as they mostly come: whole, in one piece. What can't be answered now is kept.
    fn receive<P: Pipe>(&mut self, mut bytes: &[u8], pipe: &mut P, web: &mut Web<P::Prepared>) {
        while self.partial.is_empty() && !bytes.is_empty() && !self.over {
            let used = self.take(&parse(bytes), pipe, web);
            if used == 0 {
                break;
            }
            bytes = &bytes[used..];
            if !self.send_answer(pipe, web) {
                break;
            }
        }
        if !self.over {
            self.partial.extend_from_slice(bytes);
        }
    }

    /// Begins the answer to a request; tells how many bytes of it were used.
    fn take<P: Pipe>(&mut self, parsed: &Parsed<'_>, pipe: &mut P, web: &mut Web<P::Prepared>) -> usize {
        match parsed {
            Parsed::Incomplete => 0,
            Parsed::Request(len, request) => {
                let keep = if pipe.is_draining() {
                    Keep::Closes
                } else {
                    request.keep
                };
                self.over = keep == Keep::Closes;
                self.answer = Some(web.begin(pipe, request, keep));
                *len
            }
            Parsed::Refused(why) => {
                self.over = true;
                self.answer = Some(web.refuse(*why));
                0
            }
        }
    }

    /// `true` when nothing is left to be sent.
    fn send_answer<P: Pipe>(&mut self, pipe: &mut P, web: &mut Web<P::Prepared>) -> bool {
        let done = self.answer.as_mut().is_none_or(|answer| web.send(pipe, answer));
        if done {
            self.answer = None;
        }
        done
    }

    /// The last answer is on its way. With nothing unread this side closes; else it only stops sending, because a RST could
    /// overtake the answer (RFC 9112 §9.6).
    fn end<P: Pipe>(&mut self, pipe: &mut P) {
        self.ended = true;
        let unread = !std::mem::take(&mut self.partial).is_empty() || pipe.receive().is_some();
        if unread && !self.at_end {
            pipe.shutdown();
        } else {
            pipe.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::http_files::Files;
    use super::super::http_web::Site;
    use super::super::testing::{Folder, Script};
    use super::*;

    fn page(size: u32) -> Web<Vec<u8>> {
        Web::new(Site::Page(size))
    }

    const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    /// All answers to what was received, with as little room at a time.
    fn answers(pieces: &[&[u8]], body: u32, room: usize) -> (Script, Http, String) {
        answers_of(&mut page(body), pieces, room)
    }

    fn answers_of(web: &mut Web<Vec<u8>>, pieces: &[&[u8]], room: usize) -> (Script, Http, String) {
        let mut pipe = Script {
            room,
            ..Script::receiving(pieces)
        };
        let mut http = Http::default();
        http.go_on(&mut pipe, web);
        for _ in 0..100_000 {
            if !http.waits() {
                break;
            }
            pipe.room = room;
            http.go_on(&mut pipe, web);
        }
        let sent = String::from_utf8(pipe.sent.clone()).unwrap();
        (pipe, http, sent)
    }

    #[test]
    fn however_requests_are_cut_each_is_answered_once() {
        let three = REQUEST.repeat(3);
        for cut in 0..three.len() {
            let (pipe, http, sent) = answers(
                &[&three.as_bytes()[..cut], &three.as_bytes()[cut..]],
                100,
                usize::MAX,
            );
            assert_eq!(sent.matches("HTTP/1.1 200 OK").count(), 3, "cut at {cut}");
            assert!(!pipe.closed && http.is_idle());
        }
    }

    #[test]
    fn answers_are_whole_however_small_the_room() {
        for (body, room) in [(10, 7), (3_000, 100), (20_000, 1_500)] {
            let (_, _, sent) = answers(&[REQUEST.repeat(2).as_bytes()], body, room);
            let (head, rest) = sent.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("Content-Length: {body}")));
            let second = rest.split_at(body as usize).1;
            assert!(second.starts_with("HTTP/1.1 200 OK"));
            assert_eq!(second.split_once("\r\n\r\n").unwrap().1, &rest[..body as usize]);
        }
    }

    #[test]
    fn head_has_the_length_and_no_body() {
        let (_, _, sent) = answers(&[b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"], 5_000, usize::MAX);
        assert!(sent.ends_with("Content-Length: 5000\r\n\r\n"), "{sent}");
    }

    #[test]
    fn the_connection_ends_when_the_client_asks_or_is_not_understood() {
        let (pipe, _, sent) = answers(&[b"GET / HTTP/1.0\r\n\r\n"], 10, usize::MAX);
        assert!(pipe.closed && sent.contains("Connection: close"));
        let (pipe, _, sent) = answers(
            &[
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
                b"body",
            ],
            10,
            20,
        );
        assert!(
            sent.starts_with("HTTP/1.1 413 ") && sent.ends_with("not taken here.\n"),
            "{sent}"
        );
        assert!(pipe.shut && !pipe.closed, "unread bytes would make it a reset");
        assert_eq!(pipe.unread(), 0, "they are thrown away");
        let (pipe, _, sent) = answers(&[b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n"], 10, usize::MAX);
        assert!(
            sent.starts_with("HTTP/1.1 405 ") && sent.contains("\r\nAllow: GET, HEAD\r\n"),
            "{sent}"
        );
        assert!(pipe.closed || pipe.shut);
    }

    #[test]
    fn while_draining_an_answer_closes() {
        let mut pipe = Script {
            room: usize::MAX,
            draining: true,
            ..Script::receiving(&[REQUEST.as_bytes()])
        };
        Http::default().go_on(&mut pipe, &mut page(10));
        assert!(pipe.closed);
        assert!(String::from_utf8_lossy(&pipe.sent).contains("Connection: close"));
    }

    #[test]
    fn a_client_that_closes_after_its_requests_gets_all_answers() {
        let mut pipe = Script {
            room: 50,
            ..Script::receiving(&[REQUEST.repeat(2).as_bytes()])
        };
        let (mut http, mut page) = (Http::default(), page(100));
        http.go_on(&mut pipe, &mut page);
        http.on_peer_closed(&mut pipe, &mut page);
        assert!(!pipe.closed);
        while !pipe.closed {
            pipe.room = 50;
            http.go_on(&mut pipe, &mut page);
        }
        assert_eq!(String::from_utf8_lossy(&pipe.sent).matches("200 OK").count(), 2);
    }

    #[test]
    fn so_many_bytes_as_a_path_asks_for() {
        for (count, room) in [
            (0, usize::MAX),
            (1, 3),
            (1_024, 500),
            (1_025, 500),
            (200_000, 10_000),
        ] {
            let request = format!("GET /bytes/{count} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(2);
            let (_, _, sent) = answers(&[request.as_bytes()], 7, room);
            let (head, rest) = sent.split_once("\r\n\r\n").unwrap();
            assert!(
                head.starts_with("HTTP/1.1 200 OK") && head.contains(&format!("Content-Length: {count}")),
                "{head}"
            );
            assert!(rest[count..].starts_with("HTTP/1.1 200 OK"), "{count} bytes");
            assert_eq!(rest[..count.min(17)], "Fourtuple serves "[..count.min(17)]);
            let whole: Vec<_> = rest[..count].lines().collect();
            assert!(
                whole.windows(2).all(|two| two[0].starts_with(two[1])),
                "{count} bytes"
            );
        }
        for wrong in ["", "x", "-1", "1073741825", "99999999999999999999999"] {
            let request = format!("GET /bytes/{wrong} HTTP/1.1\r\nHost: a\r\n\r\n");
            let (pipe, _, sent) = answers(&[request.as_bytes()], 7, usize::MAX);
            assert!(
                sent.starts_with("HTTP/1.1 404 ") && !pipe.closed,
                "{wrong}: {sent}"
            );
        }
    }

    fn site(folder: &Folder) -> Web<Vec<u8>> {
        Web::new(Site::Files(Files::load(folder.path()).unwrap().into()))
    }

    #[test]
    fn files_are_sent_whole_however_small_the_room() {
        let folder = Folder::new("rooms");
        let long: String = (0..50_000).map(|number| format!("{number},")).collect();
        folder.file("long.txt", long.as_bytes());
        let request = b"GET /long.txt HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2);
        for room in [100, 70_000, usize::MAX] {
            let (_, _, sent) = answers_of(&mut site(&folder), &[&request], room);
            let bodies: Vec<_> = sent.match_indices(&long).collect();
            assert_eq!(bodies.len(), 2, "{room}");
            assert_eq!(sent.matches("HTTP/1.1 200 OK").count(), 2, "{room}");
        }
    }

    #[test]
    fn a_folder_answers_as_http_has_it() {
        let folder = Folder::new("answers");
        folder.file("index.html", b"<p>");
        folder.file("a/b c.txt", b"0123456789");
        folder.file("a/empty", b"");
        let mut web = site(&folder);
        let etag = {
            let (_, _, sent) = answers_of(
                &mut web,
                &[b"HEAD /index.html HTTP/1.1\r\nHost: a\r\n\r\n"],
                9_999,
            );
            assert!(
                sent.ends_with("\r\n\r\n") && sent.contains("Content-Length: 3\r\n"),
                "{sent}"
            );
            assert!(sent.contains("\r\nContent-Type: text/html\r\n"), "{sent}");
            let etag = sent.split_once("ETag: ").unwrap().1;
            etag.split_once("\r\n").unwrap().0.to_owned()
        };
        let weak = format!("If-None-Match: \"x\", W/{etag}");
        // The request line, a header, the status, what else the answer has, what it ends with.
        let cases: &[(&str, &str, &str, &str, &str)] = &[
            ("GET /", "", "200 OK", "Accept-Ranges: bytes", "\r\n\r\n<p>"),
            ("GET /?q", "", "200 OK", "Content-Length: 3", "\r\n\r\n<p>"),
            (
                "GET /a/b%20c.txt",
                "",
                "200 OK",
                "Content-Type: text/plain",
                "\r\n\r\n0123456789",
            ),
            ("GET /a/empty", "", "200 OK", "Content-Length: 0", "\r\n\r\n"),
            ("GET /a", "", "301 Moved", "Location: /a/\r\n", "\n"),
            ("GET /a/", "", "404 ", "", "\n"),
            ("GET /none", "", "404 ", "", "\n"),
            ("HEAD /none", "", "404 ", "Content-Length: ", "\r\n\r\n"),
            ("GET /../index.html", "", "404 ", "", "\n"),
            ("GET /a/..%2findex.html", "", "404 ", "", "\n"),
            ("GET /%2e%2e/index.html", "", "404 ", "", "\n"),
            ("GET /index.html%00", "", "404 ", "", "\n"),
            ("GET //etc/passwd", "", "404 ", "", "\n"),
            ("GET /%zz", "", "404 ", "", "\n"),
            ("POST /", "", "405 ", "Allow: GET, HEAD", "\n"),
            (
                "GET /a/b%20c.txt",
                "Range: bytes=2-4",
                "206 ",
                "Content-Range: bytes 2-4/10\r\n",
                "\r\n\r\n234",
            ),
            (
                "GET /a/b%20c.txt",
                "Range: bytes=-3",
                "206 ",
                "Content-Length: 3\r\n",
                "\r\n\r\n789",
            ),
            (
                "GET /a/b%20c.txt",
                "Range: bytes=10-",
                "416 ",
                "Content-Range: bytes */10\r\n",
                "\n",
            ),
            (
                "GET /a/b%20c.txt",
                "Range: bytes=0-0,5-5",
                "200 OK",
                "",
                "\r\n\r\n0123456789",
            ),
            (
                "HEAD /a/b%20c.txt",
                "Range: bytes=2-4",
                "200 OK",
                "Content-Length: 10\r\n",
                "\r\n\r\n",
            ),
            ("GET /", &weak, "304 ", &etag, "\r\n\r\n"),
            ("GET /", "If-None-Match: *", "304 ", "Last-Modified: ", "\r\n\r\n"),
            ("GET /", "If-None-Match: \"x\"", "200 OK", "", "<p>"),
            (
                "GET /",
                "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT",
                "304 ",
                "",
                "\r\n\r\n",
            ),
            (
                "GET /",
                "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT",
                "200 OK",
                "",
                "<p>",
            ),
            ("GET /", "If-Modified-Since: yesterday", "200 OK", "", "<p>"),
        ];
        for (line, header, status, part, end) in cases {
            let header = if header.is_empty() {
                String::new()
            } else {
                format!("{header}\r\n")
            };
            let request = format!("{line} HTTP/1.1\r\nHost: a\r\n{header}\r\n");
            let (_, _, sent) = answers_of(&mut web, &[request.as_bytes()], 9_999);
            let shown = format!("{request}{sent}");
            assert!(sent.starts_with(&format!("HTTP/1.1 {status}")), "{shown}");
            assert!(sent.contains(part) && sent.ends_with(end), "{shown}");
            assert_eq!(sent.matches("HTTP/1.1 ").count(), 1, "{shown}");
        }
    }
}
