#!/bin/sh
# Proves the set-up where nothing was ever installed: a minimal Debian tree, in it a clone of this checkout, `make run`
# with a link, the same again without a network, `make test`. Needs root and debootstrap; the tree and what was learnt
# lie in $FRESH_DIR. How this host reaches its packages is carried over as it stands: sources and keys of apt, pip's
# settings, certificates. FRESH_WORK_TREE=1 takes the files as they are, uncommitted work included; FRESH_STEPS="user run
# again test" are the steps.
set -eu
cd "$(dirname "$0")/.."
suite=${1:-bookworm}
home=${FRESH_DIR:-/var/tmp/odl-fresh}
steps=${FRESH_STEPS:-user run anybody again test}
base=$home/$suite
tree=$home/$suite-tree

main() {
    case ${FRESH_STAGE:-outside} in
    outside)
        make_base
        make_tree
        FRESH_STAGE=alone exec unshare --mount --pid --fork --kill-child --propagation private \
            sh tools/fresh-machine.sh "$suite"
        ;;
    alone) enter ;;
    esac
}

# --- the tree

make_base() {
    [ ! -e "$base/.made" ] || return 0
    rm -rf "$base"
    mkdir -p "$home"
    debootstrap --variant=minbase --include=make,git "$suite" "$base" "${FRESH_MIRROR:-$(mirror)}"
    touch "$base/.made"
}

# Where this host has its Debian packages from.
mirror() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
        sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' | head -n 1
}

make_tree() {
    rm -rf "$tree"
    cp -a --reflink=auto "$base" "$tree"
    carry_apt
    carry_certificates
    cp -L /etc/resolv.conf /etc/hosts "$tree/etc/"
    carry_pip
    carry_project
}

carry_apt() {
    own=$(. /etc/os-release && echo "$VERSION_CODENAME")
    cp -a /etc/apt/apt.conf.d /etc/apt/auth.conf.d /etc/apt/keyrings /etc/apt/trusted.gpg.d "$tree/etc/apt/" 2>/dev/null || true
    [ "$suite" = "$own" ] || return 0
    cp -a /etc/apt/sources.list.d "$tree/etc/apt/"
    [ ! -s /etc/apt/sources.list ] || cp /etc/apt/sources.list "$tree/etc/apt/"
}

# The certificates that this host trusts, one a file, as an admin would add them to a new machine.
carry_certificates() {
    [ -s /etc/ssl/certs/ca-certificates.crt ] || return 0
    folder=$tree/usr/local/share/ca-certificates/host
    mkdir -p "$folder"
    awk -v folder="$folder" '/BEGIN CERT/ { n++ } { print > (folder "/" n ".crt") }' /etc/ssl/certs/ca-certificates.crt
}

carry_pip() {
    for each in /etc/pip.conf /etc/xdg/pip "$HOME/.config/pip" "$HOME/.pip"; do
        [ ! -e "$each" ] || { mkdir -p "$tree$(dirname "$each")" && cp -aL "$each" "$tree$each"; }
    done
}

carry_project() {
    if [ -n "${FRESH_WORK_TREE:-}" ]; then
        mkdir -p "$tree/root/project"
        git ls-files -z -co --exclude-standard | tar --null -T - -c | tar -x -C "$tree/root/project"
    else
        git clone --quiet --no-hardlinks . "$tree/root/project"
    fi
    # make would trust neither the owner of the files nor their age
    chown -R 0:0 "$tree/root/project"
    mkdir -p "$tree/home/somebody" && cp -a "$tree/root/project" "$tree/home/somebody/"
    chown -R 1000:1000 "$tree/home/somebody"
}

# --- in the tree

enter() {
    mount --rbind "$tree" "$tree"
    mount -t proc proc "$tree/proc"
    mount --rbind /dev "$tree/dev"
    mount -t tmpfs tmpfs "$tree/run"
    mount -t tmpfs tmpfs "$tree/tmp"
    for folder in $(folders_of_pip); do
        mkdir -p "$tree$folder"
        mount --rbind -o ro "$folder" "$tree$folder"
    done
    cp tools/fresh-steps.sh "$tree/run/steps"
    mkdir -p "$tree/run/host"
    cd "$tree"
    # Not chroot: user namespaces, which the sandbox is made of, are refused there.
    pivot_root . run/host
    umount -l /run/host
    exec env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 CI="${CI:-}" \
        $(settings) sh /run/steps $steps
}

# Folders of this host that pip's settings point to.
folders_of_pip() {
    {
        cat /etc/pip.conf /etc/xdg/pip/* "$HOME/.config/pip"/* "$HOME/.pip"/* 2>/dev/null
        env | grep '^PIP_'
    } | grep -o '\(file://\)\{0,1\}/[^ ,]*' | sed 's|^file://||' | while read -r path; do
        path=$(echo "$path" | sed 's|^/\(opt/[^/]*\)/.*|/\1|')
        case $path in /etc/* | /root/*) ;; *) [ ! -d "$path" ] || echo "$path" ;; esac
    done | sort -u
}

# Variables that say how to reach package indexes and whom to trust, where their values are single words.
settings() {
    env | grep -E '^(PIP_[A-Z_]*|[A-Za-z]*_(proxy|PROXY)|[A-Z_]*CA_BUNDLE|SSL_CERT_(FILE|DIR))=[^ ]*$' || true
}

main
