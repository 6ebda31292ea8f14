//! A TCP proxy in front of a node that can misbehave on request, as networks and overloaded machines do.
//! Invariants: it knows nothing about nodes, so it works for every kind. Withheld bytes are delivered later, in order,
//! as by a network that was cut for a while. Its threads end with their connections.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How the proxy treats traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// It closes all connections, and new ones as soon as it has accepted them.
    Cut,
    /// Nothing passes in either direction until the trouble ends.
    Silence,
    /// Bytes from clients arrive this much later.
    Delay(Duration),
    /// The proxy answers every request with 500 and does not forward it.
    InternalError,
    /// Requests arrive; answers end halfway.
    HalfAnswer,
    /// Requests arrive; answers have bytes changed, lost or added, or end early.
    Garbled,
}

/// A running proxy. It runs until the process ends, as do its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    upstream: SocketAddr,
    line: Mutex<Line>,
    changed: Condvar,
    /// The number of garbled pieces so far, which seeds the damage of the next one.
    garbled: AtomicU64,
}

#[derive(Debug)]
struct Line {
    trouble: Trouble,
    /// Both ends of every connection, for `Cut`.
    open: Vec<TcpStream>,
}

/// The most bytes forwarded at a time.
const CHUNK: usize = 64 << 10;
/// How many of 256 garbled pieces end their connection.
const BREAKS_OF_256: u8 = 32;
/// The number of remembered connections at which ended ones are removed.
const OPEN_MAX: usize = 256;

impl Proxy {
    /// Starts a proxy on a free port of the loopback interface.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start(upstream: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let line = Mutex::new(Line { trouble: Trouble::None, open: Vec::new() });
        let state = Arc::new(State { upstream, line, changed: Condvar::new(), garbled: AtomicU64::new(0) });
        let accepting = Arc::clone(&state);
        std::thread::Builder::new().name("proxy".to_owned()).spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // If the node is absent, the client sees its connection closed.
                let _ = accepting.connect(client);
            }
        })?;
        Ok(Self { address, state })
    }

    /// The address for clients.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts or ends a trouble.
    pub fn set(&self, trouble: Trouble) {
        let mut line = self.state.line();
        line.trouble = trouble;
        if trouble == Trouble::Cut {
            for stream in line.open.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        self.state.changed.notify_all();
    }
}

impl State {
    fn line(&self) -> MutexGuard<'_, Line> {
        // No holder leaves the value half changed, so a poisoned lock is usable.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(self: &Arc<Self>, client: TcpStream) -> std::io::Result<()> {
        if self.line().trouble == Trouble::Cut {
            return Ok(());
        }
        let node = TcpStream::connect(self.upstream)?;
        for stream in [&client, &node] {
            stream.set_nodelay(true)?;
        }
        {
            let mut line = self.line();
            if line.open.len() >= OPEN_MAX {
                line.open.retain(|stream| stream.peer_addr().is_ok());
            }
            line.open.extend([client.try_clone()?, node.try_clone()?]);
        }
        let (upwards, downwards) = ((client.try_clone()?, node.try_clone()?), (node, client));
        let (requests, answers) = (Arc::clone(self), Arc::clone(self));
        std::thread::spawn(move || requests.pass(upwards.0, upwards.1, State::request));
        std::thread::spawn(move || answers.pass(downwards.0, downwards.1, State::answer));
        Ok(())
    }

    /// Forwards bytes until either end closes.
    fn pass(&self, mut from: TcpStream, mut to: TcpStream, step: Step) {
        let mut buffer = vec![0; CHUNK];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if step(self, &buffer[..length], &mut from, &mut to).is_err() {
                break;
            }
        }
        for stream in [from, to] {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// The current trouble. Waits for the end of a silence.
    fn trouble(&self) -> Trouble {
        let silent = |line: &mut Line| line.trouble == Trouble::Silence;
        self.changed.wait_while(self.line(), silent).unwrap_or_else(PoisonError::into_inner).trouble
    }

    fn request(&self, bytes: &[u8], client: &mut TcpStream, node: &mut TcpStream) -> std::io::Result<()> {
        match self.trouble() {
            Trouble::Delay(time) => {
                std::thread::sleep(time);
                node.write_all(bytes)
            }
            Trouble::InternalError => {
                client.write_all(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n")?;
                Err(std::io::ErrorKind::ConnectionAborted.into())
            }
            Trouble::None | Trouble::Cut | Trouble::Silence | Trouble::HalfAnswer | Trouble::Garbled => {
                node.write_all(bytes)
            }
        }
    }

    fn answer(&self, bytes: &[u8], _node: &mut TcpStream, client: &mut TcpStream) -> std::io::Result<()> {
        match self.trouble() {
            Trouble::HalfAnswer => {
                client.write_all(&bytes[..bytes.len() / 2])?;
                Err(std::io::ErrorKind::ConnectionAborted.into())
            }
            Trouble::Garbled => {
                let mut random = fastrand::Rng::with_seed(self.garbled.fetch_add(1, Ordering::Relaxed));
                client.write_all(&garbled(bytes, &mut random))?;
                let goes_on = random.u8(..) >= BREAKS_OF_256;
                goes_on.then_some(()).ok_or_else(|| std::io::ErrorKind::ConnectionAborted.into())
            }
            Trouble::None | Trouble::Cut | Trouble::Silence | Trouble::Delay(_) | Trouble::InternalError => {
                client.write_all(bytes)
            }
        }
    }
}

/// Damages up to three parts of the bytes: changed, lost, or duplicated. A quarter of the pieces stay unchanged.
fn garbled(bytes: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let changes = random.usize(0..4);
    for _ in 0..changes {
        let at = random.usize(0..=bytes.len());
        let end = bytes.len().min(at + random.usize(0..=16));
        match random.u8(0..4) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes[at..end].iter_mut().for_each(|byte| *byte = random.u8(..)),
            2 => bytes[at..end].reverse(),
            _ => {
                let part = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, part));
            }
        }
    }
    bytes
}

/// Forwards one chunk from the first stream to the second. An error ends the connection.
type Step = fn(&State, &[u8], &mut TcpStream, &mut TcpStream) -> std::io::Result<()>;

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that echoes lines.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
            }
        });
        address
    }

    fn ask(proxy: &Proxy) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(proxy.address())?;
        stream.write_all(b"12345678")?;
        let mut answer = Vec::new();
        let mut byte = [0];
        while answer.len() < 8 && stream.read(&mut byte)? == 1 {
            answer.push(byte[0]);
        }
        Ok(answer)
    }

    #[test]
    fn most_answers_are_damaged_and_some_are_left_alone() {
        let damaged = |seed: &u64| garbled(b"12345678", &mut fastrand::Rng::with_seed(*seed)) != b"12345678";
        let count = (0..100).filter(damaged).count();
        assert!((40..95).contains(&count), "{count} of 100 answers are damaged");
    }

    #[test]
    fn every_trouble_shows_and_passes() {
        let proxy = Proxy::start(echo()).unwrap();
        assert_eq!(ask(&proxy).unwrap(), b"12345678");
        proxy.set(Trouble::HalfAnswer);
        assert_eq!(ask(&proxy).unwrap(), b"1234");
        proxy.set(Trouble::InternalError);
        assert_eq!(ask(&proxy).unwrap(), b"HTTP/1.1");
        proxy.set(Trouble::Cut);
        assert!(ask(&proxy).unwrap_or_default().is_empty());
        proxy.set(Trouble::Delay(Duration::from_millis(1)));
        assert_eq!(ask(&proxy).unwrap(), b"12345678");
        proxy.set(Trouble::Silence);
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| ask(&proxy).unwrap());
            proxy.set(Trouble::None);
            assert_eq!(asked.join().unwrap(), b"12345678");
        });
    }
}
