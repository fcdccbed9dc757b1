//! A fixed page over HTTP/1.1: keep-alive, pipelining, HEAD; every path has the same body.
//!
//! The answer is made once a second, for its Date, and sent by reference. What of a request came alone is kept in memory of
//! the connection's own, at most one head and one received piece; an answer that does not fit into the send queue stops the
//! reading of more requests.

use super::clock::Civil;
use super::http_request::{Keep, Parsed, Refusal, parse};
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

/// What is being sent.
enum Answer {
    Page {
        /// The head of the second in which it was begun may differ in its Date from the one it ends with: heads have one length,
        /// and the first part goes as a whole.
        keep: Keep,
        head_only: bool,
        sent: usize,
    },
    Refusal {
        bytes: Vec<u8>,
        sent: usize,
    },
}

/// The page, for all connections of a thread.
pub(crate) struct Page<P> {
    body: Vec<u8>,
    /// Head and the beginning of the body, by [`Keep`]; their length, and that of the head.
    first: [Option<First<P>>; 3],
    rest: Option<P>,
    fresh_until_ns: u64,
}

struct First<P> {
    prepared: P,
    len: usize,
    head_len: usize,
}

/// So much of the body goes with the head: both fit into one buffer, and most frames.
const BODY_WITH_HEAD: usize = 1_024;

impl<P> Page<P> {
    pub(crate) fn new(body_size: usize) -> Self {
        let line = b"Fourtuple serves this line over and over, as often as --body-size asks.\n";
        let body = line.iter().cycle().take(body_size).copied().collect();
        Self {
            body,
            first: [None, None, None],
            rest: None,
            fresh_until_ns: 0,
        }
    }

    /// Makes what is out of date, once a second.
    fn refresh<C: Pipe<Prepared = P>>(&mut self, pipe: &mut C) {
        let now = pipe.now_ns();
        if now < self.fresh_until_ns {
            return;
        }
        let time = Civil::now();
        self.fresh_until_ns = now + time.left_ns.max(1_000_000);
        let with_head = self.body.len().min(BODY_WITH_HEAD);
        for (keep, place) in [Keep::Stays, Keep::Asked, Keep::Closes]
            .into_iter()
            .zip(&mut self.first)
        {
            let mut bytes = head(&time, keep, self.body.len()).into_bytes();
            let head_len = bytes.len();
            bytes.extend_from_slice(&self.body[..with_head]);
            let len = bytes.len();
            *place = Some(First {
                prepared: pipe.prepare(bytes),
                len,
                head_len,
            });
        }
        if self.rest.is_none() && self.body.len() > with_head {
            self.rest = Some(pipe.prepare(self.body[with_head..].to_vec()));
        }
    }

    /// Sends what is left of an answer; `true` when nothing is.
    fn send<C: Pipe<Prepared = P>>(
        &self,
        pipe: &mut C,
        keep: Keep,
        head_only: bool,
        sent: &mut usize,
    ) -> bool {
        let Some(first) = &self.first[keep as usize] else {
            return true;
        };
        let first_end = if head_only { first.head_len } else { first.len };
        if *sent < first_end {
            *sent += pipe.send_prepared(&first.prepared, *sent, first_end);
            if *sent < first_end {
                return false;
            }
        }
        let Some(rest) = self.rest.as_ref().filter(|_| !head_only) else {
            return true;
        };
        let rest_len = self.body.len() - BODY_WITH_HEAD;
        *sent += pipe.send_prepared(rest, *sent - first.len, rest_len);
        *sent == first.len + rest_len
    }
}

impl Http {
    /// Answers what has come, as far as there is room.
    pub(crate) fn go_on<P: Pipe>(&mut self, pipe: &mut P, page: &mut Page<P::Prepared>) {
        page.refresh(pipe);
        loop {
            if self.ended {
                // What a client says after the end is thrown away, so that it can read the answer.
                while pipe.receive().is_some() {}
                return;
            }
            if !self.send_answer(pipe, page) {
                return;
            }
            if self.over {
                self.end(pipe);
                continue;
            }
            if !self.partial.is_empty() {
                let used = self.take(&parse(&self.partial), pipe);
                self.partial.drain(..used);
                if used > 0 || self.over {
                    continue;
                }
            }
            let Some(received) = pipe.receive() else {
                break;
            };
            self.receive(P::bytes(&received), pipe, page);
        }
        if self.at_end {
            // What is left of a request will never be whole.
            pipe.close();
        }
    }

    pub(crate) fn on_peer_closed<P: Pipe>(&mut self, pipe: &mut P, page: &mut Page<P::Prepared>) {
        self.at_end = true;
        if self.ended {
            pipe.close();
        } else {
            self.go_on(pipe, page);
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
    fn receive<P: Pipe>(&mut self, mut bytes: &[u8], pipe: &mut P, page: &Page<P::Prepared>) {
        while self.partial.is_empty() && !bytes.is_empty() && !self.over {
            let used = self.take(&parse(bytes), pipe);
            if used == 0 {
                break;
            }
            bytes = &bytes[used..];
            if !self.send_answer(pipe, page) {
                break;
            }
        }
        if !self.over {
            self.partial.extend_from_slice(bytes);
        }
    }

    /// Notes the answer to a request; tells how many bytes of it were used.
    fn take<P: Pipe>(&mut self, parsed: &Parsed, pipe: &P) -> usize {
        match *parsed {
            Parsed::Incomplete => 0,
            Parsed::Request { len, head_only, keep } => {
                let keep = if pipe.is_draining() { Keep::Closes } else { keep };
                self.over = keep == Keep::Closes;
                self.answer = Some(Answer::Page {
                    keep,
                    head_only,
                    sent: 0,
                });
                len
            }
            Parsed::Refused(why) => {
                self.over = true;
                self.answer = Some(Answer::Refusal {
                    bytes: refusal(&Civil::now(), why),
                    sent: 0,
                });
                0
            }
        }
    }

    /// `true` when nothing is left to be sent.
    fn send_answer<P: Pipe>(&mut self, pipe: &mut P, page: &Page<P::Prepared>) -> bool {
        let done = match &mut self.answer {
            None => true,
            Some(Answer::Page {
                keep,
                head_only,
                sent,
            }) => page.send(pipe, *keep, *head_only, sent),
            Some(Answer::Refusal { bytes, sent }) => {
                *sent += pipe.send(&bytes[*sent..]);
                *sent == bytes.len()
            }
        };
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

fn head(time: &Civil, keep: Keep, body_len: usize) -> String {
    let connection = match keep {
        Keep::Stays => "",
        Keep::Asked => "Connection: keep-alive\r\n",
        Keep::Closes => "Connection: close\r\n",
    };
    format!(
        "HTTP/1.1 200 OK\r\nDate: {}\r\nContent-Type: text/plain\r\nContent-Length: {body_len}\r\n{connection}\r\n",
        time.imf_fixdate()
    )
}

fn refusal(time: &Civil, why: Refusal) -> Vec<u8> {
    let (status, words) = (why.status(), why.words());
    let allow = if why == Refusal::Method {
        "Allow: GET, HEAD\r\n"
    } else {
        ""
    };
    format!(
        "HTTP/1.1 {status}\r\nDate: {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n{allow}Connection: close\r\n\r\n{words}\n",
        time.imf_fixdate(),
        words.len() + 1
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::testing::Script;
    use super::*;

    const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    /// All answers to what was received, with as little room at a time.
    fn answers(pieces: &[&[u8]], body: usize, room: usize) -> (Script, Http, String) {
        let mut pipe = Script {
            room,
            ..Script::receiving(pieces)
        };
        let (mut http, mut page) = (Http::default(), Page::new(body));
        http.go_on(&mut pipe, &mut page);
        for _ in 0..100_000 {
            if !http.waits() {
                break;
            }
            pipe.room = room;
            http.go_on(&mut pipe, &mut page);
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
            let second = rest.split_at(body).1;
            assert!(second.starts_with("HTTP/1.1 200 OK"));
            assert_eq!(second.split_once("\r\n\r\n").unwrap().1, &rest[..body]);
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
        Http::default().go_on(&mut pipe, &mut Page::new(10));
        assert!(pipe.closed);
        assert!(String::from_utf8_lossy(&pipe.sent).contains("Connection: close"));
    }

    #[test]
    fn a_client_that_closes_after_its_requests_gets_all_answers() {
        let mut pipe = Script {
            room: 50,
            ..Script::receiving(&[REQUEST.repeat(2).as_bytes()])
        };
        let (mut http, mut page) = (Http::default(), Page::new(100));
        http.go_on(&mut pipe, &mut page);
        http.on_peer_closed(&mut pipe, &mut page);
        assert!(!pipe.closed);
        while !pipe.closed {
            pipe.room = 50;
            http.go_on(&mut pipe, &mut page);
        }
        assert_eq!(String::from_utf8_lossy(&pipe.sent).matches("200 OK").count(), 2);
    }
}
