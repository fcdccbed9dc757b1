//! Answers of HTTP/1.1 on one connection (RFC 9112), read as they come: where one ends, its status, whether the connection stays.
//!
//! Bodies are counted, not kept: by Content-Length, chunked, or up to the end of the connection. A head that comes in pieces
//! is kept until it is whole, at most [`HEAD_LIMIT`] bytes; most heads come in one and are read where they lie.

/// What the bytes so far came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The answer goes on.
    More,
    /// It is whole.
    Done(Done),
    /// This is not HTTP/1.1, or more than is taken here.
    Broken,
}

/// A whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    /// Its status is 2xx.
    pub(crate) ok: bool,
    /// The server closes the connection behind it.
    pub(crate) last: bool,
}

/// Where one connection is in its answers.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    stage: Stage,
    done: Done,
    /// The beginning of a head.
    partial: Vec<u8>,
}

/// Which part of an answer comes next.
#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    #[default]
    Head,
    /// So many bytes of the body are left.
    Body(u64),
    /// The size of a chunk, as far as it was read.
    ChunkSize(ChunkSize),
    /// So many bytes of a chunk are left, with the end of its line.
    Chunk(u64),
    /// Lines behind the last chunk; so many bytes of this one, and of all.
    Trailer { of_line: u32, of_all: u32 },
    /// Everything up to the peer's FIN.
    UntilClosed,
}

#[derive(Clone, Copy, Debug, Default)]
struct ChunkSize {
    size: u64,
    digits: u8,
    /// Behind the digits: an extension, which means nothing here.
    over: bool,
    /// Bytes of the line.
    len: u32,
}

impl Default for Done {
    fn default() -> Self {
        Self {
            ok: true,
            last: false,
        }
    }
}

impl Answers {
    /// As at the start of a connection; what memory there is stays.
    pub(crate) fn clear(&mut self) {
        self.stage = Stage::Head;
        self.partial.clear();
    }

    /// Reads what came, up to the end of an answer; takes what it has read off `bytes`.
    pub(crate) fn read(&mut self, bytes: &mut &[u8]) -> Step {
        loop {
            let step = match self.stage {
                Stage::Head => self.head(bytes),
                Stage::Body(left) => self.body(left, bytes),
                Stage::ChunkSize(size) => self.chunk_size(size, bytes),
                Stage::Chunk(left) => self.chunk(left, bytes),
                Stage::Trailer { of_line, of_all } => self.trailer(of_line, of_all, bytes),
                Stage::UntilClosed => {
                    *bytes = &[];
                    Some(Step::More)
                }
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    /// The peer's FIN: the end of an answer that has no other.
    pub(crate) fn at_end(&mut self) -> Option<Done> {
        matches!(self.stage, Stage::UntilClosed).then(|| {
            self.stage = Stage::Head;
            Done {
                last: true,
                ..self.done
            }
        })
    }

    fn head(&mut self, bytes: &mut &[u8]) -> Option<Step> {
        if bytes.is_empty() {
            return Some(Step::More);
        }
        let before = self.partial.len();
        let parsed = if before == 0 {
            parse(bytes)
        } else {
            let room = HEAD_LIMIT.saturating_sub(before);
            self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
            parse(&self.partial)
        };
        let (len, head) = match parsed {
            Parsed::Head(len, head) => (len, head),
            Parsed::Broken => return Some(Step::Broken),
            Parsed::Partial if before + bytes.len() > HEAD_LIMIT => return Some(Step::Broken),
            Parsed::Partial => {
                if before == 0 {
                    self.partial.extend_from_slice(bytes);
                }
                *bytes = &[];
                return Some(Step::More);
            }
        };
        self.partial.clear();
        *bytes = &bytes[len - before..];
        let Head { status, last, length } = head;
        // RFC 9110 §15.2: an interim answer; the one that counts comes behind it. (101 was not asked for.)
        if (100..200).contains(&status) {
            return (status == 101).then_some(Step::Broken);
        }
        self.done = Done {
            ok: (200..300).contains(&status),
            last,
        };
        match length {
            Length::Known(0) => Some(self.end()),
            Length::Known(left) => {
                self.stage = Stage::Body(left);
                None
            }
            Length::Chunked => {
                self.stage = Stage::ChunkSize(ChunkSize::default());
                None
            }
            Length::UntilClosed => {
                self.stage = Stage::UntilClosed;
                None
            }
        }
    }

    fn body(&mut self, left: u64, bytes: &mut &[u8]) -> Option<Step> {
        let left = left - skip(left, bytes);
        if left == 0 {
            return Some(self.end());
        }
        self.stage = Stage::Body(left);
        Some(Step::More)
    }

    /// `chunk-size [ chunk-ext ] CRLF` (RFC 9112 §7.1).
    fn chunk_size(&mut self, mut line: ChunkSize, bytes: &mut &[u8]) -> Option<Step> {
        while let Some((&byte, rest)) = bytes.split_first() {
            *bytes = rest;
            line.len += 1;
            match (byte, (byte as char).to_digit(16)) {
                (b'\n', _) if line.digits == 0 => return Some(Step::Broken),
                (b'\n', _) => {
                    self.stage = match line.size {
                        0 => Stage::Trailer {
                            of_line: 0,
                            of_all: 0,
                        },
                        size => Stage::Chunk(size + END_LEN),
                    };
                    return None;
                }
                (_, Some(digit)) if !line.over => {
                    line.size = line.size << 4 | u64::from(digit);
                    line.digits += 1;
                    // 2^60 bytes and more.
                    if line.digits > 15 {
                        return Some(Step::Broken);
                    }
                }
                (b';' | b' ' | b'\t' | b'\r', _) if line.digits > 0 => line.over = true,
                _ if line.over && line.len <= LINE_LIMIT => {}
                _ => return Some(Step::Broken),
            }
        }
        self.stage = Stage::ChunkSize(line);
        Some(Step::More)
    }

    fn chunk(&mut self, left: u64, bytes: &mut &[u8]) -> Option<Step> {
        let left = left - skip(left, bytes);
        if left == 0 {
            self.stage = Stage::ChunkSize(ChunkSize::default());
            return None;
        }
        self.stage = Stage::Chunk(left);
        Some(Step::More)
    }

    /// Lines up to an empty one.
    fn trailer(&mut self, mut of_line: u32, mut of_all: u32, bytes: &mut &[u8]) -> Option<Step> {
        while let Some((&byte, rest)) = bytes.split_first() {
            *bytes = rest;
            of_all += 1;
            match byte {
                b'\n' if of_line == 0 => return Some(self.end()),
                b'\n' => of_line = 0,
                b'\r' => {}
                _ => of_line += 1,
            }
            if of_all as usize > HEAD_LIMIT {
                return Some(Step::Broken);
            }
        }
        self.stage = Stage::Trailer { of_line, of_all };
        Some(Step::More)
    }

    fn end(&mut self) -> Step {
        self.stage = Stage::Head;
        Step::Done(self.done)
    }
}

/// Takes at most `most` bytes off; tells how many.
fn skip(most: u64, bytes: &mut &[u8]) -> u64 {
    let count = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len());
    *bytes = &bytes[count..];
    count as u64
}

/// What a head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    last: bool,
    length: Length,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Known(u64),
    Chunked,
    UntilClosed,
}

enum Parsed {
    /// Bytes of the head, and what it says.
    Head(usize, Head),
    Partial,
    Broken,
}

fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let len = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        Err(_) => return Parsed::Broken,
    };
    let (mut known, mut chunked, mut coded) = (None, false, false);
    let (mut close, mut keep_alive) = (false, false);
    for header in response.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            let number = std::str::from_utf8(header.value)
                .ok()
                .and_then(|text| text.trim().parse::<u64>().ok());
            // RFC 9112 §6.3: not a number, or two that differ: where the answer ends is not known.
            if number.is_none() || known.is_some_and(|other| Some(other) != number) {
                return Parsed::Broken;
            }
            known = number;
        } else if is("transfer-encoding") {
            coded = true;
            chunked = words(header.value)
                .last()
                .is_some_and(|word| word.eq_ignore_ascii_case(b"chunked"));
        } else if is("connection") {
            close |= words(header.value).any(|word| word.eq_ignore_ascii_case(b"close"));
            keep_alive |= words(header.value).any(|word| word.eq_ignore_ascii_case(b"keep-alive"));
        }
    }
    let status = response.code.unwrap_or_default();
    // RFC 9112 §6.3: these have no body, whatever they say of it.
    let length = match (coded, chunked, known) {
        _ if matches!(status, 100..200 | 204 | 304) => Length::Known(0),
        (_, true, _) => Length::Chunked,
        (true, false, _) | (false, false, None) => Length::UntilClosed,
        (false, false, Some(known)) => Length::Known(known),
    };
    let is_1_1 = response.version == Some(1);
    Parsed::Head(
        len,
        Head {
            status,
            // RFC 9112 §9.3.
            last: close || (!is_1_1 && !keep_alive) || length == Length::UntilClosed,
            length,
        },
    )
}

/// The words of a list.
fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Most bytes of a head, and of the lines behind the last chunk.
pub(crate) const HEAD_LIMIT: usize = 16 * 1024;

/// Most header lines.
const HEADERS: usize = 64;

/// Most bytes of the line before a chunk.
const LINE_LIMIT: u32 = 4 * 1024;

/// CR LF.
const END_LEN: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Step = Step::Done(Done {
        ok: true,
        last: false,
    });
    const OK_LAST: Step = Step::Done(Done { ok: true, last: true });
    const NOT_OK: Step = Step::Done(Done {
        ok: false,
        last: false,
    });

    /// All steps but `More` that these pieces lead to; stops at what is broken.
    fn steps(pieces: &[&[u8]]) -> Vec<Step> {
        let (mut answers, mut steps) = (Answers::default(), Vec::new());
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                match answers.read(&mut rest) {
                    Step::More => assert!(rest.is_empty(), "more is wanted with bytes left"),
                    Step::Broken => return vec![Step::Broken],
                    done => steps.push(done),
                }
            }
        }
        if let Some(done) = answers.at_end() {
            steps.push(Step::Done(done));
        }
        steps
    }

    #[test]
    fn answers_as_servers_send_them() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(HEAD_LIMIT));
        let extension = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;{}",
            "x".repeat(5_000)
        );
        let trailers = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{}",
            "A: b\r\n".repeat(4_000)
        );
        let cases: &[(&str, &[Step])] = &[
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", &[OK]),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", &[OK]),
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx", &[NOT_OK]),
            (
                "HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\ncontent-length: 1\r\n\r\nx",
                &[OK_LAST],
            ),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", &[OK_LAST]),
            (
                "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
                &[OK],
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=\"y\"\r\n0123456789\r\n0\r\nTrail: er\r\n\r\n",
                &[OK],
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n000\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
                &[OK, NOT_OK],
            ),
            // The end of the connection is the end of the answer.
            ("HTTP/1.1 200 OK\r\n\r\nall of it", &[OK_LAST]),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx", &[OK_LAST]),
            ("HTTP/1.1 204 No Content\r\n\r\n", &[OK]),
            (
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
                &[NOT_OK],
            ),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
                &[OK],
            ),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", &[Step::Broken]),
            ("SSH-2.0-OpenSSH\r\n", &[Step::Broken]),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", &[Step::Broken]),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                &[Step::Broken],
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n",
                &[Step::Broken],
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n",
                &[Step::Broken],
            ),
            (&long, &[Step::Broken]),
            (&extension, &[Step::Broken]),
            (&trailers, &[Step::Broken]),
        ];
        for (text, expected) in cases {
            let shown = &text[..text.len().min(100)];
            assert_eq!(steps(&[text.as_bytes()]), *expected, "{shown}");
            let bytes: Vec<_> = text.as_bytes().chunks(1).collect();
            assert_eq!(steps(&bytes), *expected, "byte by byte: {shown}");
        }
    }

    #[test]
    fn however_answers_are_cut_each_is_seen_once() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";
        for cut in 0..text.len() {
            assert_eq!(
                steps(&[&text[..cut], &text[cut..]]),
                [OK, OK, NOT_OK],
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn what_is_kept_of_a_head_is_bounded() {
        let mut answers = Answers::default();
        let mut first: &[u8] = b"HTTP/1.1 200 OK\r\nX: ";
        assert_eq!(answers.read(&mut first), Step::More);
        for _ in 0..HEAD_LIMIT {
            let mut piece: &[u8] = b"xxxxxxxxxxxxxxxx";
            if answers.read(&mut piece) == Step::Broken {
                break;
            }
        }
        assert!(answers.partial.len() <= HEAD_LIMIT);
        let mut piece: &[u8] = b"x";
        assert_eq!(answers.read(&mut piece), Step::Broken);
    }
}
