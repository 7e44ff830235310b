//! From an error of the database to what the node does about it.

use hydra_api::{StoreError, StoreErrorKind};
use hydra_remote::Cause;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use std::{fmt, io};

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
        // A statement that was cancelled at its time limit, a transaction that was ended at its own (`transaction_timeout`, since
        // PostgreSQL 17), a lock that was not free, a deadlock, a conflict; no memory, no connection slot.
        ("57014" | "25P04" | "55P03" | "53200" | "53300" | "53400", _) | (_, "40") => {
            StoreErrorKind::Overloaded
        }
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
    StoreError::because(kind(&error), operation, Reported(error))
}

/// An error as the log shows it: of what the server reports its message and code, which its documentation lists, and not the line
/// of its source.
#[derive(Debug)]
pub(crate) struct Reported(pub(crate) sqlx::Error);

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            sqlx::Error::Database(database) => {
                write!(f, "{}", database.message())?;
                match database.code().as_deref() {
                    // Its name is that of another session.
                    Some(code @ ("26000" | "42P05")) => {
                        write!(
                            f,
                            " (SQLSTATE {code}); behind a pooler in transaction mode set prepared = \"off\""
                        )
                    }
                    Some(code) => write!(f, " (SQLSTATE {code})"),
                    None => Ok(()),
                }
            }
            error => error.fmt(f),
        }
    }
}

impl std::error::Error for Reported {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            sqlx::Error::Database(_) => None,
            error => error.source(),
        }
    }
}

/// True if the connection is lost or of no more use: it is replaced.
pub(crate) fn ends_connection(error: &sqlx::Error) -> bool {
    match error {
        // The server itself says that it ends the connection. With which state differs by version and limit: 57P… at a shutdown,
        // 25P03 and 25P04 for transactions that took too long.
        sqlx::Error::Database(database) => {
            database.try_downcast_ref::<PgDatabaseError>().is_none_or(|error| {
                matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic)
                    || leaves_no_use(error.code())
            })
        }
        _ => true,
    }
}

/// True after an error with a session of no more use, however severe it is called: of a pooler that lost its server, or of a server that
/// stops. A session outlives errors of the system (58) and of the server's own making (XX), such as a damaged page.
fn leaves_no_use(state: &str) -> bool {
    ["57P", "08"].iter().any(|class| state.starts_with(class))
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
            ("25P04", StoreErrorKind::Overloaded),
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
