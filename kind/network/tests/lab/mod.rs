//! A node and its neighbours as network namespaces: a router, and one host per address, each on a link of its own as the
//! `ptp` plugin makes them. Everything is gone when the `Lab` is dropped.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use synccluster_kind_network::{command::CommandError, model::Protocol, nft};

/// How long a dial waits: a denied one gets no answer at all.
const PATIENCE: Duration = Duration::from_secs(1);
/// The node's address on each of the links.
const GATEWAY: &str = "10.244.0.1";

pub struct Lab {
    pub router: Namespace,
    hosts: BTreeMap<&'static str, (Namespace, Ipv4Addr)>,
}

impl Lab {
    pub fn new(hosts: impl IntoIterator<Item = (&'static str, Ipv4Addr)>) -> Self {
        let have = |program| Command::new(program).arg("-V").output().is_ok();
        assert!(
            rustix::process::geteuid().is_root() && have("ip") && have("nft"),
            "this test makes network namespaces and loads nftables rules: run it as root, after `apt-get install iproute2 nftables`"
        );
        let router = Namespace::new();
        router.within(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
        let hosts = hosts
            .into_iter()
            .enumerate()
            .map(|(link, (name, address))| (name, (router.link(link, address), address)));
        Self {
            hosts: hosts.collect(),
            router,
        }
    }

    /// Put a script in force on the router, by the code under test.
    pub fn enforce(&self, script: &str) -> Result<(), CommandError> {
        self.router.run(nft::apply(script))
    }

    /// Answer on a port, TCP and UDP, by sending back what comes.
    pub fn serve(&self, host: &str, port: u16) {
        let (listener, datagrams) = self.hosts[host].0.within(|| {
            let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
            (TcpListener::bind(any).unwrap(), UdpSocket::bind(any).unwrap())
        });
        thread::spawn(move || {
            for stream in listener.incoming() {
                thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    std::io::copy(&mut stream.try_clone().unwrap(), &mut stream)
                });
            }
        });
        thread::spawn(move || {
            let mut datagram = [0; 16];
            while let Ok((length, from)) = datagrams.recv_from(&mut datagram) {
                datagrams.send_to(&datagram[..length], from).unwrap();
            }
        });
    }

    /// Does a fresh dial from this host get through? Anything but a connection and silence is a fault of the lab.
    pub fn dial(&self, from: &str, to: Ipv4Addr, protocol: Protocol, port: u16) -> bool {
        self.hosts[from].0.within(|| dial(to, protocol, port))
    }

    pub fn connect(&self, from: &str, to: Ipv4Addr, port: u16) -> Connection {
        let stream = self.hosts[from]
            .0
            .within(|| TcpStream::connect_timeout(&SocketAddrV4::new(to, port).into(), PATIENCE).unwrap());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Connection(stream)
    }

    pub fn address(&self, host: &str) -> Ipv4Addr {
        self.hosts[host].1
    }
}

/// A fresh dial from where this thread is.
pub fn dial(to: Ipv4Addr, protocol: Protocol, port: u16) -> bool {
    let to = SocketAddrV4::new(to, port);
    let answer = match protocol {
        Protocol::Tcp => TcpStream::connect_timeout(&to.into(), PATIENCE).map(drop),
        Protocol::Udp => UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.send_to(b"?", to)?;
            socket.recv(&mut [0; 1]).map(drop)
        }),
        Protocol::Sctp => panic!("the kernels this runs on need not have SCTP"),
    };
    match answer {
        Ok(()) => true,
        Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => false,
        Err(error) => panic!("{to} {protocol}: {error}"),
    }
}

/// An established connection to an echo.
pub struct Connection(TcpStream);

impl Connection {
    /// Does it still carry data, there and back?
    pub fn lives(&mut self) -> bool {
        let mut answer = [0; 4];
        self.0
            .write_all(b"ping")
            .and_then(|()| self.0.read_exact(&mut answer))
            .is_ok()
            && &answer == b"ping"
    }
}

/// A network namespace with a name nobody else has.
pub struct Namespace(String);

impl Namespace {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "synccluster-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        ip(&format!("netns add {name}"));
        ip(&format!("-n {name} link set lo up"));
        Self(name)
    }

    /// A new host on a link of its own.
    fn link(&self, number: usize, address: Ipv4Addr) -> Self {
        let (Self(router), host) = (self, Self::new());
        let Self(name) = &host;
        ip(&format!(
            "link add pod{number} netns {router} type veth peer name eth0 netns {name}"
        ));
        ip(&format!("-n {router} addr add {GATEWAY}/32 dev pod{number}"));
        ip(&format!("-n {router} link set pod{number} up"));
        ip(&format!("-n {router} route add {address}/32 dev pod{number}"));
        ip(&format!("-n {name} addr add {address}/32 dev eth0"));
        ip(&format!("-n {name} link set eth0 up"));
        ip(&format!("-n {name} route add {GATEWAY} dev eth0"));
        ip(&format!("-n {name} route add default via {GATEWAY}"));
        host
    }

    /// Run on a thread that lives in this namespace; sockets and programs it opens belong there.
    pub fn within<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let namespace = File::open(format!("/run/netns/{}", self.0)).unwrap();
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                run()
            });
            inside.join().unwrap()
        })
    }

    /// The same for what is async.
    pub fn run<T: Send>(&self, future: impl Future<Output = T> + Send) -> T {
        self.within(|| {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(future)
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&format!("netns del {}", self.0));
    }
}

/// Run `ip`; what it printed.
pub fn ip(args: &str) -> String {
    let output = Command::new("ip").args(args.split(' ')).output().unwrap();
    assert!(
        output.status.success() || thread::panicking(),
        "ip {args}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
