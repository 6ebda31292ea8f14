//! Receivers of changes for tests: an HTTP server and a NATS server, each with just enough of its protocol.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

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

/// A message to a subject.
pub(crate) struct Message {
    pub(crate) subject: String,
    pub(crate) headers: String,
    pub(crate) event: Value,
}

/// A NATS server that cuts the first connection after its greeting, and serves all later ones.
pub(crate) fn nats() -> (SocketAddr, Receiver<Message>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, messages) = channel();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let told = told.clone();
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let info = format!(
                    "INFO {{\"server_id\":\"T\",\"version\":\"2.9.0\",\"proto\":1,\"host\":\"127.0.0.1\",\"port\":{},\"headers\":true,\"max_payload\":1048576}}\r\n",
                    stream.local_addr().unwrap().port()
                );
                stream.write_all(info.as_bytes()).unwrap();
                if number > 0 {
                    serve(stream, &told);
                }
            });
        }
    });
    (address, messages)
}

/// Serves one connection to its end; whatever is published to an inbox comes back to its subscriber.
fn serve(stream: TcpStream, told: &Sender<Message>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    let mut inboxes: Vec<(String, String)> = Vec::new();
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|count| count > 0) {
        let parts = line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        line.clear();
        match parts.first().map(String::as_str) {
            Some("PING") => writer.write_all(b"PONG\r\n").unwrap(),
            Some("SUB") => inboxes.push((parts[1].clone(), parts.last().unwrap().clone())),
            Some("PUB" | "HPUB") => {
                let has_headers = parts[0] == "HPUB";
                let total: usize = parts.last().unwrap().parse().unwrap();
                let head: usize = if has_headers { parts[parts.len() - 2].parse().unwrap() } else { 0 };
                let mut payload = vec![0; total + 2];
                reader.read_exact(&mut payload).unwrap();
                payload.truncate(total);
                let subject = parts[1].clone();
                if let Some((_, id)) = inboxes.iter().find(|(inbox, _)| *inbox == subject) {
                    let message = format!("MSG {subject} {id} {total}\r\n");
                    writer.write_all(&[message.as_bytes(), &payload, b"\r\n"].concat()).unwrap();
                    continue;
                }
                let event = serde_json::from_slice(&payload[head..]).unwrap();
                let headers = String::from_utf8_lossy(&payload[..head]).into_owned();
                let _ = told.send(Message { subject, headers, event });
            }
            _ => {}
        }
    }
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
