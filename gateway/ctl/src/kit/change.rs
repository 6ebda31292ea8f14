//! Answers to what changes where documents are: a number of an operation, or a plan.

use serde_json::Value;

use super::{
    operation,
    report::Report,
    show::{bytes, seconds, word},
};

/// The report of an answer.
pub(crate) fn report(answer: Value) -> Report {
    if answer["dryRun"] != true {
        return operation::begun(answer);
    }
    let text = plan(&answer);
    Report::good(answer, text)
}

/// A plan in words.
pub(crate) fn plan(plan: &Value) -> String {
    let moves = plan["moves"].as_array();
    let shards =
        plan["shards"].as_array().map_or_else(|| word(&plan["shards"]), |shards| shards.len().to_string());
    let mut text = format!("plan: {}, shards {shards}", word(&plan["kind"]));
    if let Some(moves) = moves {
        text.push_str(&format!(", {} copies", moves.len()));
    }
    text.push_str(&format!(
        ", {} documents, {}, about {}\n",
        word(&plan["documents"]),
        bytes(&plan["bytes"]),
        seconds(&plan["seconds"])
    ));
    for step in moves.into_iter().flatten() {
        text.push_str(&format!(
            "  shard {} of {}: to {} from {}\n",
            word(&step["shard"]),
            word(&step["shards"]),
            word(&step["to"]),
            word(&step["from"])
        ));
    }
    for warning in plan["warnings"].as_array().into_iter().flatten() {
        text.push_str(&format!("warning: {}\n", word(warning)));
    }
    text
}
