//! Sessions of the console among pods: a sign-in, a logout and a flood on one pod hold on all.

use serde_json::{Value, json};

use crate::{
    api::console::{ask, sign_in},
    pods::coordination::Pods,
};
use node::test_client::Client;

fn start(arguments: &[&str]) -> (Pods, Vec<Client>) {
    let pods = Pods::start_with(true, |options| {
        options.gateway_arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        options.gateway_environment =
            vec![("ADMIN_SESSION_SEAL_KEY", "one-key-for-all-of-the-pods".to_owned())];
    });
    let clients = pods.urls().into_iter().map(Client::new).collect();
    (pods, clients)
}

#[test]
fn a_cookie_holds_on_every_pod_and_after_a_logout_on_none() {
    let (mut pods, clients) = start(&[]);
    let session = sign_in(&clients[0], "admin");
    let status = |client: &Client| ask(client, &session, None, ("GET", "/_miroir/topology"), &Value::Null).0;
    assert_eq!(clients.iter().map(status).collect::<Vec<_>>(), [200, 200, 200]);
    // A pod that restarts opens the same cookies.
    pods.signal(1, "-TERM");
    assert!(pods.pods[1].wait().unwrap().success());
    pods.restart(1);
    pods.until(1, "/_miroir/ready", |answer| answer["ready"] == true);
    assert_eq!(status(&clients[1]), 200);
    let token = Some(session.token.as_str());
    let logout = ("POST", "/_miroir/admin/logout");
    assert_eq!(ask(&clients[2], &session, token, logout, &Value::Null).0, 204);
    assert_eq!(clients.iter().map(status).collect::<Vec<_>>(), [401, 401, 401], "replayed after the logout");
}

#[test]
fn attempts_count_on_all_pods_together() {
    let (_pods, clients) = start(&[]);
    let attempt =
        |client: &Client, key: &str| client.call("POST", "/_miroir/admin/login", &json!({"adminKey": key})).0;
    for number in 0..10 {
        assert_eq!(attempt(&clients[number % 3], "guess"), 401);
    }
    for client in &clients {
        assert_eq!(attempt(client, "admin"), 429);
    }
}
