//! Finds the pods that should exist: those that the operator named, and the targets of a DNS SRV record.
//!
//! Invariants: the store's leases alone say which pods are alive. What is found here is only compared with that, so a
//! DNS that lies or is away changes nothing but what is shown. The last finding is kept until there is another.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    sync::Arc,
    time::Duration,
};

use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, Question, TYPE, rdata::RData};

use crate::{
    config::PeerService,
    observe::log,
    state::shared::Shared,
    wire::{outbound::blocking, runtime},
};

/// How often DNS is asked.
pub(crate) const LOOKUP_INTERVAL: Duration = Duration::from_secs(5);
/// The time that one server gets.
const ANSWER_MAX: Duration = Duration::from_secs(2);
const SERVERS_MAX: usize = 3;
/// The system's list of DNS servers.
const SYSTEM_SERVERS: &str = "/etc/resolv.conf";
const DNS_PORT: u16 = 53;

// A pod that joins or leaves is seen within 15 s, also when only DNS names it.
const _: () = assert!(LOOKUP_INTERVAL.as_secs() + SERVERS_MAX as u64 * ANSWER_MAX.as_secs() < 15);

/// Asks DNS at an interval for as long as the process lives; returns at once where no service is named.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let Some(service) = shared.config.peer_service.clone() else { return };
    let mut was_found = true;
    loop {
        let wanted = service.clone();
        let found = blocking("peers", move || lookup(&wanted)).await;
        let found = found.unwrap_or_else(|| Err(io::Error::other("no thread could be had for it")));
        match &found {
            Ok(names) => shared.coordinator.expect(names.clone()),
            Err(error) if was_found => {
                log::warn("peers_not_found", &[("service", &service.name), ("reason", &error.to_string())]);
            }
            Err(_) => {}
        }
        was_found = found.is_ok();
        runtime::sleep(LOOKUP_INTERVAL).await;
    }
}

/// The names of the pods behind a service: the first label of each target. Blocks.
///
/// # Errors
/// When no server gives a readable answer. A name that does not exist has no pods.
pub fn lookup(service: &PeerService) -> io::Result<Vec<String>> {
    let servers = match service.server {
        Some(server) => vec![server],
        None => system_servers(&std::fs::read_to_string(SYSTEM_SERVERS)?),
    };
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the system names no DNS server");
    for server in servers {
        match ask(&service.name, server) {
            Ok(names) => return Ok(names),
            Err(error) => failed = io::Error::new(error.kind(), format!("{server}: {error}")),
        }
    }
    Err(failed)
}

fn system_servers(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| line.trim().strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok();
    text.lines()
        .filter_map(server)
        .map(|address| SocketAddr::new(address, DNS_PORT))
        .take(SERVERS_MAX)
        .collect()
}

fn ask(name: &str, server: SocketAddr) -> io::Result<Vec<String>> {
    let id = fresh_id();
    let question = question(name, id)?;
    let local: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 16], 0).into() };
    let socket = UdpSocket::bind(local)?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(ANSWER_MAX))?;
    socket.send(&question)?;
    let mut answer = vec![0; usize::from(u16::MAX)];
    let length = socket.recv(&mut answer)?;
    if let Some(names) = read(&answer[..length], id)? {
        return Ok(names);
    }
    // The answer is longer than a datagram.
    let mut stream = TcpStream::connect_timeout(&server, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    let length = u16::try_from(question.len()).map_err(|_| unreadable())?;
    stream.write_all(&[&length.to_be_bytes()[..], &question].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    answer.truncate(usize::from(u16::from_be_bytes(length)));
    stream.read_exact(&mut answer)?;
    read(&answer, id)?.ok_or_else(unreadable)
}

fn question(name: &str, id: u16) -> io::Result<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).map_err(|_| unreadable())?;
    packet.questions.push(Question::new(name, QTYPE::TYPE(TYPE::SRV), CLASS::IN.into(), false));
    packet.build_bytes_vec().map_err(|_| unreadable())
}

/// The names in an answer; `None` when it was truncated.
fn read(answer: &[u8], id: u16) -> io::Result<Option<Vec<String>>> {
    let packet = Packet::parse(answer).map_err(|_| unreadable())?;
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) {
        return Err(unreadable());
    }
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Ok(None);
    }
    let mut names: Vec<String> = Vec::new();
    for record in &packet.answers {
        if let RData::SRV(service) = &record.rdata
            && let Some(label) = service.target.get_labels().first()
        {
            names.push(label.to_string());
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(Some(names))
}

fn unreadable() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "this is no answer of a DNS server")
}

/// A random id, which differs from the last one's.
fn fresh_id() -> u16 {
    let bytes = uuid::Uuid::new_v4().into_bytes();
    u16::from_be_bytes([bytes[0], bytes[1]])
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use simple_dns::{ResourceRecord, rdata::SRV};
    use std::net::TcpListener;

    use super::*;
    use crate::state::leadership::Coordinator;

    const SERVICE: &str = "_miroir._tcp.pods.example";

    fn reply_to(question: &[u8], pods: &[&str], is_cut: bool) -> Vec<u8> {
        let query = Packet::parse(question).unwrap();
        assert_eq!(query.questions[0].qname.to_string(), SERVICE);
        let mut reply = Packet::new_reply(query.id());
        if is_cut {
            reply.set_flags(PacketFlag::TRUNCATION);
        }
        let targets: Vec<String> = pods.iter().map(|pod| format!("{pod}.pods.example")).collect();
        for target in &targets {
            let target = Name::new(target).unwrap();
            let service = SRV { priority: 0, weight: 1, port: 7700, target };
            let name = Name::new(SERVICE).unwrap();
            reply.answers.push(ResourceRecord::new(name, CLASS::IN, 5, RData::SRV(service)));
        }
        reply.build_bytes_vec_compressed().unwrap()
    }

    /// A server that answers one question, over TCP when the datagram does not hold it.
    fn serve(pods: &'static [&'static str], is_long: bool) -> PeerService {
        let stream = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = stream.local_addr().unwrap();
        let datagrams = UdpSocket::bind(server).unwrap();
        std::thread::spawn(move || {
            let mut question = [0; 512];
            let (length, client) = datagrams.recv_from(&mut question).unwrap();
            let question = &question[..length];
            let first = if is_long { reply_to(question, &[], true) } else { reply_to(question, pods, false) };
            datagrams.send_to(&first, client).unwrap();
            if is_long {
                let (mut stream, _) = stream.accept().unwrap();
                let mut received = vec![0; length + 2];
                stream.read_exact(&mut received).unwrap();
                assert_eq!(&received[2..], question);
                let whole = reply_to(question, pods, false);
                stream.write_all(&u16::try_from(whole.len()).unwrap().to_be_bytes()).unwrap();
                stream.write_all(&whole).unwrap();
            }
        });
        PeerService { name: SERVICE.to_owned(), server: Some(server) }
    }

    #[test]
    fn the_pods_of_a_service_are_found() {
        assert_eq!(
            lookup(&serve(&["miroir-1", "miroir-0", "miroir-1"], false)).unwrap(),
            ["miroir-0", "miroir-1"]
        );
        assert_eq!(lookup(&serve(&[], false)).unwrap(), Vec::<String>::new());
        assert_eq!(lookup(&serve(&["a", "b", "c"], true)).unwrap(), ["a", "b", "c"]);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let query = question(SERVICE, 7).unwrap();
        for (bytes, id) in
            [(&b""[..], 7), (b"nonsense nonsense", 7), (&reply_to(&query, &["a"], false), 8), (&query, 7)]
        {
            assert!(read(bytes, id).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn the_systems_servers_are_read() {
        let text = "# a comment\nsearch example\nnameserver 10.0.0.53\nnameserver ::1\nnameserver x\n";
        let expected: [SocketAddr; 2] = ["10.0.0.53:53".parse().unwrap(), "[::1]:53".parse().unwrap()];
        assert_eq!(system_servers(text), expected);
    }

    #[test]
    fn peers_are_shown_with_who_names_them() {
        let coordinator = Coordinator::shared("a".to_owned()).naming(vec!["b".to_owned()]);
        coordinator.expect(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]);
        let expected = json!([
            {"name": "b", "knownFrom": ["flag", "dns"], "alive": false},
            {"name": "c", "knownFrom": ["dns"], "alive": false},
        ]);
        assert_eq!(coordinator.peers(), expected);
    }
}
