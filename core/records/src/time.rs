//! A moment with nanoseconds, and how RFC 3339 writes it.

use std::time::{SystemTime, UNIX_EPOCH};

/// A moment in nanoseconds since 1970-01-01 UTC, any of the years that RFC 3339 can write (0000 to 9999).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    seconds: i64,
    nanoseconds: u32,
}

impl Timestamp {
    /// The start of this second after 1970-01-01 UTC.
    pub fn from_unix_seconds(seconds: i64) -> Self {
        Self { seconds, nanoseconds: 0 }
    }

    /// Whole seconds since 1970-01-01 UTC, negative before.
    pub fn unix_seconds(&self) -> i64 {
        self.seconds
    }

    /// Nanoseconds after that second, below 1,000,000,000.
    pub fn subsec_nanoseconds(&self) -> u32 {
        self.nanoseconds
    }

    /// Parses an RFC 3339 time: capital `T` and `Z`, any number of digits after the point, of which nine count. Offsets up to
    /// ±24:60 are taken as Go's `time.Parse` takes them; a second of 60 is refused, as there.
    pub fn parse_rfc3339(text: &[u8]) -> Option<Self> {
        let (date, rest) = text.split_first_chunk::<19>()?;
        let [y3, y2, y1, y0, b'-', mo1, mo0, b'-', d1, d0, b'T', h1, h0, b':', mi1, mi0, b':', s1, s0] = date
        else {
            return None;
        };
        let (year, month) = (digits(&[*y3, *y2, *y1, *y0])?, digits(&[*mo1, *mo0])?);
        let (day, hour) = (digits(&[*d1, *d0])?, digits(&[*h1, *h0])?);
        let (minute, second) = (digits(&[*mi1, *mi0])?, digits(&[*s1, *s0])?);
        let date_ok = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
        if !date_ok || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let (nanoseconds, zone) = fraction(rest)?;
        let local = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
        Some(Self { seconds: local - offset(zone)?, nanoseconds })
    }
}

/// Times before 1970 are rounded down to the whole second.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let seconds = |passed: std::time::Duration| i64::try_from(passed.as_secs()).unwrap_or(i64::MAX);
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Self { seconds: seconds(since), nanoseconds: since.subsec_nanos() },
            Err(before) => {
                let before = before.duration();
                let rounded = i64::from(before.subsec_nanos() > 0);
                Self::from_unix_seconds((-seconds(before)).saturating_sub(rounded))
            }
        }
    }
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

/// Nanoseconds, and what follows them.
fn fraction(rest: &[u8]) -> Option<(u32, &[u8])> {
    let [b'.', after @ ..] = rest else { return Some((0, rest)) };
    let len = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (places, zone) = after.split_at(len);
    let nine = (0..9).map(|place| places.get(place).map_or(0, |digit| u32::from(digit - b'0')));
    (len > 0).then(|| (nine.fold(0, |nanoseconds, digit| nanoseconds * 10 + digit), zone))
}

/// Seconds that local time is ahead of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    let (sign, h1, h0, m1, m0) = match zone {
        [b'Z'] => return Some(0),
        [b'+', h1, h0, b':', m1, m0] => (1, h1, h0, m1, m0),
        [b'-', h1, h0, b':', m1, m0] => (-1, h1, h0, m1, m0),
        _ => return None,
    };
    let (hours, minutes) = (digits(&[*h1, *h0])?, digits(&[*m1, *m0])?);
    (hours <= 24 && minutes <= 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the proleptic Gregorian calendar; the year is 0 to 9999.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Leap days before the year; the year 0 is one itself.
    let before = if year == 0 { 0 } else { (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 + 1 };
    let months: i64 = (1..month).map(|month| days_of(year, month)).sum();
    year * 365 + before + months + day - 1 - 719_528
}

#[cfg(test)]
mod tests;
