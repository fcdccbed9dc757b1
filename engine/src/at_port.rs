//! What belongs to one of several ports, as people write it: `10.99.0.2/24%v0`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use fourtuple_nic::MacAddr;
use ipnet::IpNet;
use serde::Deserialize;

/// A value and the port that it belongs to. With one port there is no need to name it.
///
/// ```
/// use fourtuple::AtPort;
/// let at: AtPort<ipnet::IpNet> = "10.99.0.2/24%v0".parse()?;
/// assert_eq!((at.value.to_string().as_str(), at.port.as_deref()), ("10.99.0.2/24", Some("v0")));
/// let at: AtPort<fourtuple::MacAddr> = "02:00:00:00:00:01".parse()?;
/// assert_eq!(at.port, None);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String", bound = "Self: FromStr<Err = String>")]
#[non_exhaustive]
pub struct AtPort<T> {
    /// What belongs to it.
    pub value: T,
    /// The port's short name ([`PortName::short_name`](crate::PortName::short_name)), behind a `%`; `None` where there is but
    /// one.
    pub port: Option<String>,
}

impl<T> AtPort<T> {
    /// What belongs to the port of this short name.
    ///
    /// ```
    /// let at = fourtuple::AtPort::on("v0", fourtuple::MacAddr([2, 0, 0, 0, 0, 1]));
    /// assert_eq!(at.to_string(), "02:00:00:00:00:01%v0");
    /// ```
    pub fn on(port: impl Into<String>, value: T) -> Self {
        Self {
            value,
            port: Some(port.into()),
        }
    }
}

impl AtPort<IpNet> {
    /// The address without its prefix length.
    pub fn addr(&self) -> IpAddr {
        self.value.addr()
    }
}

impl<T> From<T> for AtPort<T> {
    fn from(value: T) -> Self {
        Self { value, port: None }
    }
}

impl<T: fmt::Display> fmt::Display for AtPort<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)?;
        match &self.port {
            Some(port) => write!(f, "%{port}"),
            None => Ok(()),
        }
    }
}

impl FromStr for AtPort<IpNet> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        split(text, |net| {
            net.parse().map_err(|_| {
                format!("`{net}` is not an address with its prefix length: write 10.99.0.2/24 or fd99::2/64")
            })
        })
    }
}

impl FromStr for AtPort<MacAddr> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        split(text, str::parse)
    }
}

impl<T> TryFrom<String> for AtPort<T>
where
    Self: FromStr<Err = String>,
{
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// The value before the `%` and the name behind it.
fn split<T>(text: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<AtPort<T>, String> {
    let (value, port) = match text.split_once('%') {
        Some((_, "")) => {
            return Err(format!(
                "`{text}` ends in %: name a port behind it, as in 10.99.0.2/24%v0"
            ));
        }
        Some((value, port)) => (value, Some(port.to_owned())),
        None => (text, None),
    };
    Ok(AtPort {
        value: parse(value)?,
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["10.0.0.2/24", "10.0.0.2/24%v0", "fd99::2/64%0000:65:00.0"] {
            let at: AtPort<IpNet> = text.parse().unwrap();
            assert_eq!(at.to_string(), text);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (wrong, named) in [
            ("10.0.0.2", "10.0.0.2"),
            ("10.0.0.2%v0/24", "prefix length"),
            ("10.0.0.2/24%", "name a port"),
        ] {
            let error = wrong.parse::<AtPort<IpNet>>().expect_err(wrong);
            assert!(error.contains(named), "{error}");
        }
        assert!("1:2%v0".parse::<AtPort<MacAddr>>().is_err());
    }
}
