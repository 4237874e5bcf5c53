#!/bin/sh
# Brings a machine to where the project runs (`setup.sh run`) or is tested (`setup.sh test`; `setup.sh systemd` in a
# machine of its own, too): packages of the system, then a virtual environment in .venv. What is there already is not
# touched; the second time takes no network and no time.
set -eu
cd "$(dirname "$0")/.."
what=$1
. tools/packages.sh

main() {
    mkdir -p .cache
    exec 9>.cache/setup.lock
    flock 9
    install_packages
    make_environment
    [ "$what" != test ] || fetch_clients
}

# --- the virtual environment

make_environment() {
    if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        say "making .venv with $(python)"
        "$(python)" -m venv --clear .venv
    fi
    case $what in run) kind=run extra= ;; *) kind=test extra="[test]" ;; esac
    if ! up_to_date $kind && ! up_to_date test; then
        say "installing odl-daemon and what it imports into .venv"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".$extra" ||
            stop "pip could not install the project; it says above why"
        wanted >".venv/made-for-$kind"
    fi
}

# aria2's client for JavaScript: the door that speaks as aria2 does is held against it.
fetch_clients() {
    [ ! -d .cache/node/node_modules/aria2 ] || return 0
    say "fetching aria2's client for JavaScript into .cache/node"
    npm install --prefix .cache/node --no-save --no-audit --no-fund --loglevel=error aria2@4.1.2 >/dev/null ||
        stop "npm could not fetch it; it says above why"
}

up_to_date() {
    [ "$(cat ".venv/made-for-$1" 2>/dev/null)" = "$(wanted)" ]
}

# What an environment is made from: if it changes, pip has to look again.
wanted() {
    .venv/bin/python -V
    pwd
    sha256sum pyproject.toml
}

say() {
    echo "set-up: $*" >&2
}

stop() {
    say "$*"
    exit 2
}

main
