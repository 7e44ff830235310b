//! The connections to a server that wait for it, as the kernel says.

const ESTABLISHED: &str = "01";

/// The connections to this port of IPv4 with bytes that the server has not read. A server that is stopped reads none, so that these
/// are the statements, and the logins, that wait for it.
pub(crate) fn unread(port: u16) -> f64 {
    unread_of(&std::fs::read_to_string("/proc/net/tcp").unwrap_or_default(), port)
}

fn unread_of(table: &str, port: u16) -> f64 {
    let waits = |line: &&str| {
        // Number, local address, remote address, state, queues.
        let mut fields = line.split_whitespace().skip(1);
        let (local, _, state, queues) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let of_server = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()? == port;
        let unread = u32::from_str_radix(queues.split_once(':')?.1, 16).ok()?;
        (of_server && state == ESTABLISHED && unread > 0).then_some(())
    };
    table.lines().filter(|line| waits(line).is_some()).count() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_server_has_not_read_is_counted() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1538 00000000:0000 0A 00000000:00000003 00:00000000 00000000   105        0 1 1
   1: 0100007F:1538 0100007F:D431 01 00000000:00000040 00:00000000 00000000   105        0 2 1
   2: 0100007F:1538 0100007F:D432 01 00000000:00000000 00:00000000 00000000   105        0 3 1
   3: 0100007F:D431 0100007F:1538 01 00000000:00000011 00:00000000 00000000     0        0 4 1
";
        assert_eq!(unread_of(table, 0x1538), 1.0);
        assert_eq!(unread_of("", 0x1538), 0.0);
    }
}
