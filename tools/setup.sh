#!/bin/sh
# Brings a machine to where the project runs (`setup.sh run`) or is tested (`setup.sh test`): packages of the system, then
# a virtual environment in .venv. What is there already is not touched; the second time takes no network and no time.
set -eu
cd "$(dirname "$0")/.."
what=$1

main() {
    mkdir -p .cache
    exec 9>.cache/setup.lock
    flock 9
    install_packages
    make_environment
    [ "$what" != test ] || fetch_clients
}

# --- packages of the system

install_packages() {
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null; then
        stop "this system has no apt-get: install what Debian calls $missing, then run make again"
    elif [ "$(id -u)" = 0 ]; then
        sh tools/apt-install.sh $missing
    elif sudo -n true 2>/dev/null; then
        sudo -n sh tools/apt-install.sh $missing
    else
        stop "something is missing here that only root can install. Run this once, then make again:
    sudo apt-get install --no-install-recommends $missing"
    fi
    missing=$(missing_packages)
    [ -z "$missing" ] || stop "apt-get ended well, and this is still missing: $missing"
}

missing_packages() {
    {
        has aria2c || echo aria2
        has bwrap || echo bubblewrap
        [ -n "$(python)" ] || echo python3-venv
        [ -s /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
        if [ "$what" = test ]; then
            has nginx || echo nginx
            has mariadbd || echo mariadb-server
            has systemd-analyze || echo systemd
            # Seafile's own client, in the system's Python: our stand-in for the server is held against it
            /usr/bin/python3 -c 'import pysearpc' 2>/dev/null || echo python3-searpc
            has node || echo nodejs
            has npm || echo npm
        fi
    } | paste -s -d ' '
}

has() {
    command -v "$1" >/dev/null
}

# --- the virtual environment

# Prints a Python that is new enough and can make environments; the system's own before any other.
python() {
    for each in "${PYTHON:-/usr/bin/python3}" python3 python3.13 python3.12 python3.11; do
        if "$each" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$each"
            return
        fi
    done
}

make_environment() {
    if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        say "making .venv with $(python)"
        "$(python)" -m venv --clear .venv
    fi
    if ! up_to_date "$what" && ! up_to_date test; then
        say "installing odl-daemon and what it imports into .venv"
        case $what in run) extra= ;; *) extra="[$what]" ;; esac
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".$extra" ||
            stop "pip could not install the project; it says above why"
        wanted >".venv/made-for-$what"
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
