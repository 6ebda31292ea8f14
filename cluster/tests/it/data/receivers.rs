//! Receivers for tests: HTTP servers that take changes, and that answer as a model does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

/// One delivery: the value of the signature's header, the body as it came, and the events.
pub(crate) struct Delivery {
    pub(crate) signature: Option<String>,
    pub(crate) body: Vec<u8>,
    pub(crate) events: Vec<Value>,
}

/// An HTTP server that refuses the first `refused` deliveries and takes all later ones.
pub(crate) fn webhook(refused: usize) -> (SocketAddr, Receiver<Delivery>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, deliveries) = channel();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut length, mut signature) = (0, None);
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                let Some((name, value)) = line.trim_end().split_once(": ") else {
                    if line.trim_end().is_empty() {
                        break;
                    }
                    continue;
                };
                match name.to_lowercase().as_str() {
                    "content-length" => length = value.parse().unwrap(),
                    "x-miroir-signature" => signature = Some(value.to_owned()),
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let status = if number < refused { "503 Service Unavailable" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            let events = serde_json::from_slice(&body).unwrap();
            if number >= refused && told.send(Delivery { signature, body, events }).is_err() {
                return;
            }
        }
    });
    (address, deliveries)
}

/// A model's interface: answers each request with the next list of chunks as a stream, and tells the requests' bodies.
/// A list that is empty is a refusal.
pub(crate) fn model(answers: Vec<Vec<Value>>) -> (SocketAddr, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, bodies) = channel();
    std::thread::spawn(move || {
        for (chunks, stream) in answers.into_iter().zip(listener.incoming()) {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut length, mut head) = (0, String::new());
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                if line.trim_end().is_empty() {
                    break;
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
                    length = value.trim_end().parse().unwrap();
                }
                head += &line;
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let mut body: Value = serde_json::from_slice(&body).unwrap();
            body["head"] = Value::String(head);
            told.send(body).unwrap();
            let writer = stream.get_mut();
            if chunks.is_empty() {
                let error = r#"{"error":{"message":"no such model","type":"invalid_request_error","code":"model_not_found","param":null}}"#;
                write!(
                    writer,
                    "HTTP/1.1 404 Not Found\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{error}",
                    error.len()
                )
                .unwrap();
                continue;
            }
            writer
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
                .unwrap();
            for chunk in chunks {
                write!(writer, "data: {chunk}\n\n").unwrap();
            }
            writer.write_all(b"data: [DONE]\n\n").unwrap();
        }
    });
    (address, bodies)
}
