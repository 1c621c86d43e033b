//! Clients that connect and say nothing: `silent ADDRESS NUMBER`. It goes when its standard input ends. A process of its own, because a test
//! with both ends of ten thousand connections has more files than a process may have.

use std::{
    env,
    io::{Read, Write, stdin},
    net::TcpStream,
};

use anyhow::{Context, Result};
use synccluster_gateway::serve::allow_many_connections;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    let address = args.next().context("the address is missing")?;
    let number: usize = args.next().context("the number is missing")?.parse()?;
    allow_many_connections();
    let connect = |number: usize| {
        let mut stream = TcpStream::connect(&address)?;
        // Every fourth one begins and does not go on.
        if number.is_multiple_of(4) {
            stream.write_all(b"GET /api/v1/me HTTP/1.1\r\nHost: local")?;
        }
        Ok(stream)
    };
    let connected: Vec<TcpStream> = (0..number).map(connect).collect::<Result<_>>()?;
    stdin().read_to_end(&mut Vec::new())?;
    drop(connected);
    Ok(())
}
