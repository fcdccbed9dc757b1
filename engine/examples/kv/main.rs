//! A key-value server for `redis-cli` and `redis-benchmark`, on the worker: `kv IFACE
//! ADDRESS/PREFIX[,ADDRESS/PREFIX]`. Needs CAP_NET_RAW.
//!
//! It takes RESP2 and inline commands, pipelined as one likes: PING, SET, GET, DEL, INCR, QUIT.
//!
//! **Who owns the keys?** A handler is called on one thread only, so its map needs no lock. With two workers there would be
//! two maps, and which of them a client sees would hang on its source port: so this server has one worker. When that is too
//! slow, hand connections to threads that share a map with many locks (a worker must not wait for one), or run several such
//! servers and let clients choose by key.
//!
//! **What is bounded?** A command: 1 MiB and 64 words. What a client was answered and has not read: 64 KiB and one answer;
//! then its commands stay in the receive window, and it waits. The store: 64 MiB.

#![forbid(unsafe_code)]

mod resp;

use std::collections::HashMap;
use std::process::ExitCode;

use fourtuple::{Config, Connection, ConnectionOption, Engine, Handler, Listen};
use resp::{Parsed, bulk, line, number, parse};

/// No more commands are taken while so many bytes of answers wait.
const MOST_ANSWERS: usize = 64 << 10;
/// Most bytes of keys and values, with what the map takes for an entry.
const MOST_STORED: usize = 64 << 20;
const ENTRY: usize = 96;

#[derive(Default)]
struct Store {
    map: HashMap<Box<[u8]>, Box<[u8]>>,
    stored: usize,
}

#[derive(Default)]
struct Client {
    /// What it asked and was not answered.
    commands: Vec<u8>,
    /// What it was answered and was not sent.
    answers: Vec<u8>,
    /// It said QUIT, or what nobody understands: the connection ends behind the answers.
    over: bool,
    /// It will send no more.
    at_end: bool,
}

impl Handler for Store {
    type State = Client;

    fn on_readable(&mut self, connection: &mut Connection<'_>, client: &mut Client) {
        loop {
            let all = self.answer_commands(client);
            let sent = connection.send(&client.answers);
            client.answers.drain(..sent);
            if !client.answers.is_empty() {
                return; // The send queue is full: `on_writable` goes on.
            }
            if client.over {
                // A close with unread bytes is a reset, which may overtake the answer: what still comes is thrown away.
                connection.shutdown();
                while connection.receive().is_some() {}
                if client.at_end {
                    connection.close();
                }
                return;
            }
            if !all {
                continue;
            }
            // Read only now: a client that does not read its answers is not read either, and its window closes.
            match connection.receive() {
                Some(bytes) => client.commands.extend_from_slice(bytes.bytes()),
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

impl Store {
    /// Answers commands until answers pile up, or (`true`) there is none that is whole.
    fn answer_commands(&mut self, client: &mut Client) -> bool {
        let mut used = 0;
        let all = loop {
            if client.over || client.answers.len() >= MOST_ANSWERS {
                break false;
            }
            match parse(&client.commands[used..]) {
                Parsed::Partial => break true,
                Parsed::Command(len, words) => {
                    used += len;
                    client.over = self.answer(&words, &mut client.answers);
                }
                Parsed::Wrong(why) => {
                    client.over = true;
                    line(&mut client.answers, '-', why);
                }
            }
        };
        client.commands.drain(..used);
        all
    }

    /// Answers a command; `true` when it was the last.
    fn answer(&mut self, words: &[&[u8]], to: &mut Vec<u8>) -> bool {
        let Some((name, rest)) = words.split_first() else {
            return false; // An empty line.
        };
        match (name.to_ascii_uppercase().as_slice(), rest) {
            (b"PING", []) => line(to, '+', "PONG"),
            (b"PING", [text]) => bulk(to, Some(text)),
            (b"SET", [key, value]) => match self.set(key, value) {
                Ok(()) => line(to, '+', "OK"),
                Err(why) => line(to, '-', why),
            },
            (b"GET", [key]) => bulk(to, self.map.get(*key).map(AsRef::as_ref)),
            (b"DEL", keys) => line(to, ':', keys.iter().filter(|key| self.delete(key)).count()),
            (b"INCR", [key]) => match self.increment(key) {
                Ok(number) => line(to, ':', number),
                Err(why) => line(to, '-', why),
            },
            // What redis-benchmark and redis-cli ask when they come: there is nothing to tell.
            (b"CONFIG", [_, name]) => {
                line(to, '*', 2);
                bulk(to, Some(name));
                bulk(to, Some(b""));
            }
            (b"COMMAND", _) => line(to, '*', 0),
            (b"QUIT", _) => {
                line(to, '+', "OK");
                return true;
            }
            _ => line(to, '-', "ERR no such command, or not with so many words"),
        }
        false
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let stored = self.stored - self.size(key) + ENTRY + key.len() + value.len();
        if stored > MOST_STORED {
            return Err("OOM the store is full");
        }
        self.stored = stored;
        self.map.insert(key.into(), value.into());
        Ok(())
    }

    fn increment(&mut self, key: &[u8]) -> Result<i64, &'static str> {
        let old = self.map.get(key).map_or(Some(0), |value| number(value));
        let new = old
            .and_then(|old| old.checked_add(1))
            .ok_or("ERR the value is no integer, or too large")?;
        self.set(key, new.to_string().as_bytes()).map(|()| new)
    }

    fn delete(&mut self, key: &[u8]) -> bool {
        self.stored -= self.size(key);
        self.map.remove(key).is_some()
    }

    fn size(&self, key: &[u8]) -> usize {
        self.map
            .get(key)
            .map_or(0, |value| ENTRY + key.len() + value.len())
    }
}

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let [iface, addresses] = &words[..] else {
        eprintln!("usage: kv IFACE ADDRESS/PREFIX[,ADDRESS/PREFIX]");
        return ExitCode::from(2);
    };
    if let Err(why) = run(iface, addresses) {
        eprintln!("kv: {why}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(iface: &str, addresses: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::default();
    config.iface = vec![iface.to_owned()];
    config.ip = addresses.split(',').map(str::parse).collect::<Result<_, _>>()?;
    config.workers = 1;
    let _engine = Engine::builder(config)
        // Answers are small, and nobody is to wait for more of them.
        .listen(Listen::on(6379).with(ConnectionOption::NoDelay(true)))
        .start_with(|_worker| Store::default())?;
    eprintln!("listening on port 6379");
    loop {
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is answered to `commands`, and whether it ends the connection.
    fn answers(store: &mut Store, commands: &[u8]) -> (String, bool) {
        let mut client = Client {
            commands: commands.to_vec(),
            ..Client::default()
        };
        let mut answers = Vec::new();
        while !store.answer_commands(&mut client) && !client.over {
            answers.append(&mut client.answers);
        }
        answers.append(&mut client.answers);
        (String::from_utf8_lossy(&answers).into_owned(), client.over)
    }

    #[test]
    fn commands_are_answered_in_order() {
        let store = &mut Store::default();
        let asked =
            b"SET k 41\r\nGET k\nincr k\nGET none\nDEL k k\nPING\nPING hello\nINCR k\nSET k x\nINCR k\n";
        let (said, over) = answers(store, asked);
        let expected =
            "+OK|$2|41|:42|$-1|:1|+PONG|$5|hello|:1|+OK|-ERR the value is no integer, or too large|";
        assert_eq!(said.replace("\r\n", "|"), expected);
        assert!(!over);
        assert_eq!(store.stored, ENTRY + 2);
        assert_eq!(answers(store, b"QUIT\nPING\n"), ("+OK\r\n".into(), true));
        assert_eq!(
            answers(store, b"CONFIG GET save\n").0,
            "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"
        );
    }

    #[test]
    fn what_is_stored_and_what_waits_to_be_sent_is_bounded() {
        let store = &mut Store::default();
        let value = vec![b'x'; 1_000_000];
        let full = (0..100).position(|n: u32| store.set(&n.to_le_bytes(), &value).is_err());
        assert_eq!(full, Some(MOST_STORED / (1_000_000 + 4 + ENTRY)));
        assert!(
            store.set(&0u32.to_le_bytes(), b"").is_ok(),
            "one that gets smaller has room"
        );
        let mut client = Client {
            commands: b"GET \x01\0\0\0\n".repeat(100),
            ..Client::default()
        };
        assert!(!store.answer_commands(&mut client), "more wait");
        assert!(client.answers.len() < MOST_ANSWERS + value.len() + 32);
    }

    #[test]
    fn a_number_stops_at_its_largest() {
        let store = &mut Store::default();
        store.set(b"k", i64::MAX.to_string().as_bytes()).unwrap();
        assert!(store.increment(b"k").is_err());
    }
}
