//! Ports that share memory with a port of another process: `vdev:net_memif0,role=server,socket=/run/x.sock,socket-abstract=no`.
//!
//! What queue `i` of one end sends, queue `i` of the other receives. The driver copies each frame, so payload is best attached.
//! The other end may come, go and come back at any time ([`go_between`]); meanwhile frames are dropped and counted.

mod arguments;
mod go_between;
mod message;
mod socket;

use std::sync::Arc;

use fourtuple_nic::NicError;

use super::device::{Device, fresh_name};
use super::gate::Gate;
use super::{ATTACH_ABOVE, L2_BYTES, Nature, Port, PortOptions, WaitBy};
use arguments::{Arguments, Role};
pub(crate) use go_between::GoBetween;
use go_between::{Terms, padded};
use socket::Name;

/// Largest IP packet that the driver takes (a frame of 1518 bytes).
const MTU_MOST: u16 = 1500;

/// Queues that the driver can have.
const QUEUES_MOST: u16 = 255;

/// Whether a specification names this driver, as `net_memif0` does.
pub(super) fn is_meant(driver: &str) -> bool {
    driver
        .strip_prefix("net_memif")
        .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
}

pub(super) fn open(
    label: String,
    arguments: &str,
    queues: u16,
    options: &PortOptions,
) -> Result<Port, NicError> {
    let refused = |reason: String| NicError::Refused {
        port: label.clone(),
        reason,
    };
    let arguments: Arguments = arguments.parse().map_err(refused)?;
    let mtu = require_fit(&label, &arguments, queues, options)?;
    let outside = Name::asked(&arguments);
    outside.require_folder(&label)?;
    let inside = Name::private().map_err(|error| refused(format!("no random name: {error}")))?;
    let random = socket::random_text().map_err(|error| refused(format!("no random secret: {error}")))?;
    let (listener, secret) = match arguments.role {
        Role::Server => (outside.listen(&label)?, Some(random.as_str())),
        Role::Client => (inside.listen(&label)?, arguments.secret.as_deref()),
    };
    let device = Device::plug(
        &label,
        &fresh_name("net_memif"),
        &arguments.for_driver(inside.text(), secret),
    )?;
    let id = device.id();
    let gate = Arc::new(Gate::new(queues));
    let nature = Nature {
        attaching: ATTACH_ABOVE,
        mac: options
            .mac
            .or(arguments.mac)
            .or_else(|| Some(arguments.usual_mac())),
        mtu,
        wait: WaitBy::Polling,
        gate: Some(Arc::clone(&gate)),
        ..Nature::polled(options)
    };
    let port = Port::open(label.clone(), device, queues, options, nature)?;
    let terms = Terms {
        label: label.clone(),
        port: id,
        role: arguments.role,
        queues,
        outside,
        inside,
        listener,
        secret: arguments.secret,
        private_secret: padded(&random),
        gate,
    };
    let go_between =
        GoBetween::start(terms).map_err(|error| refused(format!("no thread can be started: {error}")))?;
    port.accompany(go_between);
    Ok(port)
}

/// The MTU, when driver and buffers can do what is asked for.
fn require_fit(
    label: &str,
    arguments: &Arguments,
    queues: u16,
    options: &PortOptions,
) -> Result<u16, NicError> {
    let port = label.to_owned();
    if queues > QUEUES_MOST {
        return Err(NicError::TooManyQueues {
            port,
            asked: queues,
            available: QUEUES_MOST,
        });
    }
    // The driver can spread a frame over several buffers, but leaves marks that join later frames to it (22.11).
    let largest = arguments.buffer.saturating_sub(L2_BYTES).min(MTU_MOST);
    match options.mtu {
        Some(asked) if asked > largest => Err(NicError::Mtu { port, asked, largest }),
        None if largest < MTU_MOST => {
            let least = MTU_MOST + L2_BYTES;
            let reason = format!(
                "bsize={} is too small for a frame of {least} bytes; ask for {least} or more, or for --mtu {largest}",
                arguments.buffer
            );
            Err(NicError::Refused { port, reason })
        }
        asked => Ok(asked.unwrap_or(MTU_MOST)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_memif_is_meant() {
        for driver in ["net_memif", "net_memif0", "net_memif12"] {
            assert!(is_meant(driver), "{driver}");
        }
        for driver in ["net_memifx", "net_ring0", "memif0"] {
            assert!(!is_meant(driver), "{driver}");
        }
    }

    #[test]
    fn a_frame_has_to_fit_into_one_buffer() {
        let fit = |words: &str, mtu| {
            let options = PortOptions {
                mtu,
                ..PortOptions::default()
            };
            require_fit("p", &words.parse().unwrap(), 1, &options)
        };
        assert_eq!(fit("", None), Ok(1500));
        assert_eq!(fit("bsize=1518", Some(1500)), Ok(1500));
        assert_eq!(fit("bsize=1024", Some(1006)), Ok(1006));
        assert!(matches!(
            fit("bsize=1024", Some(1007)),
            Err(NicError::Mtu { largest: 1006, .. })
        ));
        assert!(matches!(
            fit("bsize=9000", Some(9000)),
            Err(NicError::Mtu { largest: 1500, .. })
        ));
        assert!(fit("bsize=1024", None).unwrap_err().to_string().contains("1518"));
    }
}
