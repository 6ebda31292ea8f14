//! A node in the test's own process with a client, and films to fill it with.

use std::net::SocketAddr;

pub(crate) use node::test_client::{Client, films, ids};
use node::{NodeOptions, Server};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A node in this process.
pub(crate) struct TestNode {
    server: Server,
    pub(crate) client: Client,
    _data: TempDir,
}

impl TestNode {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub(crate) fn start_with(change: impl FnOnce(&mut NodeOptions)) -> Self {
        let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut options = NodeOptions::new(data.path());
        options.sync = false;
        options.indexing_threads = 1;
        change(&mut options);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::start(&options, any, Some(any)).unwrap();
        let client = Client::new(format!("http://{}", server.address()));
        Self { server, client, _data: data }
    }

    /// Sets fault switches over the control port.
    pub(crate) fn faults(&self, faults: &Value) {
        self.control().post("/faults", faults);
    }

    pub(crate) fn clear_faults(&self) {
        assert_eq!(self.control().call("DELETE", "/faults", &Value::Null).0, 200);
    }

    /// A client of the control port.
    pub(crate) fn control(&self) -> Client {
        Client::new(format!("http://{}", self.server.control().unwrap()))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }
}

/// A node with the films, whose fields are filterable and sortable.
pub(crate) fn film_node() -> TestNode {
    let node = TestNode::start();
    let settings = json!({
        "filterableAttributes": ["genres", "year", "director", "_geo"],
        "sortableAttributes": ["year", "title", "_geo"],
    });
    node.client.done("PATCH", "/indexes/films/settings", &settings);
    node.client.done("POST", "/indexes/films/documents", &films());
    node
}
