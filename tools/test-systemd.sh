#!/bin/sh
# Boots a Debian machine in a folder and tests the service in it. SUITE=trixie has another Debian; the trees lie in
# $FRESH_DIR.
set -eu
cd "$(dirname "$0")/.."

if [ "$(id -u)" != 0 ]; then
    echo "test-systemd: only root can boot a machine: sudo make test-systemd" >&2
    exit 2
fi
sh tools/setup.sh systemd
exec .venv/bin/pytest -m systemd tests/systemd "$@"
