# Which packages of the system the project needs, and how they come here; for scripts that are run in the project's folder.
# They say `what` they are about to do (run, test or systemd), and have `say` and `stop` to speak with.

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
        case $what in test | systemd)
            has nginx || echo nginx
            has mariadbd || echo mariadb-server
            has systemd-analyze || echo systemd
            # Seafile's own client, in the system's Python: our stand-in for the server is held against it
            /usr/bin/python3 -c 'import pysearpc' 2>/dev/null || echo python3-searpc
            # aria2's client for JavaScript: the door that speaks as aria2 does is held against it
            has chromium || echo chromium
            has node || echo nodejs
            has npm || echo npm
            ;;
        esac
        if [ "$what" = systemd ]; then
            has debootstrap || echo debootstrap
            has systemd-nspawn || echo systemd-container
        fi
    } | paste -s -d ' '
}

has() {
    command -v "$1" >/dev/null
}

# Prints a Python that is new enough and can make environments; the system's own before any other.
python() {
    for each in "${PYTHON:-/usr/bin/python3}" python3 python3.13 python3.12 python3.11; do
        if "$each" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$each"
            return
        fi
    done
}
