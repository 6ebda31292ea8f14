#!/usr/bin/env bash
# Makes a release out of the commit that is checked out: programs, symbols, packages, list of parts, checksums.
#
#   deploy/release.sh [OUT]            builds and packs into OUT (default target/release-files)
#   deploy/release.sh verify [OUT]     builds once more in another folder and compares with what OUT holds
#   deploy/release.sh pack BIN OUT     packs programs that are there already
#
# The same commit and the same compiler give the same bytes, wherever it is checked out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

programs=(miroir miroir-ctl)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
host=$(rustc -vV | sed -n 's/^host: //p')
epoch=$(git log -1 --format=%ct)
commit=$(git rev-parse --short=12 HEAD)

# Builds into a target folder for a kind of processor. Paths of this machine are left out of the programs.
build() {
    local target=$1 flags=$2
    local cargo_home=${CARGO_HOME:-$HOME/.cargo}
    MIROIR_COMMIT=$commit SOURCE_DATE_EPOCH=$epoch CARGO_INCREMENTAL=0 \
        RUSTFLAGS="-C target-feature=+crt-static $flags --remap-path-prefix=$PWD=/src --remap-path-prefix=$cargo_home=/cargo" \
        cargo build --locked --profile ship --target "$host" --target-dir "$target" -p gateway -p ctl
}

# An archive whose bytes do not depend on when and by whom it is made.
archive() {
    local folder=$1 name=$2 out=$3
    tar --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner -C "$folder" -cf - "$name" | gzip -n -6 >"$out"
}

# Packs the programs of a folder: stripped ones with what they need beside them, and their symbols apart.
pack() {
    local bin=$1 out=$2 kind=$3
    local name=miroir-$version-$kind work program
    work=$(mktemp -d)
    mkdir -p "$work/$name/deploy" "$work/$name-symbols" "$out"
    for program in "${programs[@]}"; do
        objcopy --only-keep-debug "$bin/$program" "$work/$name-symbols/$program.debug"
        objcopy --strip-all "$bin/$program" "$work/$name/$program"
        # A debugger finds the symbols by the name and the checksum in this section.
        (cd "$work/$name-symbols" && objcopy --add-gnu-debuglink="$program.debug" "$work/$name/$program")
    done
    cp README.md CHANGELOG.md LICENSE SECURITY.md "$work/$name/"
    cp -r deploy/systemd deploy/proxy deploy/alerts deploy/grafana/miroir.json "$work/$name/deploy/"
    chmod -R u=rwX,go=rX "$work"
    archive "$work" "$name" "$out/$name.tar.gz"
    archive "$work" "$name-symbols" "$out/$name-symbols.tar.gz"
    rm -rf "$work"
}

checksums() {
    (cd "$1" && find . -maxdepth 1 -type f ! -name SHA256SUMS -printf '%f\n' | LC_ALL=C sort | xargs sha256sum >SHA256SUMS)
}

release() {
    local out=$1
    [[ -z $(git status --porcelain) ]] || { echo 'release: commit first; a release is made of a commit' >&2; exit 1; }
    grep -q "^## \[$version\]" CHANGELOG.md || { echo "release: CHANGELOG.md has no section for $version" >&2; exit 1; }
    rm -rf "$out"
    build target/ship-portable ''
    pack "target/ship-portable/$host/ship" "$out" "$host"
    if [[ $host == x86_64-* ]]; then
        # For processors with AVX2: SIMD of JSON is chosen when it is compiled.
        build target/ship-v3 '-C target-cpu=x86-64-v3 -C target-feature=+pclmulqdq'
        pack "target/ship-v3/$host/ship" "$out" "${host/x86_64/x86_64_v3}"
    fi
    install -D -t target/ship "target/ship-portable/$host/ship/miroir" "target/ship-portable/$host/ship/miroir-ctl"
    command -v cargo-deb >/dev/null || cargo install --locked cargo-deb
    SOURCE_DATE_EPOCH=$epoch cargo deb --no-build --profile ship -p gateway --output "$out"
    command -v cargo-cyclonedx >/dev/null || cargo install --locked cargo-cyclonedx
    SOURCE_DATE_EPOCH=$epoch cargo cyclonedx --manifest-path gateway/Cargo.toml --format json --override-filename miroir-sbom
    mv gateway/miroir-sbom.json "$out/miroir-$version-sbom.cdx.json"
    find . -name miroir-sbom.json -not -path './target/*' -delete
    checksums "$out"
    cat "$out/SHA256SUMS"
}

verify() {
    local out=$1 again
    again=$(mktemp -d)
    git worktree add --detach --quiet "$again/src" HEAD
    trap 'git worktree remove --force "$again/src"; rm -rf "$again"' EXIT
    (cd "$again/src" && build "$again/target" '' && pack "$again/target/$host/ship" "$again/out" "$host")
    local name=miroir-$version-$host.tar.gz
    cmp "$out/$name" "$again/out/$name"
    echo "$name: two builds in two folders, the same bytes"
}

case ${1:-} in
    pack) pack "$2" "$3" "${4:-$host}" && checksums "$3" ;;
    verify) verify "$(realpath "${2:-target/release-files}")" ;;
    *) release "$(realpath -m "${1:-target/release-files}")" ;;
esac
