# shellcheck shell=bash
# Sourced by the scripts one folder up: where the repository is, how they speak, how they become root.
# Everything that is said goes to stderr, so that stdout belongs to the command that a script runs.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:${CARGO_HOME:-${HOME:-/nonexistent}/.cargo}/bin"

say() { printf '%s\n' "$*" >&2; }

# die CODE MESSAGE…: 1 the run failed, 2 usage, 3 this machine is not usable (the codes of the `fourtuple` command).
die() {
    local code=$1
    shift
    say "${0##*/}: $*"
    exit "$code"
}

have() { command -v "$1" >/dev/null 2>&1; }

# The comment block at the head of a script is its help text.
usage() { awk 'NR == 1 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$0"; }

# What to put before a command that needs root; prints nothing when we are root, fails when we cannot become it.
# Never prompts: a script that waits for a password in a pipeline looks like one that hangs.
root_prefix() {
    if [ "$(id -u)" -eq 0 ]; then return 0; fi
    if have sudo && sudo -n true 2>/dev/null; then
        echo "sudo -n"
        return 0
    fi
    return 1
}

# version_at_least HAVE WANT, dotted numbers
version_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# The folder that cargo builds into, whoever decided it (CARGO_TARGET_DIR, .cargo/config.toml, the default).
cargo_target_dir() {
    (cd "$root" && { cargo metadata --format-version 1 --no-deps --offline 2>/dev/null || cargo metadata --format-version 1 --no-deps; }) |
        sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}
