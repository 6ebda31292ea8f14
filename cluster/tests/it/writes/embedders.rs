//! What an embedding service is sent for documents: the texts that one node would send, and none twice.
//! Invariant: the service is the test's own, and nodes have sent it all texts of a task when the task ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::TestCluster;

/// A service that gives every text the same vector, and remembers the texts.
struct Service {
    address: SocketAddr,
    texts: Arc<Mutex<Vec<String>>>,
}

impl Service {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let texts = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&texts);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let heard = Arc::clone(&heard);
                std::thread::spawn(move || serve(stream.unwrap(), &heard));
            }
        });
        Self { address, texts }
    }

    /// The texts since the last call, in order.
    fn heard(&self) -> Vec<String> {
        let mut texts = std::mem::take(&mut *self.texts.lock().unwrap());
        texts.sort();
        texts
    }

    fn embedder(&self) -> Value {
        json!({
            "source": "rest",
            "url": format!("http://{}/", self.address),
            "request": {"input": ["{{text}}", "{{..}}"]},
            "response": {"data": [{"embedding": "{{embedding}}"}, "{{..}}"]},
            "dimensions": 2,
        })
    }
}

fn serve(stream: TcpStream, heard: &Mutex<Vec<String>>) {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let line = line.trim_end().to_lowercase();
        if let Some(given) = line.strip_prefix("content-length: ") {
            length = given.parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    let request: Value = serde_json::from_slice(&body).unwrap();
    let texts = request["input"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned());
    let texts = texts.collect::<Vec<_>>();
    let answer = json!({"data": texts.iter().map(|_| json!({"embedding": [0.5, 0.5]})).collect::<Vec<_>>()});
    heard.lock().unwrap().extend(texts);
    let answer = answer.to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
    write!(stream.get_mut(), "{head}\r\ncontent-length: {}\r\n\r\n{answer}", answer.len()).unwrap();
}

#[test]
fn an_embedding_service_gets_the_texts_of_one_node() {
    let service = Service::start();
    let cluster = TestCluster::start(|options| options.replication_factor = 1);
    let client = &cluster.client;
    let own = "{% for f in fields %}{{f.name}}={{f.value}};{% endfor %}";
    // A document is gone through in no particular order, so each field is only counted.
    let loops = "{%- for p in doc -%} x {%- endfor -%}";
    let text = |template: Option<&str>, id: u32, title: &str| match template {
        None => format!("id: {id}\ntitle: {title}\n"),
        Some(template) if template == own => format!("id={id};title={title};"),
        Some(_) => "xx".to_owned(),
    };
    for (number, template) in [None, Some(own), Some(loops)].into_iter().enumerate() {
        let uid = format!("films{number}");
        let mut embedder = service.embedder();
        if let Some(template) = template {
            embedder["documentTemplate"] = json!(template);
        }
        client.done("POST", "/indexes", &json!({"uid": uid, "primaryKey": "id"}));
        client.done("PATCH", &format!("/indexes/{uid}/settings"), &json!({"embedders": {"e": embedder}}));
        service.heard();
        let films = (0..12).map(|id| json!({"id": id, "title": format!("film {id}")})).collect::<Value>();
        client.done("POST", &format!("/indexes/{uid}/documents"), &films);
        let mut expected = (0..12).map(|id| text(template, id, &format!("film {id}"))).collect::<Vec<_>>();
        expected.sort();
        assert_eq!(service.heard(), expected, "{template:?}");
        // What was written before is written again, with other stamps.
        client.done("PUT", &format!("/indexes/{uid}/documents"), &films);
        client.done("POST", &format!("/indexes/{uid}/documents"), &films);
        assert_eq!(service.heard(), Vec::<String>::new(), "{template:?}: no text has changed");
        client.done("PUT", &format!("/indexes/{uid}/documents"), &json!([{"id": 3, "title": "other"}]));
        let changed = service.heard();
        assert!(changed.iter().all(|heard| *heard == text(template, 3, "other")), "{changed:?}");
        let shown =
            client.read(&format!("/indexes/{uid}/settings/embedders"))["e"]["documentTemplate"].clone();
        assert!(!shown.as_str().unwrap().contains("_miroir_"), "{shown}");
        assert!(template.is_none_or(|template| shown == template), "{shown}");
    }
    let mut embedder = service.embedder();
    for (template, code) in [
        ("{{ doc._miroir_shard }}", "miroir_reserved_field"),
        ("{% for f in fields %}{{ f.name }", "vector_embedding_error"),
    ] {
        embedder["documentTemplate"] = json!(template);
        let change = json!({"embedders": {"e": embedder}});
        let (status, answer) = client.call("PATCH", "/indexes/films0/settings", &change);
        let error = if status == 202 { client.finished(&answer)["error"].clone() } else { answer };
        let message = error["message"].as_str().unwrap();
        assert!(error["code"] != Value::Null, "{error}");
        assert!(code == "miroir_reserved_field" || !message.contains("_miroir_"), "{error}");
        assert!(code != "miroir_reserved_field" || error["code"] == code, "{error}");
    }
}
