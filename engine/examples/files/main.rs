//! A server of static files over HTTP/1.1, on the workers: `files IFACE ADDRESS/PREFIX[,ADDRESS/PREFIX] FOLDER`.
//! Needs CAP_NET_RAW.
//!
//! All files are read into memory at start: a handler must not wait for a disk. It also settles what a client can name: a path
//! is looked up whole among those that were found, and nothing with `..` is one of them. Workers share the files, and nothing
//! else; each answers the connections that it owns.

#![forbid(unsafe_code)]

mod request;

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use fourtuple::{Config, Connection, ConnectionOption, Engine, Handler, KeepAlive, Listen};
use request::{Parsed, Request, parse};
use walkdir::WalkDir;

/// By path, as `/a/b.html`.
type Files = HashMap<String, File>;

struct File {
    content_type: String,
    body: Bytes,
}

struct Server {
    files: Arc<Files>,
}

#[derive(Default)]
struct Client {
    /// What of a request has come.
    request: Vec<u8>,
    /// What of an answer was not sent.
    head: Bytes,
    body: Bytes,
    /// That answer is the last.
    last: bool,
    /// It will send no more.
    at_end: bool,
}

impl Handler for Server {
    type State = Client;

    fn on_readable(&mut self, connection: &mut Connection<'_>, client: &mut Client) {
        // One answer after the other: a client that does not read its answers is not read either, and its window closes.
        while client.send(connection) {
            if client.last {
                // A close with unread bytes is a reset, which may overtake the answer: what still comes is thrown away.
                connection.shutdown();
                while connection.receive().is_some() {}
                if client.at_end {
                    connection.close();
                }
                return;
            }
            if self.answer(client) {
                continue;
            }
            match connection.receive() {
                Some(bytes) => client.request.extend_from_slice(bytes.bytes()),
                None if client.at_end => return connection.close(),
                None => return,
            }
        }
    }

    fn on_writable(&mut self, connection: &mut Connection<'_>, client: &mut Client) {
        self.on_readable(connection, client);
    }

    fn on_peer_closed(&mut self, connection: &mut Connection<'_>, client: &mut Client) {
        client.at_end = true;
        self.on_readable(connection, client);
    }
}

impl Client {
    /// Sends what is left of the answer; `false` when the send queue is full, and `on_writable` goes on.
    fn send(&mut self, connection: &mut Connection<'_>) -> bool {
        for part in [&mut self.head, &mut self.body] {
            part.advance(connection.send(part));
            if !part.is_empty() {
                return false;
            }
        }
        true
    }

    fn begin(&mut self, status: &str, content_type: &str, body: Bytes, head_only: bool) {
        let connection = if self.last { "close" } else { "keep-alive" };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
            body.len()
        );
        self.head = head.into();
        self.body = if head_only { Bytes::new() } else { body };
    }
}

impl Server {
    /// Begins to answer the next request; `false` when it has not come to its end.
    fn answer(&self, client: &mut Client) -> bool {
        let request = std::mem::take(&mut client.request);
        let used = match parse(&request) {
            Parsed::Partial => 0,
            Parsed::Request(
                len,
                Request {
                    path,
                    head_only,
                    keep,
                },
            ) => {
                client.last = !keep;
                match self.files.get(path.as_ref()) {
                    Some(file) => client.begin("200 OK", &file.content_type, file.body.clone(), head_only),
                    None => client.begin(
                        "404 Not Found",
                        "text/plain",
                        "There is no such file.\n".into(),
                        head_only,
                    ),
                }
                len
            }
            Parsed::Refused(status) => {
                client.last = true;
                client.begin(
                    status,
                    "text/plain",
                    "This is not understood here.\n".into(),
                    false,
                );
                request.len()
            }
        };
        client.request = request;
        client.request.drain(..used);
        used > 0
    }
}

fn load(folder: &Path) -> Result<Files, Box<dyn Error>> {
    let mut files = Files::new();
    // Symbolic links are not followed, and are no files.
    for entry in WalkDir::new(folder) {
        let entry = entry?;
        if !entry.file_type().is_file() {
            continue;
        }
        let Some(below) = entry.path().strip_prefix(folder)?.to_str() else {
            continue;
        };
        let path = format!("/{below}");
        let file = |body| File {
            content_type: mime_guess::from_path(&path).first_or_octet_stream().to_string(),
            body,
        };
        let body: Bytes = std::fs::read(entry.path())?.into();
        if let Some(folder) = path.strip_suffix("index.html") {
            files.insert(folder.to_owned(), file(body.clone()));
        }
        files.insert(path.clone(), file(body));
    }
    Ok(files)
}

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let [iface, addresses, folder] = &words[..] else {
        eprintln!("usage: files IFACE ADDRESS/PREFIX[,ADDRESS/PREFIX] FOLDER");
        return ExitCode::from(2);
    };
    if let Err(why) = run(iface, addresses, folder.as_ref()) {
        eprintln!("files: {why}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(iface: &str, addresses: &str, folder: &Path) -> Result<(), Box<dyn Error>> {
    let files = Arc::new(load(folder)?);
    let mut config = Config::default();
    config.iface = vec![iface.to_owned()];
    config.ip = addresses.split(',').map(str::parse).collect::<Result<_, _>>()?;
    // Clients that vanish without a word are found out.
    let keepalive = ConnectionOption::KeepAlive(Some(KeepAlive::default()));
    let _engine = Engine::builder(config)
        .listen(Listen::on(80).with(keepalive))
        .start_with(|_worker| Server {
            files: Arc::clone(&files),
        })?;
    eprintln!("listening on port 80");
    loop {
        std::thread::park();
    }
}
