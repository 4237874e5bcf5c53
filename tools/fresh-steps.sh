#!/bin/sh
# What a newcomer does, step by step, inside the tree that fresh-machine.sh made; each step tells how long it took.
set -eu

main() {
    for step in "$@"; do
        began=$(date +%s)
        echo "=== $step"
        "step_$step"
        echo "=== $step: passed in $(($(date +%s) - began)) s"
    done
    echo "=== a fresh $(. /etc/os-release && echo "$PRETTY_NAME") is fine"
}

# Somebody without rights is told the one line, and make fails.
step_user() {
    if setpriv --reuid 1000 --regid 1000 --clear-groups env HOME=/home/somebody make -C /home/somebody/project run \
        >/tmp/said 2>&1; then
        fail "make run passed although nothing is installed"
    fi
    cat /tmp/said
    grep -q 'apt-get install .*aria2 bubblewrap' /tmp/said || fail "it did not say what to install"
}

step_run() {
    cd /root/project
    head -c 3000000 /dev/urandom >/tmp/file.bin
    # The server needs Python, which the set-up brings.
    make setup
    serve
    ODL_GUARD__ALLOW=127.0.0.0/8 make run URL="http://127.0.0.1:8765/file.bin?a=1&b=it's\$HOME;x"
    stop_serving
    same_file
}

# Once root has brought the packages, anybody may: pip and the sandbox need no rights.
step_anybody() {
    cp /tmp/file.bin /tmp/other.bin
    cd /home/somebody/project
    /root/project/.venv/bin/python -m http.server --bind 127.0.0.1 --directory /tmp 8767 >/tmp/web.log 2>&1 &
    server=$!
    ODL_GUARD__ALLOW=127.0.0.0/8 setpriv --reuid 1000 --regid 1000 --clear-groups env HOME=/home/somebody \
        make run URL=http://127.0.0.1:8767/other.bin
    stop_serving
    cmp /tmp/other.bin .run/library/default/other.bin || fail "the file in the library is another"
    grep -q proxy-only .run/config.toml && fail "the sandbox did not start for somebody without rights"
    return 0
}

# The same on a machine that has lost its network.
step_again() {
    cd /root/project
    bwrap --dev-bind / / --unshare-net sh -euc '
        .venv/bin/python -m http.server --bind 127.0.0.1 --directory /tmp 8766 >/tmp/web.log 2>&1 &
        trap "kill $!" EXIT
        .venv/bin/python -c "import socket, time
while socket.socket().connect_ex((\"127.0.0.1\", 8766)): time.sleep(0.05)"
        ODL_GUARD__ALLOW=127.0.0.0/8 make run URL=http://127.0.0.1:8766/file.bin'
}

step_test() {
    cd /root/project
    make test
    began=$(date +%s)
    make setup-test
    echo "=== the second set-up took $(($(date +%s) - began)) s"
}

serve() {
    .venv/bin/python -m http.server --bind 127.0.0.1 --directory /tmp 8765 >/tmp/web.log 2>&1 &
    server=$!
    .venv/bin/python -c 'import socket, time
while socket.socket().connect_ex(("127.0.0.1", 8765)): time.sleep(0.05)'
}

stop_serving() {
    kill $server
}

same_file() {
    cmp /tmp/file.bin .run/library/default/file.bin || fail "the file in the library is another"
}

fail() {
    echo "=== $*" >&2
    exit 1
}

main "$@"
