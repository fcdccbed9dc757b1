//! What a memif port is asked for: `role=server,id=0,socket=/run/x.sock,socket-abstract=no`, in the words of DPDK's driver.
//!
//! The driver itself overlooks words that it does not know, and then makes something else: here they are refused.

use std::str::FromStr;

use fourtuple_nic::MacAddr;

/// Bytes of a socket's name, the terminating NUL not counted.
const NAME_MOST: usize = 107;

/// Bytes of a secret, the terminating NUL not counted.
const SECRET_MOST: usize = 23;

/// Largest ring, as a power of two.
const RING_MOST: u8 = 14;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Waits for the other end.
    Server,
    /// Looks for the other end, and owns the shared memory.
    Client,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arguments {
    pub(super) role: Role,
    pub(super) id: u32,
    pub(super) socket: String,
    pub(super) socket_is_abstract: bool,
    pub(super) secret: Option<String>,
    pub(super) mac: Option<MacAddr>,
    /// Bytes of a buffer of the shared memory.
    pub(super) buffer: u16,
    /// Descriptors of a ring, as a power of two.
    pub(super) ring: u8,
}

impl Default for Arguments {
    /// The driver's.
    fn default() -> Self {
        Self {
            role: Role::Client,
            id: 0,
            socket: "/run/memif.sock".to_owned(),
            socket_is_abstract: true,
            secret: None,
            mac: None,
            buffer: 2048,
            ring: 10,
        }
    }
}

impl Arguments {
    /// Words as the driver reads them; the socket is another one, whose name is no file's.
    pub(super) fn for_driver(&self, socket: &str, secret: Option<&str>) -> String {
        let Self {
            role,
            id,
            buffer,
            ring,
            ..
        } = self;
        let role = match role {
            Role::Server => "server",
            Role::Client => "client",
        };
        let secret = secret.map_or_else(String::new, |secret| format!(",secret={secret}"));
        format!("role={role},id={id},bsize={buffer},rsize={ring},socket={socket},socket-abstract=yes{secret}")
    }

    /// An address that follows from the end of the link that this is, so that a peer need not learn a new one when this
    /// process is started again.
    pub(super) fn usual_mac(&self) -> MacAddr {
        // FNV-1a: no secret is kept by it, and it stays the same from one release to the next.
        let bytes = self
            .socket
            .bytes()
            .chain(self.id.to_be_bytes())
            .chain([self.role as u8]);
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let [_, _, _, _, a, b, c, d] = hash.to_be_bytes();
        MacAddr([0x02, 0x6d, a, b, c, d])
    }
}

impl FromStr for Arguments {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut read = Self::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let (key, value) = word
                .split_once('=')
                .filter(|(_, value)| !value.is_empty())
                .ok_or_else(|| format!("`{word}` is no argument; write key=value"))?;
            match key {
                "role" => read.role = role(value)?,
                "id" => read.id = number(key, value, u32::MAX)?,
                "bsize" => read.buffer = number(key, value, u16::MAX)?,
                "rsize" => read.ring = number(key, value, RING_MOST)?,
                "socket" => read.socket = name(key, value, NAME_MOST)?,
                "socket-abstract" => read.socket_is_abstract = yes(key, value)?,
                "secret" => read.secret = Some(name(key, value, SECRET_MOST)?),
                "mac" => read.mac = Some(value.parse()?),
                "zero-copy" if !yes(key, value)? => {}
                "zero-copy" => {
                    return Err("zero-copy=yes is not possible: DPDK's driver never gives back the buffers that it shares \
                                when the other end goes; leave it out"
                        .to_owned());
                }
                _ => {
                    return Err(format!(
                        "memif has no argument `{key}`; there are role, id, socket, socket-abstract, secret, mac, bsize and rsize"
                    ));
                }
            }
        }
        Ok(read)
    }
}

fn role(value: &str) -> Result<Role, String> {
    match value {
        "server" => Ok(Role::Server),
        "client" => Ok(Role::Client),
        _ => Err(format!("role={value} is none; write role=server or role=client")),
    }
}

fn yes(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("{key}={value}: write yes or no")),
    }
}

fn name(key: &str, value: &str, most: usize) -> Result<String, String> {
    if value.len() > most {
        return Err(format!(
            "{key} is too long: {} bytes, at most {most} are possible",
            value.len()
        ));
    }
    Ok(value.to_owned())
}

fn number<N: FromStr + PartialOrd + std::fmt::Display>(key: &str, value: &str, most: N) -> Result<N, String> {
    value
        .parse::<N>()
        .ok()
        .filter(|number| *number <= most)
        .ok_or_else(|| format!("{key}={value} is no number from 0 to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_the_driver_reads_them() {
        let read: Arguments =
            "role=server,id=3,socket=/tmp/x.sock,socket-abstract=no,rsize=8,secret=s,zero-copy=no"
                .parse()
                .unwrap();
        let expected = Arguments {
            role: Role::Server,
            id: 3,
            socket: "/tmp/x.sock".to_owned(),
            socket_is_abstract: false,
            secret: Some("s".to_owned()),
            ring: 8,
            ..Arguments::default()
        };
        assert_eq!(read, expected);
        assert_eq!("".parse(), Ok(Arguments::default()));
        assert_eq!(
            read.for_driver("here", Some("x")),
            "role=server,id=3,bsize=2048,rsize=8,socket=here,socket-abstract=yes,secret=x"
        );
    }

    #[test]
    fn a_wrong_word_is_named() {
        let long = format!("socket=/{}", "x".repeat(107));
        let rows = [
            ("rol=server", "`rol`"),
            ("server", "`server`"),
            ("role=king", "role=king"),
            ("role=", "`role=`"),
            ("id=-1", "id=-1"),
            ("bsize=65536", "bsize=65536"),
            ("rsize=15", "rsize=15"),
            ("socket-abstract=maybe", "maybe"),
            ("mac=1:2", "1:2"),
            ("zero-copy=yes", "leave it out"),
            (&long, "108 bytes"),
        ];
        for (text, thing) in rows {
            let error = text.parse::<Arguments>().expect_err(text);
            assert!(error.contains(thing), "{error}");
        }
    }

    #[test]
    fn both_ends_have_addresses_of_their_own_that_stay() {
        let server: Arguments = "role=server".parse().unwrap();
        let client: Arguments = "role=client".parse().unwrap();
        assert_ne!(server.usual_mac(), client.usual_mac());
        assert_eq!(server.usual_mac(), server.usual_mac());
        assert!(!server.usual_mac().is_group());
    }
}
