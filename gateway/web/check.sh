#!/usr/bin/env bash
# Checks the web interfaces: types, tests of single functions, and that `dist/` is what the sources build.
# `check.sh browser` runs the tests in a real browser instead, against the `miroir-dev` that is built; screenshots go to
# the folder that MIROIR_SCREENSHOTS names.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"

if ! command -v npm >/dev/null; then
    echo 'npm is missing; on Debian or Ubuntu: apt-get install nodejs npm' >&2
    exit 1
fi
# Exactly the versions of the lock file, once for each version of it. No package runs a script of its own.
if ! cmp -s package-lock.json node_modules/.installed; then
    npm ci --ignore-scripts --no-audit --no-fund
    cp package-lock.json node_modules/.installed
fi

if [[ "${1:-}" == browser ]]; then
    MIROIR_WEB_TESTS=browser npx --no-install vitest run
    exit
fi

npx --no-install tsc --noEmit
npx --no-install vitest run

built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
node build.js "$built"
if ! diff -r "$built" dist >/dev/null; then
    diff -rq "$built" dist >&2 || true
    echo 'gateway/web/dist is not what its sources build: run `npm run build` in gateway/web and commit the result' >&2
    exit 1
fi
echo 'gateway/web/dist is what its sources build'
