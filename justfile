# What one does here every day; `just` alone lists it.

set shell := ["bash", "-euo", "pipefail", "-c"]

_list:
    @just --list --unsorted

# The quick tier: all tests that need no search engine (with cargo-nextest where it is installed)
quick *ARGS:
    #!/usr/bin/env bash
    set -euo pipefail
    tier=(--workspace --exclude node --exclude cluster)
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --profile quick "${tier[@]}" {{ARGS}}
    else
        cargo test "${tier[@]}" {{ARGS}}
    fi

# All tests, or those that ARGS name: `just test -p merge`
test *ARGS:
    .ci/test {{ARGS}}

# What CI checks: format, lints, all tests
ci:
    .ci/run

# The rules of the house: rooms, layout, words, documents
tidy:
    cargo test -p fuzz --test it tidy

# What helm, haproxy, nginx, promtool, mdbook and others say of deploy/ and docs/; ARGS go to pytest
deploy *ARGS:
    cargo build --workspace --bins --example copy_index
    deploy/tests/run {{ARGS}}

# Replays one seed of the simulation of whole gateways, with what they log
sim SEED WHAT="gateway":
    MIROIR_SIMULATION_LOG=1 cargo run --release -p fuzz -- sim {{WHAT}} --seeds 1 --first {{SEED}}

# Asks one node and a cluster the same questions and writes what differs into diff.md
diff *ARGS:
    cargo run --release --bin miroir-diff -- --report diff.md {{ARGS}}

# Breaks a cluster under load (nodes, gateway, group or slow-node) and looks for every acknowledged write
chaos SCENARIO="nodes" *ARGS:
    cargo run --release --bin miroir-chaos -- --scenario {{SCENARIO}} {{ARGS}}

# Measures the gateway beside proxies and bare scatters, and appends to bench/history.jsonl
bench *ARGS:
    cargo build --release -p gateway
    cargo run --release -p bench -- compare {{ARGS}}

# Writes docs/options.md anew from the options' doc comments
options-doc:
    UPDATE=1 cargo test -p gateway --lib option_table

# Writes docs/errors.md and the dashboard anew
references:
    python3 docs/generate.py
    "${CARGO_TARGET_DIR:-target}/deploy-tools/python/bin/python" deploy/grafana/generate.py

# Writes docs/metrics.md anew from the table of metrics
metrics-doc:
    UPDATE=1 cargo test -p gateway --lib metrics_document
