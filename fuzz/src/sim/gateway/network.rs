//! Simulated sockets: bytes travel between sites in time, in pieces, and in order.
//! - A link may be slow or cut for a time. Bytes in flight then arrive after the cut, as with TCP.
//! - A killed site's connections are reset. A site without power says nothing until it is up again and contacted.
//! - What a connection holds is bounded; a writer above the bound waits.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::{pending, poll_fn};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::kernel::{Site, kernel, sleep};

/// The most bytes in flight or unread in one direction of a connection.
const WINDOW: usize = 64 << 10;

thread_local! {
    static NETWORK: RefCell<Network> = RefCell::default();
}

/// The listening sites, and the state of links.
#[derive(Default)]
struct Network {
    listening: BTreeMap<SocketAddr, Vec<Rc<Backlog>>>,
    /// The times until which nothing passes between two sites, the lower site first.
    cuts: BTreeMap<(Site, Site), Duration>,
    /// Sites without power.
    silent: BTreeSet<Site>,
    weather: Weather,
}

/// The state of links that are not cut.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weather {
    /// How many of a thousand pieces are slow.
    pub(super) slow_permille: u32,
    /// How many of a thousand writes are torn into pieces.
    pub(super) torn_permille: u32,
}

#[derive(Default)]
struct Backlog {
    waiting: RefCell<VecDeque<Stream>>,
    waker: RefCell<Option<Waker>>,
}

pub(super) struct Listener {
    address: SocketAddr,
    backlog: Rc<Backlog>,
}

/// One end of a connection.
pub(super) struct Stream {
    connection: Rc<Connection>,
    /// Its end of the connection, 0 or 1.
    side: usize,
}

struct Connection {
    ends: [End; 2],
}

/// The state of one end: what has arrived and what is in flight to it.
struct End {
    site: Site,
    arrived: RefCell<VecDeque<u8>>,
    under_way: Cell<usize>,
    /// The earliest time of the next arrival.
    last_arrival: Cell<Duration>,
    finished: Cell<bool>,
    reset: Cell<bool>,
    closed: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    /// The other end's writer, which waits for room.
    writer: RefCell<Option<Waker>>,
}

enum Parcel {
    Bytes(Vec<u8>),
    End,
    Reset,
}

/// The address of a site.
pub(super) fn address_of(site: Site) -> SocketAddr {
    let number = u8::try_from(site).expect("a handful of sites");
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, number)), 7700)
}

fn site_of(address: SocketAddr) -> Site {
    match address.ip() {
        IpAddr::V4(ip) => usize::from(ip.octets()[3]),
        IpAddr::V6(_) => usize::MAX,
    }
}

/// Resets the network: no listeners, no cuts.
pub(super) fn begin(weather: Weather) {
    let before = NETWORK.replace(Network { weather, ..Network::default() });
    drop(before);
}

/// Cuts the link between two sites for a time.
pub(super) fn cut(one: Site, other: Site, until: Duration) {
    NETWORK.with_borrow_mut(|network| network.cuts.insert((one.min(other), one.max(other)), until));
}

/// Turns a site's power off, or on again.
pub(super) fn set_silent(site: Site, silent: bool) {
    NETWORK.with_borrow_mut(|network| match silent {
        true => network.silent.insert(site),
        false => network.silent.remove(&site),
    });
}

fn is_silent(site: Site) -> bool {
    NETWORK.with_borrow(|network| network.silent.contains(&site))
}

/// When something sent now arrives over a link.
fn arrival(from: Site, to: Site) -> Duration {
    let kernel = kernel();
    let (cut, weather) = NETWORK.with_borrow(|network| {
        let cut = network.cuts.get(&(from.min(to), from.max(to))).copied();
        (cut.unwrap_or_default(), network.weather)
    });
    let is_slow = kernel.random(|rng| rng.u32(0..1000)) < weather.slow_permille;
    let micros = kernel.random(|rng| if is_slow { rng.u64(1_000..60_000) } else { rng.u64(30..400) });
    kernel.now().max(cut) + Duration::from_micros(micros)
}

async fn pass(from: Site, to: Site) {
    let at = arrival(from, to);
    sleep(at.saturating_sub(kernel().now())).await;
}

pub(super) fn listen(address: SocketAddr) -> io::Result<Listener> {
    if site_of(address) != kernel().site() {
        return Err(ErrorKind::AddrNotAvailable.into());
    }
    let backlog = Rc::new(Backlog::default());
    NETWORK.with_borrow_mut(|network| {
        network.listening.entry(address).or_default().push(Rc::clone(&backlog));
    });
    Ok(Listener { address, backlog })
}

impl Listener {
    pub(super) async fn accept(&self) -> (Stream, IpAddr) {
        let stream = poll_fn(|context| match self.backlog.waiting.borrow_mut().pop_front() {
            Some(stream) => Poll::Ready(stream),
            None => {
                *self.backlog.waker.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            }
        })
        .await;
        let peer = stream.connection.ends[1 - stream.side].site;
        (stream, address_of(peer).ip())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        NETWORK.with_borrow_mut(|network| {
            if let Some(backlogs) = network.listening.get_mut(&self.address) {
                backlogs.retain(|backlog| !Rc::ptr_eq(backlog, &self.backlog));
            }
        });
        let waiting = std::mem::take(&mut *self.backlog.waiting.borrow_mut());
        drop(waiting);
    }
}

pub(super) async fn connect(address: SocketAddr) -> io::Result<Stream> {
    let (from, to) = (kernel().site(), site_of(address));
    pass(from, to).await;
    if is_silent(to) {
        pending::<()>().await;
    }
    let listening = NETWORK.with_borrow(|network| network.listening.get(&address).cloned());
    let listening = listening.unwrap_or_default();
    if listening.is_empty() {
        pass(to, from).await;
        return Err(ErrorKind::ConnectionRefused.into());
    }
    let chosen = Rc::clone(&listening[kernel().random(|rng| rng.usize(0..listening.len()))]);
    let connection = Rc::new(Connection { ends: [End::new(from), End::new(to)] });
    let own = Stream { connection: Rc::clone(&connection), side: 0 };
    chosen.waiting.borrow_mut().push_back(Stream { connection, side: 1 });
    wake(&chosen.waker);
    pass(to, from).await;
    Ok(own)
}

fn wake(waker: &RefCell<Option<Waker>>) {
    let waker = waker.borrow_mut().take();
    waker.into_iter().for_each(Waker::wake);
}

impl End {
    fn new(site: Site) -> Self {
        Self {
            site,
            arrived: RefCell::default(),
            under_way: Cell::default(),
            last_arrival: Cell::default(),
            finished: Cell::default(),
            reset: Cell::default(),
            closed: Cell::default(),
            reader: RefCell::default(),
            writer: RefCell::default(),
        }
    }

    fn room(&self) -> usize {
        WINDOW.saturating_sub(self.under_way.get() + self.arrived.borrow().len())
    }
}

impl Connection {
    /// Sends a parcel to one end.
    fn send(self: &Rc<Self>, side: usize, parcel: Parcel) {
        let (to, from) = (&self.ends[side], &self.ends[1 - side]);
        let time = arrival(from.site, to.site).max(to.last_arrival.get());
        to.last_arrival.set(time);
        if let Parcel::Bytes(bytes) = &parcel {
            to.under_way.set(to.under_way.get() + bytes.len());
        }
        let connection = Rc::clone(self);
        kernel().at(time, move || connection.deliver(side, parcel));
    }

    fn deliver(self: &Rc<Self>, side: usize, parcel: Parcel) {
        let end = &self.ends[side];
        match parcel {
            Parcel::Bytes(bytes) => {
                end.under_way.set(end.under_way.get() - bytes.len());
                if end.closed.get() {
                    // The end is closed, so reset the connection; a machine without power does not even do that.
                    if !is_silent(end.site) && !self.ends[1 - side].closed.get() {
                        self.send(1 - side, Parcel::Reset);
                    }
                    return;
                }
                kernel().note((end.site, bytes.len(), &bytes));
                end.arrived.borrow_mut().extend(bytes);
            }
            Parcel::End => end.finished.set(true),
            Parcel::Reset => {
                end.reset.set(true);
                wake(&self.ends[1 - side].writer);
            }
        }
        wake(&end.reader);
    }
}

impl Stream {
    /// Receives up to `most` bytes; none means that the peer has closed.
    pub(super) async fn receive(&mut self, most: usize) -> io::Result<Vec<u8>> {
        poll_fn(|context| {
            let end = &self.connection.ends[self.side];
            if end.reset.get() {
                return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
            }
            let mut arrived = end.arrived.borrow_mut();
            if arrived.is_empty() && most > 0 {
                if end.finished.get() {
                    return Poll::Ready(Ok(Vec::new()));
                }
                *end.reader.borrow_mut() = Some(context.waker().clone());
                return Poll::Pending;
            }
            let count = arrived.len().min(most);
            let bytes = arrived.drain(..count).collect();
            drop(arrived);
            wake(&end.writer);
            Poll::Ready(Ok(bytes))
        })
        .await
    }

    /// Sends some of the bytes and returns how many.
    pub(super) async fn send_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|context| {
            let (own, other) = (&self.connection.ends[self.side], &self.connection.ends[1 - self.side]);
            if own.reset.get() {
                return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
            }
            let room = other.room();
            if room == 0 && !bytes.is_empty() {
                *other.writer.borrow_mut() = Some(context.waker().clone());
                return Poll::Pending;
            }
            let mut rest = &bytes[..bytes.len().min(room)];
            let sent = rest.len();
            while !rest.is_empty() {
                let piece = rest.len().min(piece_length());
                self.connection.send(1 - self.side, Parcel::Bytes(rest[..piece].to_vec()));
                rest = &rest[piece..];
            }
            Poll::Ready(Ok(sent))
        })
        .await
    }

    pub(super) async fn send_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = self.send_some(bytes).await?;
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    /// Tells the peer that no more bytes follow.
    pub(super) fn finish(&self) {
        self.connection.send(1 - self.side, Parcel::End);
    }

    pub(super) fn is_silent(&self) -> bool {
        let end = &self.connection.ends[self.side];
        !end.reset.get() && !end.finished.get() && end.arrived.borrow().is_empty()
    }
}

/// The most bytes of the next piece of a write.
fn piece_length() -> usize {
    let torn = NETWORK.with_borrow(|network| network.weather.torn_permille);
    kernel().random(|rng| if rng.u32(0..1000) < torn { rng.usize(1..200) } else { WINDOW })
}

impl Drop for Stream {
    fn drop(&mut self) {
        let (own, other) = (&self.connection.ends[self.side], &self.connection.ends[1 - self.side]);
        own.closed.set(true);
        if other.closed.get() || is_silent(own.site) {
            return;
        }
        // As on Linux, unread bytes at the close reset the connection.
        let unread = own.under_way.get() > 0 || !own.arrived.borrow().is_empty();
        self.connection.send(1 - self.side, if unread { Parcel::Reset } else { Parcel::End });
    }
}

#[cfg(test)]
mod tests {
    use super::super::kernel::Run;
    use super::*;

    /// What site 1 receives from site 2, which echoes everything until the end.
    fn exchange(seed: u64, meanwhile: impl Fn() + 'static) -> (io::Result<Vec<u8>>, Duration) {
        let run = Run::begin(seed);
        begin(Weather { slow_permille: 50, torn_permille: 500 });
        run.0.on(2, || {
            run.0.spawn(async {
                let listener = listen(address_of(2)).unwrap();
                loop {
                    let (mut stream, peer) = listener.accept().await;
                    assert_eq!(peer, address_of(1).ip());
                    kernel().spawn(async move {
                        while let Ok(bytes) = stream.receive(1000).await {
                            if bytes.is_empty() || stream.send_all(&bytes).await.is_err() {
                                return;
                            }
                        }
                    });
                }
            });
        });
        let heard = Rc::new(RefCell::new(None));
        let told = Rc::clone(&heard);
        run.0.on(1, || {
            run.0.spawn(async move {
                sleep(Duration::from_millis(1)).await;
                let talk = async {
                    let mut stream = connect(address_of(2)).await?;
                    meanwhile();
                    let (mut heard, sent) = (Vec::new(), 3 * WINDOW);
                    let text = (0..sent).map(|at| u8::try_from(at % 251).unwrap()).collect::<Vec<_>>();
                    let mut rest = &text[..];
                    while heard.len() < sent {
                        // A sender that reads nothing is eventually not read either, so read while sending.
                        let sent_yet = text.len() - rest.len();
                        let most = (WINDOW / 2).saturating_sub(sent_yet - heard.len());
                        let count = stream.send_some(&rest[..rest.len().min(most)]).await?;
                        rest = &rest[count..];
                        let bytes = stream.receive(WINDOW).await?;
                        heard.extend(bytes);
                    }
                    assert_eq!(heard, text);
                    Ok::<_, io::Error>(heard)
                };
                let outcome = talk.await;
                *told.borrow_mut() = Some((outcome, kernel().now()));
            });
        });
        run.0.run_until(Duration::from_secs(60));
        heard.take().expect("the talk ends")
    }

    #[test]
    fn bytes_come_in_order_whatever_the_weather() {
        for seed in 0..20 {
            assert_eq!(exchange(seed, || ()).0.unwrap().len(), 3 * WINDOW);
        }
        let (heard, ended) = exchange(1, || cut(1, 2, Duration::from_secs(30)));
        assert!(heard.is_ok() && ended > Duration::from_secs(30), "it waits for the link");
    }

    #[test]
    fn killed_sites_are_heard_of_and_dark_ones_are_not() {
        let killed =
            exchange(1, || kernel().at(kernel().now() + Duration::from_millis(1), || kernel().kill(2)));
        let kind = killed.0.unwrap_err().kind();
        assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof), "{kind:?}");
        let refused = {
            let run = Run::begin(1);
            begin(Weather::default());
            let heard = Rc::new(Cell::new(None));
            let told = Rc::clone(&heard);
            run.0.on(1, || {
                run.0.spawn(
                    async move { told.set(connect(address_of(2)).await.err().map(|error| error.kind())) },
                );
            });
            run.0.run_until(Duration::from_secs(1));
            heard.get()
        };
        assert_eq!(refused, Some(ErrorKind::ConnectionRefused));
    }
}
