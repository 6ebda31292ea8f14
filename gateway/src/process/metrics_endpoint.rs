//! The metrics endpoint on its own port: a small blocking server on a thread of its own, so that no scrape, and no
//! slow scraper, costs a data core time.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use crate::state::shared::Shared;

/// The longest wait for a scraper to send its request or take the answer.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest request line and headers together, in bytes.
const HEAD_BYTES_MAX: u64 = 8 << 10;

/// Serves `/metrics` on `listener`, one scrape after the other.
///
/// # Errors
/// When the thread cannot start.
pub fn start(listener: TcpListener, shared: Arc<Shared>) -> std::io::Result<SocketAddr> {
    let address = listener.local_addr()?;
    std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
        for stream in listener.incoming().flatten() {
            // A scraper that goes away only loses its own answer.
            let _ = serve_scrape(&stream, &shared);
        }
    })?;
    Ok(address)
}

fn serve_scrape(mut stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_read_timeout(Some(SCRAPE_TIMEOUT))?;
    stream.set_write_timeout(Some(SCRAPE_TIMEOUT))?;
    let mut reader = BufReader::new(std::io::Read::take(stream, HEAD_BYTES_MAX));
    let mut request_line = String::new();
    reader.read_line(&mut request_line)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let known = request_line.starts_with("GET /metrics ") || request_line.starts_with("GET /metrics?");
    let (status, body) = match known {
        true => ("200 OK", shared.prometheus.render()),
        false => ("404 Not Found", String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}
