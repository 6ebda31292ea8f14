//! Tests the gateway's responses to sound and unsound requests. Every case is sent at once and, but for one, byte by
//! byte, to either runtime, with the same outcome.

use super::table::{CAME_ALONG, Case, cases, chunk, get, key, post};
use crate::{gateway::Gateway, wire::Wire};

/// Runs a case; the error tells how the outcome differs from the expected one.
fn run(gateway: &Gateway, case: &Case, step: usize) -> Result<(), String> {
    let (outcome, text) = match case.outcome.split_once(" \"") {
        Some((outcome, text)) => {
            (outcome, text.trim_end_matches('"').replace("\\\"", "\"").replace("\\", "\""))
        }
        None => (case.outcome.as_str(), String::new()),
    };
    let (statuses, end) = outcome.rsplit_once(' ').unwrap_or(("", outcome));
    let mut wire = Wire::connect(gateway.address);
    wire.send(&case.bytes, step);
    if end == "shut" {
        wire.finish();
    }
    let to_head = case.bytes.starts_with(b"HEAD ");
    let mut last = None;
    for status in statuses.split_whitespace() {
        let answer = wire.read_answer(to_head).ok_or_else(|| format!("an end instead of {status}"))?;
        if answer.status.to_string() != status {
            return Err(format!("{} instead of {status}: {answer:?}", answer.status));
        }
        last = Some(answer);
    }
    let said = last.map_or(String::new(), |answer| answer.head + &answer.body);
    if !said.contains(&text) {
        return Err(format!("{text:?} is not in {said:?}"));
    }
    if end == "open" {
        wire.send(get("").as_bytes(), usize::MAX);
        let answer = wire.read_answer(false);
        return match answer.as_ref().map(|answer| answer.status) {
            Some(200) => Ok(()),
            _ => Err(format!("{answer:?} to one more request")),
        };
    }
    match wire.read_answer(false) {
        None => Ok(()),
        Some(answer) => Err(format!("{answer:?} instead of the end")),
    }
}

fn check(runtime: &str) {
    let limits = ["--request-line-limit=1KiB", "--head-limit=4KiB", "--headers-max=16", "--body-limit=8KiB"];
    let gateway = Gateway::start(runtime, &limits);
    let cases = cases();
    let mut wrong = Vec::new();
    for case in &cases {
        // Byte by byte no body arrives together with its head.
        let steps: &[usize] = if case.about == CAME_ALONG { &[usize::MAX] } else { &[usize::MAX, 1] };
        for &step in steps {
            if let Err(reason) = run(&gateway, case, step) {
                wrong.push(format!("{}: {} (in steps of {step}): {reason}", case.section, case.about));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} on {runtime}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn monoio_answers_by_the_book() {
    check("monoio");
}

#[test]
fn glommio_answers_by_the_book() {
    check("glommio");
}

/// A client that waits for `100 Continue` gets it, then the response.
#[test]
fn a_client_that_waits_is_told_to_go_on() {
    for runtime in ["monoio", "glommio"] {
        let gateway = Gateway::start(runtime, &[]);
        let body = key("waited");
        for framing in [format!("Content-Length: {}", body.len()), "Transfer-Encoding: chunked".to_owned()] {
            let mut wire = Wire::connect(gateway.address);
            wire.send(post(&format!("{framing}\r\nExpect: 100-Continue\r\n"), "").as_bytes(), usize::MAX);
            assert_eq!(wire.read_answer(false).unwrap().status, 100);
            let sent = if framing.starts_with('T') { chunk(&body) + "0\r\n\r\n" } else { body.clone() };
            wire.send(sent.as_bytes(), usize::MAX);
            let answer = wire.read_answer(false).unwrap();
            assert_eq!(answer.status, 201, "{answer:?}");
        }
    }
}
