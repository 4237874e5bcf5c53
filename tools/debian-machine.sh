#!/bin/sh
# A Debian tree with systemd in it, for the tests of the service (root, debootstrap, systemd-container):
# `debian-machine.sh make SUITE` makes it anew, with the project in /root/project;
# `debian-machine.sh enter SUITE COMMAND...` runs a command in it as in a container, without systemd, with a network;
# `debian-machine.sh boot SUITE` runs it as a machine without a network, until its own systemd ends.
set -eu
cd "$(dirname "$0")/.."
. tools/debian-tree.sh
verb=$1
suite=$2
shift 2
packages=make,git,systemd-sysv
base=$home/$suite-systemd
tree=$home/$suite-machine

main() {
    case $verb in
    make)
        make_base
        make_tree
        echo "$tree"
        ;;
    enter) alone entered "$@" ;;
    entered) enter_tree "$@" ;;
    boot) exec unshare --mount --propagation private sh tools/debian-machine.sh booted "$suite" ;;
    booted) boot ;;
    *) echo "debian-machine.sh: make, enter or boot, not $verb" >&2; exit 2 ;;
    esac
}

alone() {
    next=$1
    shift
    exec unshare --mount --pid --fork --kill-child --propagation private sh tools/debian-machine.sh "$next" "$suite" "$@"
}

# nspawn would tell this host's systemd of it: it sees none. To end it, end its pid 1.
boot() {
    mount -t tmpfs tmpfs /run
    exec systemd-nspawn --quiet --directory="$tree" --machine=odl-test --boot --register=no --keep-unit --console=pipe \
        --private-network --resolv-conf=off --timezone=off --link-journal=no --kill-signal=SIGRTMIN+3
}

main "$@"
