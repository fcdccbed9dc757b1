//! Socket addresses as octets: `sockaddr_in` and `sockaddr_in6`, and IPv4 addresses in IPv6 sockets (RFC 4291 §2.5.5.2).
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::stack::Answer;

/// The address of a `sockaddr`; an IPv4 address in IPv6's form comes out as IPv4.
pub(crate) fn decode(octets: &[u8]) -> Answer<SocketAddr> {
    let (Some(family), Some(port)) = (octets.first_chunk::<2>(), octets.get(2..4)) else {
        return Err(libc::EINVAL);
    };
    let port = u16::from_be_bytes([port[0], port[1]]);
    match i32::from(u16::from_ne_bytes(*family)) {
        libc::AF_INET => {
            let ip: [u8; 4] = part(octets, 4)?;
            Ok(SocketAddr::new(Ipv4Addr::from(ip).into(), port))
        }
        libc::AF_INET6 => {
            let ip: [u8; 16] = part(octets, 8)?;
            Ok(SocketAddr::new(Ipv6Addr::from(ip).to_canonical(), port))
        }
        _ => Err(libc::EAFNOSUPPORT),
    }
}

/// A `sockaddr` of this address, for a socket of this family.
pub(crate) fn encode(address: SocketAddr, v6_socket: bool) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    let mut octets;
    match (address.ip(), v6_socket) {
        (IpAddr::V4(ip), false) => {
            octets = (libc::AF_INET as u16).to_ne_bytes().to_vec();
            octets.extend(port);
            octets.extend(ip.octets());
            octets.extend([0; 8]);
        }
        (ip, _) => {
            let ip = match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            };
            octets = (libc::AF_INET6 as u16).to_ne_bytes().to_vec();
            octets.extend(port);
            octets.extend([0; 4]);
            octets.extend(ip.octets());
            octets.extend([0; 4]);
        }
    }
    octets
}

fn part<const N: usize>(octets: &[u8], at: usize) -> Answer<[u8; N]> {
    octets
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .ok_or(libc::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        for (address, v6_socket, len) in [
            ("192.0.2.1:80", false, 16),
            ("192.0.2.1:80", true, 28),
            ("[2001:db8::1]:8080", true, 28),
        ] {
            let address: SocketAddr = address.parse().unwrap();
            let octets = encode(address, v6_socket);
            assert_eq!(octets.len(), len);
            assert_eq!(decode(&octets), Ok(address));
            assert_eq!(decode(&octets[..octets.len().min(7)]), Err(libc::EINVAL));
        }
        assert_eq!(decode(&[0; 16]), Err(libc::EAFNOSUPPORT));
    }
}
