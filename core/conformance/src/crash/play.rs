//! What a child does.

use super::child::{Part, Role};
use super::{Crash, damage, in_runtime, kill};
use std::io::Write;
use std::process::ExitCode;

/// Plays a part; fails when it ends otherwise than by a kill, or finds fault.
pub(super) fn play(crash: &Crash, part: &Part) -> ExitCode {
    let outcome = in_runtime(async {
        match part.role {
            Role::Insert { first } => kill::insert_for_ever(crash, &part.dir, first).await,
            Role::Serve => damage::serve(crash, &part.dir).await,
            Role::Use => damage::look(crash, &part.dir).await,
        }
    });
    match outcome.and_then(|outcome| outcome) {
        Ok(()) => ExitCode::SUCCESS,
        Err(how) => {
            // The parent may be gone.
            drop(writeln!(std::io::stdout(), "{how}"));
            ExitCode::FAILURE
        }
    }
}
