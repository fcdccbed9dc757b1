//! What http answers with: the page of `--body-size`, `/bytes/N`, or the files of `--root`; heads and bodies, for all
//! connections of a thread.
//!
//! The page's head is made once a second, for its Date, and sent by reference, the beginning of its body with it. Other heads
//! are written into one piece of memory of the thread; only what there was no room for is kept by the connection. Bodies of
//! the page and of `/bytes/N` are one line over and over, in buffers of the worker; files are copied into buffers as there is
//! room for them.

use std::io::Write;
use std::sync::Arc;
use std::time::SystemTime;

use super::clock::Civil;
use super::http_files::{Files, Place};
use super::http_range::{Part, part};
use super::http_request::{Keep, Refusal, Request};
use super::pipe::Pipe;

/// What there is to serve.
#[derive(Clone, Debug)]
pub(crate) enum Site {
    /// One page of so many bytes, and `/bytes/N`.
    Page(u32),
    /// The files of a folder.
    Files(Arc<Files>),
}

/// The site as a thread serves it.
pub(crate) struct Web<P> {
    site: Site,
    /// The page's head and the beginning of its body, by [`Keep`].
    page: [Option<First<P>>; 3],
    /// A line, over and over.
    filler: Option<P>,
    date: String,
    fresh_until_ns: u64,
    /// Where heads are written.
    scratch: Vec<u8>,
    /// Where paths are decoded.
    path: Vec<u8>,
}

struct First<P> {
    prepared: P,
    len: usize,
    head_len: usize,
}

/// An answer that is being sent.
pub(crate) enum Answer {
    /// The page. The head of the second in which it was begun may differ in its Date from the one it ends with: heads have one
    /// length.
    Page {
        keep: Keep,
        head_only: bool,
        sent: usize,
    },
    /// Any other: what is left of its head, then its body.
    Other { head: Vec<u8>, body: Body },
}

/// What is left of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    /// From and up to these places of the filler.
    Filler(u64, u64),
    /// From and up to these places of a file.
    File(u32, usize, usize),
}

/// What a request comes to.
enum Reply {
    Page,
    Bytes(u64),
    File(u32),
    Part(u32, std::ops::Range<usize>),
    NotModified(u32),
    Unsatisfiable(u32),
    Moved(Box<str>),
    NotFound,
}

impl<P> Web<P> {
    pub(crate) fn new(site: Site) -> Self {
        Self {
            site,
            page: [None, None, None],
            filler: None,
            date: String::new(),
            fresh_until_ns: 0,
            scratch: Vec::new(),
            path: Vec::new(),
        }
    }

    /// Makes what is out of date, once a second.
    pub(crate) fn refresh<C: Pipe<Prepared = P>>(&mut self, pipe: &mut C) {
        let now = pipe.now_ns();
        if now < self.fresh_until_ns {
            return;
        }
        let time = Civil::now();
        self.fresh_until_ns = now + time.left_ns.max(1_000_000);
        self.date = time.imf_fixdate();
        let Site::Page(size) = self.site else {
            return;
        };
        for keep in [Keep::Stays, Keep::Asked, Keep::Closes] {
            let mut bytes = Vec::new();
            self.head(&mut bytes, "200 OK", keep);
            text(&mut bytes, u64::from(size));
            let head_len = bytes.len();
            bytes.extend(line().take((size as usize).min(BODY_WITH_HEAD)));
            self.page[keep as usize] = Some(First {
                len: bytes.len(),
                prepared: pipe.prepare(bytes),
                head_len,
            });
        }
    }

    /// The answer to a request, as far as it could not be sent at once.
    pub(crate) fn begin<C: Pipe<Prepared = P>>(
        &mut self,
        pipe: &mut C,
        request: &Request<'_>,
        keep: Keep,
    ) -> Answer {
        let reply = self.reply(request);
        if let Reply::Page = reply {
            return Answer::Page {
                keep,
                head_only: request.head_only,
                sent: 0,
            };
        }
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        let body = self.write(&mut out, &reply, keep, request.head_only);
        let sent = pipe.send(&out);
        let head = out[sent..].to_vec();
        self.scratch = out;
        Answer::Other { head, body }
    }

    /// The answer to what is not understood or not taken.
    pub(crate) fn refuse(&self, why: Refusal) -> Answer {
        let mut head = Vec::new();
        self.head(&mut head, why.status(), Keep::Closes);
        if why == Refusal::Method {
            head.extend_from_slice(b"Allow: GET, HEAD\r\n");
        }
        message(&mut head, why.words(), false);
        Answer::Other {
            head,
            body: Body::None,
        }
    }

    /// Sends what is left of an answer; `true` when nothing is.
    pub(crate) fn send<C: Pipe<Prepared = P>>(&mut self, pipe: &mut C, answer: &mut Answer) -> bool {
        match answer {
            Answer::Page {
                keep,
                head_only,
                sent,
            } => self.send_page(pipe, *keep, *head_only, sent),
            Answer::Other { head, body } => {
                if !head.is_empty() {
                    let sent = pipe.send(head);
                    head.drain(..sent);
                }
                head.is_empty() && self.send_body(pipe, body)
            }
        }
    }

    fn send_page<C: Pipe<Prepared = P>>(
        &mut self,
        pipe: &mut C,
        keep: Keep,
        head_only: bool,
        sent: &mut usize,
    ) -> bool {
        let (Some(first), Site::Page(size)) = (&self.page[keep as usize], &self.site) else {
            return true;
        };
        let first_end = if head_only { first.head_len } else { first.len };
        if *sent < first_end {
            *sent += pipe.send_prepared(&first.prepared, *sent, first_end);
            if *sent < first_end {
                return false;
            }
        }
        if head_only {
            return true;
        }
        let (head_len, size) = (first.head_len, u64::from(*size));
        let mut body = Body::Filler((*sent - head_len) as u64, size);
        let done = self.send_body(pipe, &mut body);
        if let Body::Filler(at, _) = body {
            *sent = head_len + at as usize;
        }
        done
    }

    fn send_body<C: Pipe<Prepared = P>>(&mut self, pipe: &mut C, body: &mut Body) -> bool {
        match body {
            Body::None => true,
            Body::Filler(at, end) => {
                if at < end {
                    let filler = self
                        .filler
                        .get_or_insert_with(|| pipe.prepare(line().take(FILLER).collect()));
                    while at < end {
                        let from = (*at % FILLER as u64) as usize;
                        let to = FILLER.min(
                            usize::try_from(*end - *at).map_or(FILLER, |left| from.saturating_add(left)),
                        );
                        let sent = pipe.send_prepared(filler, from, to);
                        *at += sent as u64;
                        if sent < to - from {
                            return false;
                        }
                    }
                }
                true
            }
            Body::File(number, at, end) => {
                let Site::Files(files) = &self.site else {
                    return true;
                };
                let bytes = &files.at(*number).bytes;
                while at < end {
                    let piece = &bytes[*at..(*at + FILE_PIECE).min(*end)];
                    let sent = pipe.send(piece);
                    *at += sent;
                    if sent < piece.len() {
                        return false;
                    }
                }
                true
            }
        }
    }

    fn reply(&mut self, request: &Request<'_>) -> Reply {
        let path = request.path();
        let files = match &self.site {
            Site::Files(files) => files,
            Site::Page(_) => {
                return match path.strip_prefix("/bytes/") {
                    None => Reply::Page,
                    Some(count) => match count.parse() {
                        Ok(count) if count <= MOST_BYTES => Reply::Bytes(count),
                        _ => Reply::NotFound,
                    },
                };
            }
        };
        self.path.clear();
        self.path
            .extend(percent_encoding::percent_decode(path.as_bytes()));
        let number = match files.find(&self.path) {
            None => return Reply::NotFound,
            Some(Place::Folder(there)) => return Reply::Moved(there.clone()),
            Some(Place::File(number)) => *number,
        };
        let file = files.at(number);
        // RFC 9110 §13.2.2: If-None-Match goes before If-Modified-Since, and both before Range.
        let is_known = match (request.none_match, request.modified_since) {
            (Some(tags), _) => names(tags, &file.etag),
            (None, Some(since)) => date(since).is_some_and(|since| file.modified <= since),
            (None, None) => false,
        };
        if is_known {
            return Reply::NotModified(number);
        }
        match request
            .range
            .map_or(Part::All, |range| part(range, file.bytes.len()))
        {
            Part::All => Reply::File(number),
            Part::Some(range) => Reply::Part(number, range),
            Part::Unsatisfiable => Reply::Unsatisfiable(number),
        }
    }

    /// Writes the head of an answer, and small bodies behind it; tells what of the body is left.
    fn write(&self, out: &mut Vec<u8>, reply: &Reply, keep: Keep, head_only: bool) -> Body {
        let file = |number: &u32| match &self.site {
            Site::Files(files) => Some(files.at(*number)),
            Site::Page(_) => None,
        };
        match reply {
            Reply::Page => Body::None,
            Reply::Bytes(count) => {
                self.head(out, "200 OK", keep);
                text(out, *count);
                if head_only {
                    return Body::None;
                }
                let with_head = (*count).min(BODY_WITH_HEAD as u64);
                out.extend(line().take(with_head as usize));
                Body::Filler(with_head, *count)
            }
            Reply::File(number) | Reply::Part(number, _) => {
                let Some(file) = file(number) else {
                    return Body::None;
                };
                let len = file.bytes.len();
                let range = match reply {
                    Reply::Part(_, range) => {
                        self.head(out, "206 Partial Content", keep);
                        put(
                            out,
                            format_args!("Content-Range: bytes {}-{}/{len}\r\n", range.start, range.end - 1),
                        );
                        range.clone()
                    }
                    _ => {
                        self.head(out, "200 OK", keep);
                        0..len
                    }
                };
                put(
                    out,
                    format_args!(
                        "Content-Type: {}\r\nContent-Length: {}\r\nLast-Modified: {}\r\nETag: {}\r\nAccept-Ranges: bytes\r\n\r\n",
                        file.content_type,
                        range.len(),
                        file.last_modified,
                        file.etag
                    ),
                );
                if head_only {
                    return Body::None;
                }
                let with_head = range.start + range.len().min(BODY_WITH_HEAD);
                out.extend_from_slice(&file.bytes[range.start..with_head]);
                Body::File(*number, with_head, range.end)
            }
            Reply::NotModified(number) => {
                self.head(out, "304 Not Modified", keep);
                if let Some(file) = file(number) {
                    put(
                        out,
                        format_args!(
                            "Last-Modified: {}\r\nETag: {}\r\n\r\n",
                            file.last_modified, file.etag
                        ),
                    );
                }
                Body::None
            }
            Reply::Unsatisfiable(number) => {
                self.head(out, "416 Range Not Satisfiable", keep);
                let len = file(number).map_or(0, |file| file.bytes.len());
                put(out, format_args!("Content-Range: bytes */{len}\r\n"));
                message(out, "The file has no such bytes.", head_only);
                Body::None
            }
            Reply::Moved(there) => {
                self.head(out, "301 Moved Permanently", keep);
                put(out, format_args!("Location: {there}\r\n"));
                message(out, "This is a folder: its path ends with a slash.", head_only);
                Body::None
            }
            Reply::NotFound => {
                self.head(out, "404 Not Found", keep);
                message(out, "There is no such thing here.", head_only);
                Body::None
            }
        }
    }

    /// Status, date, and how the connection goes on.
    fn head(&self, out: &mut Vec<u8>, status: &str, keep: Keep) {
        let connection = match keep {
            Keep::Stays => "",
            Keep::Asked => "Connection: keep-alive\r\n",
            Keep::Closes => "Connection: close\r\n",
        };
        put(
            out,
            format_args!("HTTP/1.1 {status}\r\nDate: {}\r\n{connection}", self.date),
        );
    }
}

/// The last lines of the head of a text.
fn text(out: &mut Vec<u8>, len: u64) {
    put(
        out,
        format_args!("Content-Type: text/plain\r\nContent-Length: {len}\r\n\r\n"),
    );
}

/// A line for people, with the end of its head.
fn message(out: &mut Vec<u8>, words: &str, head_only: bool) {
    text(out, words.len() as u64 + 1);
    if !head_only {
        put(out, format_args!("{words}\n"));
    }
}

fn put(out: &mut Vec<u8>, words: std::fmt::Arguments<'_>) {
    // Writing to memory never fails.
    let _ = out.write_fmt(words);
}

/// A list of entity tags names this one, or any (RFC 9110 §13.1.2: compared weakly).
fn names(tags: &[u8], etag: &str) -> bool {
    tags.trim_ascii() == b"*"
        || tags.split(|byte| *byte == b',').any(|tag| {
            let tag = tag.trim_ascii();
            tag.strip_prefix(b"W/").unwrap_or(tag) == etag.as_bytes()
        })
}

fn date(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()
}

/// What bodies are made of.
fn line() -> impl Iterator<Item = u8> {
    LINE.iter().copied().cycle()
}

const LINE: &[u8] = b"Fourtuple serves this line over and over, as often as --body-size asks.\n";

/// Bytes of lines that are kept in buffers.
const FILLER: usize = LINE.len() * 900;

/// So much of the body goes with the head: both fit into one buffer, and most frames.
const BODY_WITH_HEAD: usize = 1_024;

/// Bytes of a file that are sent at a time.
const FILE_PIECE: usize = 64 * 1_024;

/// Most bytes that `/bytes/N` gives: 1 GiB, as many as a size of the generator may have.
const MOST_BYTES: u64 = 1 << 30;
