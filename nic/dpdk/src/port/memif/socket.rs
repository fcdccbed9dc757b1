//! The unix sockets at which the ends of a memif meet.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use fourtuple_nic::NicError;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::arguments::Arguments;

/// A name of a socket.
#[derive(Clone, Debug)]
pub(super) struct Name {
    text: String,
    is_abstract: bool,
}

/// A socket that others connect to; a file goes with it.
#[derive(Debug)]
pub(super) struct Listener {
    socket: OwnedFd,
    /// The file that we made, as device and inode.
    file: Option<(PathBuf, (u64, u64))>,
}

impl Name {
    /// Where the operator wants the two ends to meet.
    pub(super) fn asked(arguments: &Arguments) -> Self {
        Self {
            text: arguments.socket.clone(),
            is_abstract: arguments.socket_is_abstract,
        }
    }

    /// A name that no other socket has, and no file.
    pub(super) fn private() -> Result<Self, Errno> {
        Ok(Self {
            text: format!("fourtuple-memif-{}", random_text()?),
            is_abstract: true,
        })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn address(&self) -> Result<SocketAddrUnix, Errno> {
        if self.is_abstract {
            SocketAddrUnix::new_abstract_name(self.text.as_bytes())
        } else {
            SocketAddrUnix::new(self.text.as_str())
        }
    }

    /// Connects without waiting.
    pub(super) fn connect(&self) -> Result<OwnedFd, Errno> {
        let socket = fresh()?;
        rustix::net::connect(&socket, &self.address()?)?;
        Ok(socket)
    }

    /// Refuses a name whose folder is not there: what is misspelt would be waited for in vain.
    pub(super) fn require_folder(&self, label: &str) -> Result<(), NicError> {
        let folder = Path::new(&self.text).parent().unwrap_or(Path::new(""));
        if self.is_abstract || folder.as_os_str().is_empty() || folder.is_dir() {
            return Ok(());
        }
        let reason = format!("there is no folder {} for its socket; make it", folder.display());
        Err(NicError::Refused {
            port: label.to_owned(),
            reason,
        })
    }

    /// Listens. A file that a killed process left behind is no hindrance, a socket that somebody listens at is.
    pub(super) fn listen(&self, label: &str) -> Result<Listener, NicError> {
        let refused = |error: Errno| {
            let (port, text) = (label.to_owned(), &self.text);
            match error {
                Errno::ADDRINUSE => NicError::Refused {
                    port,
                    reason: format!(
                        "{text} is in use by another process; end it, or give each port a socket of its own"
                    ),
                },
                Errno::ACCESS | Errno::PERM | Errno::ROFS => NicError::NotPermitted {
                    port,
                    remedy: format!(
                        "{text} can't be made ({error}); choose a folder that this user may write to"
                    ),
                },
                _ => NicError::Refused {
                    port,
                    reason: format!("{text} can't be listened at: {error}"),
                },
            }
        };
        let socket = fresh().map_err(refused)?;
        let address = self.address().map_err(refused)?;
        match rustix::net::bind(&socket, &address) {
            Err(Errno::ADDRINUSE) if self.is_abandoned() => {
                tracing::info!(
                    port = label,
                    socket = self.text,
                    "a socket file was left behind; removed"
                );
                fs::remove_file(&self.text)
                    .map_err(|error| refused(Errno::from_io_error(&error).unwrap_or(Errno::ADDRINUSE)))?;
                rustix::net::bind(&socket, &address).map_err(refused)?;
            }
            outcome => outcome.map_err(refused)?,
        }
        // From here on the file is ours, and goes with the listener.
        let file = (!self.is_abstract)
            .then(|| identity(Path::new(&self.text)).map(|identity| (PathBuf::from(&self.text), identity)))
            .flatten();
        let listener = Listener { socket, file };
        rustix::net::listen(&listener.socket, 4).map_err(refused)?;
        Ok(listener)
    }

    /// There is a socket's file at which nobody listens.
    fn is_abandoned(&self) -> bool {
        let is_socket = fs::symlink_metadata(&self.text).is_ok_and(|file| file.file_type().is_socket());
        !self.is_abstract && is_socket && matches!(self.connect(), Err(Errno::CONNREFUSED))
    }
}

impl Listener {
    /// Whoever connected.
    pub(super) fn accept(&self) -> Result<OwnedFd, Errno> {
        rustix::net::accept_with(&self.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
    }

    /// Whoever of this process connected: others are turned away.
    pub(super) fn accept_own(&self) -> Result<OwnedFd, Errno> {
        let connected = self.accept()?;
        let who = rustix::net::sockopt::socket_peercred(&connected)?;
        if who.pid == rustix::process::getpid() {
            Ok(connected)
        } else {
            Err(Errno::ACCESS)
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some((path, ours)) = &self.file
            && identity(path) == Some(*ours)
        {
            let _gone_already = fs::remove_file(path);
        }
    }
}

/// 22 characters that nobody guesses.
pub(super) fn random_text() -> Result<String, Errno> {
    let mut bytes = [0u8; 11];
    rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn fresh() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path)
        .ok()
        .map(|file| (file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Name {
        Name {
            text: text.to_owned(),
            is_abstract: false,
        }
    }

    fn temporary(name: &str) -> String {
        let path = std::env::temp_dir().join(format!("mf-{}-{name}", std::process::id()));
        path.to_string_lossy().into_owned()
    }

    #[test]
    fn a_file_left_behind_is_replaced_and_goes_with_the_listener() {
        let path = temporary("left");
        // As a killed process leaves it: bound, and closed without being removed.
        let dead = fresh().unwrap();
        rustix::net::bind(&dead, &at(&path).address().unwrap()).unwrap();
        drop(dead);
        assert!(at(&path).is_abandoned());
        let listener = at(&path).listen("p").unwrap();
        assert!(at(&path).connect().is_ok());
        drop(listener);
        assert!(!Path::new(&path).exists());
    }

    #[test]
    fn what_is_in_use_or_no_socket_is_left_alone() {
        let path = temporary("used");
        let _listener = at(&path).listen("p").unwrap();
        let message = at(&path).listen("p").unwrap_err().to_string();
        assert!(message.contains(&path) && message.contains("in use"), "{message}");
        let file = temporary("file");
        fs::write(&file, b"dear").unwrap();
        assert!(at(&file).listen("p").is_err());
        assert_eq!(fs::read(&file).unwrap(), b"dear");
        fs::remove_file(&file).unwrap();
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let message = at("/no/such/x.sock").require_folder("p").unwrap_err().to_string();
        assert!(message.contains("/no/such"), "{message}");
        assert!(at("/tmp/x.sock").require_folder("p").is_ok());
        assert!(Name::private().unwrap().require_folder("p").is_ok());
    }
}
