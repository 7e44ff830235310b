use super::*;
use hydra_conformance::given::NOW;

/// Rows that a store has.
type Stored = BTreeMap<Vec<u8>, Vec<u8>>;

/// No row is damaged, and no read fails.
#[derive(Debug)]
struct Never;

impl From<DamagedRow> for Never {
    fn from(row: DamagedRow) -> Self {
        panic!("{row}")
    }
}

fn key(number: u8) -> ValueKey {
    ValueKey::new(&[b'/', number]).unwrap()
}

fn put(number: u8, seen: Option<&'static str>, value: &'static str) -> ValuePut {
    let record = ValueRecord { value: value.into(), received: NOW, expires: UnixSeconds(NOW.0 + 100) };
    ValuePut { key: key(number), seen: seen.map(Into::into), record }
}

fn write(stored: &mut Stored, counts: &mut ValueCounts, change: &ValueChange) {
    for (row_key, row) in change.rows() {
        match row {
            Some(row) => drop(stored.insert(row_key.to_vec(), row)),
            None => drop(stored.remove(row_key)),
        }
    }
    *counts = change.counts().unwrap_or(*counts);
}

fn purge(stored: &mut Stored, counts: &mut ValueCounts, done: &mut Vec<u8>, limit: u64) -> Purged {
    let mut change = ValueChange::new(*counts);
    let rows = stored.range(value_rows(done)).map(|(key, row)| Ok::<_, Never>((key, row)));
    let purged = change.purge(done, rows, UnixSeconds(NOW.0 + 100), limit).unwrap();
    write(stored, counts, &change);
    purged
}

#[test]
fn a_row_comes_back_byte_for_byte_and_what_is_none_is_damaged() {
    let record = put(1, None, "a value").record;
    let row = encode_value(&record);
    assert_eq!(decode_value(&row), Ok(record));
    for damaged in [&row[..7], &row[..8], &[0; 9 + ValueRecord::LEN_MAX][..]] {
        assert_eq!(decode_value(damaged), Err(DamagedRow("value records")));
    }
}

#[test]
fn puts_of_a_batch_see_those_before_them_and_are_counted_once() {
    let (stored, mut change) = (Stored::new(), ValueChange::new(ValueCounts::default()));
    let mut outcome =
        |put: ValuePut| change.put(&put, NOW, 2, |row| Ok::<_, Never>(stored.get(row).cloned())).unwrap();
    assert_eq!(outcome(put(1, None, "one")), PutOutcome::Stored);
    assert_eq!(outcome(put(1, None, "two")), PutOutcome::Changed);
    assert_eq!(outcome(put(1, Some("one"), "three")), PutOutcome::Stored);
    assert_eq!(outcome(put(2, None, "four")), PutOutcome::Stored);
    assert_eq!(outcome(put(3, None, "five")), PutOutcome::NoRoom);
    assert!(matches!(outcome(put(1, Some("three"), "")), PutOutcome::Refused(_)));
    let bytes = ("three".len() + "four".len() + 2 * 2) as u64;
    assert_eq!(change.counts(), Some(ValueCounts { records: 2, bytes }));
}

#[test]
fn a_purge_goes_on_where_its_last_step_stopped_and_leaves_the_counts_right() {
    let (mut stored, mut counts, mut done) = (Stored::new(), ValueCounts::default(), Vec::new());
    // Rows of other kinds lie on both sides.
    stored.insert(VALUE_COUNTS.to_vec(), vec![]);
    stored.insert(vec![VALUES + 1], vec![]);
    let mut change = ValueChange::new(counts);
    for number in 0..10 {
        let mut put = put(number, None, "value");
        put.record.expires = UnixSeconds(NOW.0 + if number % 2 == 0 { 100 } else { 101 });
        change.put(&put, NOW, 100, |_| Ok::<Option<Vec<u8>>, Never>(None)).unwrap();
    }
    write(&mut stored, &mut counts, &change);
    assert_eq!(counts, ValueCounts { records: 10, bytes: 70 });
    assert_eq!(purge(&mut stored, &mut counts, &mut done, 3), Purged::new(3, PurgeProgress::More));
    assert_eq!(purge(&mut stored, &mut counts, &mut done, 3), Purged::new(2, PurgeProgress::Done));
    assert_eq!((counts, done.len(), stored.len()), (ValueCounts { records: 5, bytes: 35 }, 0, 7));
}

#[test]
fn what_is_stored_again_counts_once() {
    let (mut stored, mut counts) = (Stored::new(), ValueCounts::default());
    for value in ["one", "other"] {
        let mut change = ValueChange::new(counts);
        let record = put(1, None, value).record;
        change.restore(&key(1), &record, |row| Ok::<_, Never>(stored.get(row).cloned())).unwrap();
        write(&mut stored, &mut counts, &change);
    }
    assert_eq!(counts, ValueCounts { records: 1, bytes: 7 });
    let mut change = ValueChange::new(counts);
    for is_there in [true, false] {
        let removed = change.remove(&key(1), |row| Ok::<_, Never>(stored.get(row).cloned()));
        assert_eq!(removed.unwrap(), is_there);
    }
    assert_eq!(change.counts(), Some(ValueCounts::default()));
}

#[test]
fn counts_come_back_and_may_be_missing_only_without_records() {
    let counts = ValueCounts { records: 7, bytes: 1 << 40 };
    let row = counts.encode();
    let read = |row: Option<&[u8]>| ValueCounts::decode(row, || false);
    assert_eq!(read(Some(&row)).unwrap(), counts);
    assert!(read(Some(&row[..16])).unwrap_err().is_damage() && read(None).unwrap_err().is_damage());
    assert!(matches!(read(Some(&[2])).unwrap_err(), Fault::Layout { found: 2, known: 1 }));
    assert_eq!(ValueCounts::decode(None, || true).unwrap(), ValueCounts::default());
}
