//! A gateway with fixed answers, over plain HTTP or TLS, that records its requests.
//!
//! Invariant: it serves one request per connection and then closes it. It listens for as long as the test process
//! lives.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Method and path, status, body.
pub(crate) type Answer = (&'static str, u16, &'static str);

pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    /// Method and path.
    pub(crate) line: String,
    /// The value of `x-admin-key`.
    pub(crate) key: Option<String>,
    pub(crate) body: String,
}

impl Gateway {
    /// Starts a gateway that gives these answers, and 404 to other requests.
    pub(crate) fn start(answers: &[Answer]) -> Self {
        Self::listen(answers, None)
    }

    /// The same over TLS.
    pub(crate) fn start_tls(answers: &[Answer], tls: ServerConfig) -> Self {
        Self::listen(answers, Some(Arc::new(tls)))
    }

    fn listen(answers: &[Answer], tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let (seen, answers) = (Arc::clone(&requests), answers.to_vec());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let served = match &tls {
                    None => serve(stream, &answers, &seen),
                    Some(tls) => {
                        let session = ServerConnection::new(Arc::clone(tls)).unwrap();
                        serve(StreamOwned::new(session, stream), &answers, &seen)
                    }
                };
                // A client that refuses the certificate closes the connection; the test sees that in the client.
                drop(served);
            }
        });
        Self { address, requests }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(stream: impl Read + Write, answers: &[Answer], seen: &Mutex<Vec<Request>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let line = line.rsplit_once(' ').map_or("", |(line, _)| line).to_owned();
    let (mut key, mut length) = (None, 0);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "x-admin-key" => key = Some(value.to_owned()),
            "content-length" => length = value.parse().unwrap(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let found = answers.iter().find(|(asked, ..)| *asked == line);
    let (status, answer) = found.map_or((404, ""), |(_, status, body)| (*status, *body));
    seen.lock().unwrap().push(Request { line, key, body: String::from_utf8(body).unwrap() });
    let head = format!(
        "HTTP/1.1 {status} X\r\nlocation: /_miroir/elsewhere\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        answer.len()
    );
    let stream = reader.get_mut();
    stream.write_all(head.as_bytes())?;
    stream.write_all(answer.as_bytes())?;
    stream.flush()
}
