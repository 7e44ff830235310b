//! The lists of fjall's table files, compared with their checksums before fjall reads them: it does not compare them, and one damaged byte
//! can ask it for more memory than there is, which ends the process.

use crate::fault::Fault;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use xxhash_rust::xxh3::xxh3_128;

/// Where fjall keeps the tables of each of its keyspaces.
const KEYSPACES: &str = "keyspaces";
/// The file that names the list in use: its number, the checksum of the list, and the kind of the checksum.
const CURRENT: &str = "current";
/// The kind of checksum that is known here.
const XXH3: u8 = 0;

/// A list is not what its checksum says.
#[derive(Debug, thiserror::Error)]
#[error("the list of table files {0} does not have the checksum that was written for it")]
struct Changed(String);

/// Compares the list of each keyspace. What is missing, or of another form, is left to fjall.
pub(crate) fn check(dir: &Path) -> Result<(), Fault> {
    let Some(keyspaces) = found(fs::read_dir(dir.join(KEYSPACES)))? else { return Ok(()) };
    for keyspace in keyspaces {
        let keyspace = keyspace.map_err(hydra_embedded::Fault::Io)?.path();
        let Some(current) = found(fs::read(keyspace.join(CURRENT)))? else { continue };
        let Some((number, checksum)) = decode(&current) else { continue };
        let name = format!("v{number}");
        let Some(list) = found(fs::read(keyspace.join(&name)))? else { continue };
        if xxh3_128(&list) != checksum {
            return Err(hydra_embedded::Fault::damage(Changed(name)).into());
        }
    }
    Ok(())
}

/// What is there, if it is.
fn found<T>(result: io::Result<T>) -> Result<Option<T>, Fault> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(cause) => Err(hydra_embedded::Fault::Io(cause).into()),
    }
}

fn decode(current: &[u8]) -> Option<(u64, u128)> {
    let (number, rest) = current.split_first_chunk()?;
    let (checksum, rest) = rest.split_first_chunk()?;
    (rest == [XXH3]).then(|| (u64::from_le_bytes(*number), u128::from_le_bytes(*checksum)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_has_changed_is_damage_and_what_is_missing_is_left_to_fjall() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check(dir.path()).is_ok(), "nothing is there");
        let keyspace = dir.path().join(KEYSPACES).join("1");
        fs::create_dir_all(&keyspace).unwrap();
        fs::write(keyspace.join("v3"), "a list").unwrap();
        assert!(check(dir.path()).is_ok(), "no list is in use");
        let current = [&3u64.to_le_bytes()[..], &xxh3_128(b"a list").to_le_bytes(), &[XXH3]].concat();
        fs::write(keyspace.join(CURRENT), current).unwrap();
        assert!(check(dir.path()).is_ok());
        fs::write(keyspace.join("v3"), "a lisT").unwrap();
        let cause = check(dir.path()).unwrap_err();
        assert!(cause.0.is_damage(), "{cause}");
    }
}
