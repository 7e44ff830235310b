use super::*;
use std::fs::File;
use std::io::Read as _;

/// What is logged of a call that exceeds its time limit.
fn logged(what: Call) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    let log: Arc<File> = Arc::new(file.reopen().unwrap());
    let subscriber = tracing_subscriber::fmt().without_time().with_ansi(false).with_writer(log).finish();
    let pulse = Pulse::new();
    tracing::subscriber::with_default(subscriber, || {
        pulse.during(what, || {
            thread::sleep(Duration::from_millis(20));
            pulse.look(Duration::from_millis(10));
            assert!(pulse.is_stuck());
            pulse.look(Duration::from_millis(10));
        });
        assert!(!pulse.is_stuck());
    });
    let mut text = String::new();
    file.reopen().unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_log_says_once_what_has_not_returned_and_when_it_has() {
    for (what, words) in [
        (Call::Write, "a write to the store"),
        (Call::Reopening, "reopening the store after an outage"),
        (Call::Close, "closing the store"),
    ] {
        let text = logged(what);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].contains(&format!("{words} has not returned")), "{text}");
        assert!(lines[1].contains(&format!("{words} has returned")), "{text}");
    }
}
