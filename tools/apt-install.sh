#!/bin/sh
# Installs Debian packages, as root: `apt-install.sh PACKAGE...`. Services that come with them are neither started
# nor enabled: the tests start their own.
set -eu
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d

main() {
    echo "set-up: installing $*" >&2
    forbid_starts
    lists_are_fresh || apt update
    apt install --no-install-recommends "$@" || { apt update && apt install --no-install-recommends "$@"; }
    leave_disabled "$@"
}

apt() {
    action=$1
    shift
    # What apt says matters only if it fails.
    said=$(apt-get -y -q -o DPkg::Lock::Timeout=300 "$action" "$@" 2>&1 </dev/null) && return
    printf '%s\n' "$said" >&2
    return 1
}

lists_are_fresh() {
    [ -n "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mtime -1 -print -quit 2>/dev/null)" ]
}

# Maintainer scripts ask this program before they start anything (invoke-rc.d(8)); 101 means no.
forbid_starts() {
    [ ! -e $policy ] || return 0
    trap 'rm -f $policy' EXIT
    trap 'exit 1' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
}

leave_disabled() {
    command -v systemctl >/dev/null || return 0
    for package in "$@"; do
        case $package in
        nginx) systemctl disable --quiet nginx 2>/dev/null || true ;;
        mariadb-server) systemctl disable --quiet mariadb 2>/dev/null || true ;;
        esac
    done
}

main "$@"
