//! From an error of the database to what the node does about it.

use hydra_api::{StoreError, StoreErrorKind};
use hydra_remote::Cause;
use sqlx::postgres::PgDatabaseError;
use std::io;

/// The classes by which errors are counted: those of SQLSTATE (PostgreSQL documentation, appendix A) that a store may meet, and
/// what is no error of the server.
pub(crate) const CLASSES: [&str; 18] = [
    "08", "22", "23", "25", "28", "40", "42", "53", "54", "55", "57", "58", "XX", "timeout", "io", "tls",
    "protocol", "other",
];

/// The kind of a failed statement, by its SQLSTATE (PostgreSQL documentation, appendix A).
pub(crate) fn kind(error: &sqlx::Error) -> StoreErrorKind {
    match error {
        sqlx::Error::Database(database) => database
            .try_downcast_ref::<PgDatabaseError>()
            .map_or(StoreErrorKind::Unavailable, |database| by_state(database.code())),
        _ => StoreErrorKind::Unavailable,
    }
}

fn by_state(state: &str) -> StoreErrorKind {
    match (state, state.get(..2).unwrap_or_default()) {
        // Damaged data and damaged indexes.
        ("XX001" | "XX002", _) => StoreErrorKind::Corrupt,
        // A statement that was cancelled at its time limit, a lock that was not free, a deadlock, a conflict; no memory, no
        // connection slot.
        ("57014" | "55P03" | "53200" | "53300" | "53400", _) | (_, "40") => StoreErrorKind::Overloaded,
        // The data itself: a value that no column takes, a constraint.
        (_, "22" | "23") => StoreErrorKind::Refused,
        // Connections, logins, a shutdown, a full disk, a read-only server, missing tables and rights.
        _ => StoreErrorKind::Unavailable,
    }
}

/// The class by which an error is counted.
pub(crate) fn class(error: &sqlx::Error) -> &'static str {
    match error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            let class = code.get(..2).unwrap_or_default();
            CLASSES.into_iter().find(|known| *known == class).unwrap_or("other")
        }
        sqlx::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => "timeout",
        sqlx::Error::Io(_) => "io",
        sqlx::Error::Tls(_) => "tls",
        sqlx::Error::Protocol(_) => "protocol",
        _ => "other",
    }
}

/// The code of an error of the server.
pub(crate) fn state(error: &sqlx::Error) -> Option<String> {
    match error {
        sqlx::Error::Database(database) => database.code().map(Into::into),
        _ => None,
    }
}

/// Why a connection ends with this error.
pub(crate) fn cause(error: &sqlx::Error) -> Cause {
    match error {
        sqlx::Error::Database(_) if is_read_only(error) => Cause::ReadOnly,
        sqlx::Error::Database(_) => Cause::Ended,
        sqlx::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => Cause::Timeout,
        _ => Cause::Lost,
    }
}

/// The error of a call.
pub(crate) fn failed(operation: &'static str, error: sqlx::Error) -> StoreError {
    StoreError::because(kind(&error), operation, error)
}

/// True if the connection is lost or of no more use: it is replaced.
pub(crate) fn ends_connection(error: &sqlx::Error) -> bool {
    match error {
        // The server ends the connection after an error of class 57P or 58, or reports that it cannot go on.
        sqlx::Error::Database(database) => database.code().is_some_and(|code| {
            code.starts_with("57P")
                || code.starts_with("08")
                || code.starts_with("58")
                || code.starts_with("XX")
        }),
        _ => true,
    }
}

/// True if the server takes no writes.
pub(crate) fn is_read_only(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(database) if database.code().as_deref() == Some("25006"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_no_server_have_a_class_of_their_own() {
        let io = |kind: io::ErrorKind| sqlx::Error::Io(kind.into());
        for (error, expected) in [
            (io(io::ErrorKind::TimedOut), ("timeout", Cause::Timeout)),
            (io(io::ErrorKind::ConnectionReset), ("io", Cause::Lost)),
            (sqlx::Error::Protocol("what is this".to_owned()), ("protocol", Cause::Lost)),
            (sqlx::Error::RowNotFound, ("other", Cause::Lost)),
        ] {
            assert_eq!((class(&error), cause(&error)), expected, "{error}");
            assert!(CLASSES.contains(&expected.0));
        }
    }

    #[test]
    fn states_tell_what_to_do() {
        for (state, kind) in [
            ("XX001", StoreErrorKind::Corrupt),
            ("57014", StoreErrorKind::Overloaded),
            ("40P01", StoreErrorKind::Overloaded),
            ("53300", StoreErrorKind::Overloaded),
            ("53100", StoreErrorKind::Unavailable),
            ("25006", StoreErrorKind::Unavailable),
            ("57P01", StoreErrorKind::Unavailable),
            ("28P01", StoreErrorKind::Unavailable),
            ("22003", StoreErrorKind::Refused),
            ("", StoreErrorKind::Unavailable),
        ] {
            assert_eq!(by_state(state), kind, "{state}");
        }
    }
}
