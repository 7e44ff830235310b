//! A range of IP addresses.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of IP addresses in CIDR notation: `10.0.0.0/8`, `fd00::/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    first: IpAddr,
    prefix_len: u8,
}

impl Cidr {
    /// True if the address is in the range. An IPv4 address that is written as IPv6 (`::ffff:10.0.0.1`) is in the ranges of
    /// both.
    pub fn contains(self, ip: IpAddr) -> bool {
        [ip, ip.to_canonical()]
            .into_iter()
            .any(|ip| ip.is_ipv4() == self.first.is_ipv4() && masked(ip, self.prefix_len) == self.first)
    }

    /// True if every address of the same IP version is in the range.
    pub fn contains_all_like(self, ip: IpAddr) -> bool {
        self.prefix_len == 0 && ip.is_ipv4() == self.first.is_ipv4()
    }
}

/// The first address of the range of this length that the address is in.
fn masked(ip: IpAddr, prefix_len: u8) -> IpAddr {
    let prefix_len = u32::from(prefix_len);
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(u32::BITS.saturating_sub(prefix_len)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(ip) & mask))
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(u128::BITS.saturating_sub(prefix_len)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(ip) & mask))
        }
    }
}

impl FromStr for Cidr {
    type Err = CidrError;
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let malformed = || CidrError::Malformed { text: text.to_owned() };
        let (ip, prefix_len) = text.split_once('/').ok_or_else(malformed)?;
        let ip: IpAddr = ip.parse().map_err(|_| malformed())?;
        if prefix_len.is_empty() || !prefix_len.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(malformed());
        }
        let prefix_len_max = if ip.is_ipv4() { 32 } else { 128 };
        let prefix_len = prefix_len.parse().ok().filter(|len| *len <= prefix_len_max);
        let prefix_len =
            prefix_len.ok_or_else(|| CidrError::TooLong { text: text.to_owned(), max: prefix_len_max })?;
        let range = Self { first: masked(ip, prefix_len), prefix_len };
        if range.first == ip { Ok(range) } else { Err(CidrError::NotFirst { text: text.to_owned(), range }) }
    }
}

impl TryFrom<String> for Cidr {
    type Error = CidrError;
    fn try_from(text: String) -> Result<Self, CidrError> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(range: Cidr) -> Self {
        range.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix_len)
    }
}

impl JsonSchema for Cidr {
    fn schema_name() -> Cow<'static, str> {
        "Cidr".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A range of IP addresses in CIDR notation.",
            "x-hydra-form": "a range of IP addresses in CIDR notation",
            "examples": ["10.0.0.0/8"]
        })
    }
}

/// Why a text is not a [`Cidr`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CidrError {
    /// It is not an IP address, a slash and a number.
    #[error("`{text}` is not a range of IP addresses")]
    Malformed {
        /// The text.
        text: String,
    },
    /// Addresses have fewer bits than the prefix.
    #[error("the prefix of `{text}` is longer than {max} bits")]
    TooLong {
        /// The text.
        text: String,
        /// The number of bits of an address.
        max: u8,
    },
    /// The address is not the first of the range.
    #[error("`{text}` does not begin with the first address of its range, which is `{range}`")]
    NotFirst {
        /// The text.
        text: String,
        /// The range that the address is in.
        range: Cidr,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(range: &str, ip: &str) -> bool {
        range.parse::<Cidr>().unwrap().contains(ip.parse().unwrap())
    }

    #[test]
    fn a_range_contains_its_first_and_last_address_and_no_other() {
        for (range, first, last, before, after) in [
            ("10.0.0.0/8", "10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"),
            ("172.16.0.0/12", "172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"),
            ("192.0.2.7/32", "192.0.2.7", "192.0.2.7", "192.0.2.6", "192.0.2.8"),
            ("fc00::/7", "fc00::", "fdff:ffff::1", "fbff::", "fe00::"),
            ("2001:db8::1/128", "2001:db8::1", "2001:db8::1", "2001:db8::", "2001:db8::2"),
        ] {
            assert!(contains(range, first) && contains(range, last), "{range}");
            assert!(!contains(range, before) && !contains(range, after), "{range}");
            assert_eq!(range.parse::<Cidr>().unwrap().to_string(), range);
        }
        assert!(contains("0.0.0.0/0", "203.0.113.9") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("::/0", "2001:db8::1") && !contains("::/0", "10.0.0.1"));
        assert!(contains("10.0.0.0/8", "::ffff:10.0.0.1") && contains("::ffff:0:0/96", "::ffff:10.0.0.1"));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "/", "10.0.0.0", "10.0.0.0/", "/8", "10.0.0.0/+8", "10.0/8", "10.0.0.0/8/8", "a/8"] {
            let refused = text.parse::<Cidr>();
            assert!(matches!(refused, Err(CidrError::Malformed { .. })), "{text}: {refused:?}");
        }
        for text in ["10.0.0.0/33", "::/129", "::/1000"] {
            let refused = text.parse::<Cidr>();
            assert!(matches!(refused, Err(CidrError::TooLong { .. })), "{text}: {refused:?}");
        }
        let message = "10.1.2.3/8".parse::<Cidr>().unwrap_err().to_string();
        assert!(message.contains("`10.1.2.3/8`") && message.contains("`10.0.0.0/8`"), "{message}");
    }
}
