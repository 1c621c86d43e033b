//! What the kernel knows of this pod's TCP connections: /proc/net/tcp and /proc/net/tcp6
//! (proc(5), and Documentation/networking/proc_net_tcp.rst of Linux for the columns).

use std::{fs, io};

/// `TCP_ESTABLISHED` in the kernel's table.
const ESTABLISHED: &str = "01";

/// Established connections of this network namespace to these ports at any address; `None` where the kernel does not tell.
pub fn established_to(ports: &[u16]) -> Option<u32> {
    count(["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string), ports)
}

/// A kernel without IPv6 has one table only; one that is there and cannot be read may have connections in it.
fn count(tables: [io::Result<String>; 2], ports: &[u16]) -> Option<u32> {
    let mut found: Option<u32> = None;
    for table in tables {
        match table {
            Ok(table) => found = Some(found.unwrap_or_default() + count_established(&table, ports)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return None,
        }
    }
    found
}

fn count_established(table: &str, ports: &[u16]) -> u32 {
    let wanted: Vec<String> = ports.iter().map(|port| format!(":{port:04X}")).collect();
    let matching = table.lines().skip(1).filter(|line| {
        let mut columns = line.split_ascii_whitespace().skip(2);
        let (remote, state) = (columns.next(), columns.next());
        state == Some(ESTABLISHED) && remote.is_some_and(|remote| wanted.iter().any(|wanted| remote.ends_with(wanted)))
    });
    u32::try_from(matching.count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 65532        0 1 1 0 100 0 0 10 0
   1: 0200F40A:9C40 0A00600A:2384 01 00000000:00000000 02:00000A3C 00000000 65532        0 2 2 0 20 4 30 10 -1
   2: 0200F40A:9C42 0A00600A:2384 06 00000000:00000000 03:00000A3C 00000000     0        0 0 3 0
   3: 0200F40A:9C44 0A00600A:1538 01 00000000:00000000 02:00000A3C 00000000 65532        0 3 2 0 20 4 30 10 -1\n";

    #[test]
    fn only_established_connections_to_the_port_count() {
        assert_eq!(count_established(TABLE, &[9092]), 1);
        assert_eq!(count_established(TABLE, &[9092, 5432]), 2);
        assert_eq!(count_established(TABLE, &[8080]), 0);
    }

    #[test]
    fn a_table_that_cannot_be_read_is_not_an_empty_one() {
        let failed = |kind: io::ErrorKind| Err(io::Error::from(kind));
        let table = || Ok(TABLE.to_owned());
        assert_eq!(count([table(), failed(io::ErrorKind::NotFound)], &[9092]), Some(1));
        assert_eq!(count([table(), table()], &[9092]), Some(2));
        assert_eq!(count([failed(io::ErrorKind::PermissionDenied), table()], &[9092]), None);
        assert_eq!(
            count(
                [failed(io::ErrorKind::NotFound), failed(io::ErrorKind::NotFound)],
                &[9092]
            ),
            None
        );
    }

    #[test]
    fn a_real_connection_is_seen_while_it_lives() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(established_to(&[port]), Some(0));
        let connection = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert_eq!(established_to(&[port]), Some(1));
        drop(connection);
    }
}
