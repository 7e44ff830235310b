//! Times as the tables hold them.

use hydra_api::UnixSeconds;

/// The moment that is 0 in a column: 2038-01-19, so that all of [`UnixSeconds`] fits into an `int4` and keeps its order.
/// `to_timestamp(expires::int8 + 2147483648)` shows one in SQL.
const ZERO: i64 = 1 << 31;

/// A time as an `int4` column holds it.
pub(crate) fn to_column(time: UnixSeconds) -> i32 {
    // In range: 0 to 2^32 - 1, less 2^31.
    i32::try_from(i64::from(time.0) - ZERO).unwrap_or(i32::MAX)
}

/// The time of a column.
pub(crate) fn of_column(column: i32) -> UnixSeconds {
    UnixSeconds(u32::try_from(i64::from(column) + ZERO).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_comes_back_and_order_is_kept() {
        let times = [0, 1, 1_800_000_000, (1 << 31) - 1, 1 << 31, u32::MAX].map(UnixSeconds);
        let columns = times.map(to_column);
        assert!(columns.is_sorted());
        assert_eq!(columns.map(of_column), times);
    }
}
