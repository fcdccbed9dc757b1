//! Stands between DPDK's memif driver and the other end, in a thread of its own.
//!
//! ```text
//!   driver (EAL's interrupt thread) ── private socket ── go-between ── the operator's socket ── other process
//! ```
//! The driver unmaps the shared memory as soon as its socket says that the other end is gone, whether or not a worker is in a
//! burst; it connects once at most; it lets two ends with different numbers of queues read each other's rings. So it never sees
//! the other end itself. The go-between passes messages on as they are, and:
//!
//! - closes the [`Gate`] before the driver hears that the other end is gone, and opens it when the link is up;
//! - looks for the other end again (client), or listens on (server), for as long as the port lives;
//! - turns an end away that has another number of queues or another secret.
//!
//! No frame passes here: they go through shared memory.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};

use super::arguments::Role;
use super::message::{Message, Said};
use super::socket::{Listener, Name};
use crate::port::device;
use crate::port::gate::Gate;

/// How often a client looks for its server.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How long to wait after an end that was no use.
const AFTER_REFUSAL: Duration = Duration::from_secs(1);

/// How often the link is looked at once both ends have agreed.
const LINK_SOON: Duration = Duration::from_millis(1);

/// How long the driver may take to let go of the memory; it takes less than a millisecond.
const DRIVER_PARTS: Duration = Duration::from_secs(5);

/// What the thread knows.
pub(super) struct Terms {
    pub(super) label: String,
    pub(super) port: u16,
    pub(super) role: Role,
    pub(super) queues: u16,
    /// Where the other end is (client); it comes to our listener otherwise.
    pub(super) outside: Name,
    /// Where the driver is (server); it comes to our listener otherwise.
    pub(super) inside: Name,
    /// Server: at the operator's socket. Client: at the private one.
    pub(super) listener: Listener,
    /// Server: what the other end has to say; and what the driver is told instead.
    pub(super) secret: Option<String>,
    pub(super) private_secret: [u8; 24],
    pub(super) gate: Arc<Gate>,
}

/// The running thread; stopped, with the driver parted from the other end, on drop.
#[derive(Debug)]
pub(crate) struct GoBetween {
    stop: OwnedFd,
    thread: Option<thread::JoinHandle<()>>,
}

impl GoBetween {
    /// Starts the thread; the device was started before.
    pub(super) fn start(terms: Terms) -> io::Result<Self> {
        let stop = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let mut thread = Thread {
            stop: stop.try_clone()?,
            terms,
            driver: None,
            last_said: String::new(),
        };
        let thread = thread::Builder::new()
            .name("memif".to_owned())
            .spawn(move || thread.run())?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for GoBetween {
    fn drop(&mut self) {
        let _never_full = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

struct Thread {
    stop: OwnedFd,
    terms: Terms,
    /// The driver's socket while it has no other end (client: it connects before there is one).
    driver: Option<OwnedFd>,
    last_said: String,
}

/// Told to stop.
struct Stopped;

/// How many rings the other end has offered.
#[derive(Default)]
struct Rings {
    to_server: u32,
    to_client: u32,
}

impl Thread {
    fn run(&mut self) {
        while let Ok((driver, other)) = self.introduce() {
            let was_up = self.pass_on(&driver, &other);
            // In this order: no burst runs when the driver hears of the end.
            self.terms.gate.close();
            self.terms.gate.highest(device::counters(self.terms.port));
            drop(other);
            self.part(driver);
            let pause = if was_up { Duration::ZERO } else { AFTER_REFUSAL };
            if self.wait(pause).is_err() || self.start_anew().is_err() {
                return;
            }
        }
        // A client's driver may have connected without having been let in yet.
        let knocking = || match self.terms.role {
            Role::Client => self.terms.listener.accept_own().ok(),
            Role::Server => None,
        };
        if let Some(driver) = self.driver.take().or_else(knocking) {
            self.part(driver);
        }
    }

    /// Waits for both sides: sockets of the driver and of the other end.
    fn introduce(&mut self) -> Result<(OwnedFd, OwnedFd), Stopped> {
        match self.terms.role {
            Role::Server => loop {
                self.readable(&[self.terms.listener.as_fd()], None)?;
                let Ok(other) = self.terms.listener.accept() else {
                    // It went again, or there are no descriptors left.
                    self.wait(LOOK_AGAIN)?;
                    continue;
                };
                match self.terms.inside.connect() {
                    Ok(driver) => return Ok((driver, other)),
                    Err(error) => self.say(&format!("the driver can't be reached: {error}")),
                }
                self.wait(AFTER_REFUSAL)?;
            },
            Role::Client => {
                let driver = loop {
                    if let Some(driver) = self.driver.take() {
                        break driver;
                    }
                    self.readable(&[self.terms.listener.as_fd()], None)?;
                    self.driver = self.terms.listener.accept_own().ok();
                    if self.driver.is_none() {
                        self.wait(LOOK_AGAIN)?;
                    }
                };
                loop {
                    match self.terms.outside.connect() {
                        Ok(other) => return Ok((driver, other)),
                        Err(error) => {
                            self.say(&format!(
                                "waiting for a server at {}: {error}",
                                self.terms.outside.text()
                            ));
                        }
                    }
                    if self.wait(LOOK_AGAIN).is_err() {
                        self.driver = Some(driver);
                        return Err(Stopped);
                    }
                }
            }
        }
    }

    /// Passes messages on until one side is gone or no use, or the thread is stopped; returns whether the link was up.
    fn pass_on(&mut self, driver: &OwnedFd, other: &OwnedFd) -> bool {
        let mut rings = Rings::default();
        let mut agreed = false;
        loop {
            let up = self.terms.gate.is_open();
            if agreed && !up && device::link_is_up(self.terms.port) {
                self.terms.gate.open();
                tracing::info!(port = self.terms.label, "the other end is there");
                self.last_said.clear();
                continue;
            }
            let limit = (agreed && !up).then_some(LINK_SOON);
            // A client's driver has connected, nobody else is to.
            let Ok([from_driver, from_other, newcomer]) = self.readable(
                &[driver.as_fd(), other.as_fd(), self.terms.listener.as_fd()],
                limit,
            ) else {
                return true;
            };
            if newcomer && let Ok(third) = self.terms.listener.accept() {
                let _gone = Message::disconnect("Already connected").send(third);
            }
            if from_driver {
                let passed = Message::receive(driver).and_then(|message| {
                    agreed |= message.said() == Said::Connected;
                    if let Said::Disconnect(reason) = message.said() {
                        self.say(&format!("the driver refuses the other end: {reason}"));
                    }
                    message.send(other)
                });
                if passed.is_err() {
                    return self.lost(up);
                }
            }
            if from_other {
                let Ok(mut message) = Message::receive(other) else {
                    return self.lost(up);
                };
                if let Err((answer, why)) = self.judge(&mut message, &mut rings) {
                    let _gone = Message::disconnect(&answer).send(other);
                    self.say(&why);
                    return up;
                }
                agreed |= message.said() == Said::Connected;
                if matches!(message.said(), Said::Disconnect(_)) || message.send(driver).is_err() {
                    return self.lost(up);
                }
            }
        }
    }

    /// Looks at what the other end says before the driver hears it. An error is what the other end is answered, and what the
    /// operator is told.
    fn judge(&mut self, message: &mut Message, rings: &mut Rings) -> Result<(), (String, String)> {
        let ours = u32::from(self.terms.queues);
        match (self.terms.role, message.said()) {
            (Role::Server, Said::Init { secret }) => {
                let asked = self.terms.secret.as_deref().unwrap_or_default();
                if !asked.is_empty() && padded(asked) != secret {
                    let answer = "Incorrect secret".to_owned();
                    return Err((answer, "the other end has another secret".to_owned()));
                }
                message.replace_secret(&self.terms.private_secret);
            }
            (Role::Server, Said::Ring { to_server: true }) => rings.to_server += 1,
            (Role::Server, Said::Ring { to_server: false }) => rings.to_client += 1,
            (Role::Server, Said::Connect) if (rings.to_server, rings.to_client) != (ours, ours) => {
                let Rings { to_server, to_client } = rings;
                return Err((
                    format!("{ours} queues are needed in each direction"),
                    format!(
                        "the other end has {to_server} queues to us and {to_client} from us, this port has {ours}; start both \
                         ends with the same number (--workers)"
                    ),
                ));
            }
            (Role::Client, Said::Hello { to_client, to_server }) if to_client.min(to_server) < ours => {
                return Err((
                    "too few rings".to_owned(),
                    format!(
                        "the other end can have {} queues, this port has {ours}",
                        to_client.min(to_server)
                    ),
                ));
            }
            (_, Said::Disconnect(reason)) => {
                let hint = if reason == "Invalid ring index" {
                    "; it has fewer queues than this port (--workers)"
                } else {
                    ""
                };
                self.say(&format!("the other end says: {reason}{hint}"));
            }
            _ => {}
        }
        Ok(())
    }

    fn lost(&mut self, was_up: bool) -> bool {
        if was_up {
            self.say("the other end is gone; frames to it are dropped until one is there again");
        }
        was_up
    }

    /// Tells the driver that there is no other end, and waits until it has let go of the shared memory: then it closes its
    /// socket.
    fn part(&self, driver: OwnedFd) {
        let _gone = rustix::net::shutdown(&driver, rustix::net::Shutdown::Write);
        let begun = std::time::Instant::now();
        while begun.elapsed() < DRIVER_PARTS {
            let mut fds = [PollFd::new(&driver, PollFlags::IN)];
            let _interrupted = rustix::event::poll(&mut fds, Some(&timespec(LOOK_AGAIN)));
            match Message::receive(&driver) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
        tracing::warn!(
            port = self.terms.label,
            "the driver does not part from the other end"
        );
    }

    /// A client's driver connects only when it is started.
    fn start_anew(&mut self) -> Result<(), Stopped> {
        while self.terms.role == Role::Client {
            match device::start_again(self.terms.port) {
                Ok(()) => break,
                Err(answer) => self.say(&format!("the driver does not start again: {answer}")),
            }
            self.wait(AFTER_REFUSAL)?;
        }
        Ok(())
    }

    /// Which of the sockets have something, when one of them has, or after `limit`.
    fn readable<const N: usize>(
        &self,
        sockets: &[std::os::fd::BorrowedFd<'_>; N],
        limit: Option<Duration>,
    ) -> Result<[bool; N], Stopped> {
        let mut fds: Vec<PollFd<'_>> = sockets
            .iter()
            .map(|socket| PollFd::new(socket, PollFlags::IN))
            .collect();
        fds.push(PollFd::new(&self.stop, PollFlags::IN));
        let limit = limit.map(timespec);
        let _interrupted = rustix::event::poll(&mut fds, limit.as_ref());
        let has = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        if has(N) {
            Err(Stopped)
        } else {
            Ok(std::array::from_fn(has))
        }
    }

    fn wait(&self, span: Duration) -> Result<(), Stopped> {
        self.readable(&[], Some(span)).map(|[]| ())
    }

    /// Tells the operator, once until something else is to be told.
    fn say(&mut self, what: &str) {
        if self.last_said != what {
            tracing::warn!(port = self.terms.label, "{what}");
            what.clone_into(&mut self.last_said);
        }
    }
}

/// A secret as it stands in a message.
pub(super) fn padded(secret: &str) -> [u8; 24] {
    let mut field = [0; 24];
    for (place, byte) in field.iter_mut().zip(secret.bytes().take(23)) {
        *place = byte;
    }
    field
}

fn timespec(span: Duration) -> Timespec {
    Timespec {
        tv_sec: span.as_secs() as i64,
        tv_nsec: span.subsec_nanos().into(),
    }
}
