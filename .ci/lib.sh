# What the scripts of this folder share; they source it.

say() {
    printf '\n== %s ==\n' "$*"
}

# Debian keeps servers where only root's shell looks.
PATH=$PATH:/usr/sbin

# Sees to programs that the arguments name as PROGRAM=PACKAGE. Root on Debian or Ubuntu gets the packages of those that
# are missing, without the services that some of them start; everybody else is told which they are.
install_packages() {
    local -A missing=()
    local pair policy=/usr/sbin/policy-rc.d
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || missing[${pair#*=}]=1
    done
    if ((${#missing[@]} == 0)); then
        return
    fi
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        printf 'missing tools; on Debian or Ubuntu: apt-get install %s\n' "${!missing[*]}" >&2
        exit 1
    fi
    say "installing ${!missing[*]}"
    apt-get update -q
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${!missing[@]}"
}

# Sees to the tools that building and testing need. The engine inside `node` builds C and C++ code; the store is tested
# on Redis, and the stream of changes on NATS. Further ones are named as PROGRAM=PACKAGE.
install_missing() {
    install_packages git=git cc=build-essential c++=build-essential make=build-essential perl=perl \
        redis-server=redis-server nats-server=nats-server "$@"
    if ! command -v cargo >/dev/null; then
        echo 'cargo is missing: see https://rustup.rs' >&2
        exit 1
    fi
}

# Runs all tests, or those that the arguments name as `cargo test` has it. Ends with one line that sums up the test
# binaries' own, and with their status.
run_tests() {
    local -a selection=("$@")
    if ((${#selection[@]} == 0)); then
        selection=(--workspace)
    fi
    say "cargo test ${selection[*]}"
    local log status=0
    log=$(mktemp)
    # Tests that ask for a panic would fill the log with backtraces. What has failed is said once more at the end.
    RUST_BACKTRACE=0 cargo test --no-fail-fast "${selection[@]}" 2>&1 | tee "$log" || status=$?
    awk '/^failures:$/ { shown = 1 } /^test result:/ { shown = 0 } shown' "$log" | cut -c1-1000
    # Each test binary counts for itself; this is the sum.
    awk '/^test result:/ { passed += $4; failed += $6 } END { printf "\n%d passed, %d failed\n", passed, failed }' "$log"
    rm -f "$log"
    return "$status"
}
