# A Debian tree on this machine, with this project and this machine's ways to packages in it; for scripts that say which
# `suite`, which `packages` it has from the start, and its `base` and `tree` in $home. FRESH_WORK_TREE=1 takes the files
# of the project as they are, uncommitted work included.
home=${FRESH_DIR:-/var/tmp/odl-fresh}

make_base() {
    [ ! -e "$base/.made" ] || return 0
    rm -rf "$base"
    mkdir -p "$home"
    debootstrap --variant=minbase --include="$packages" "$suite" "$base" "${FRESH_MIRROR:-$(mirror)}"
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
    mkdir -p "$tree/root/project"
    if [ -n "${FRESH_WORK_TREE:-}" ]; then
        git ls-files -z -co --exclude-standard | tar --null -T - -c | tar -x -C "$tree/root/project"
    else
        git clone --quiet --no-hardlinks . "$tree/root/project"
    fi
    # make would trust neither the owner of the files nor their age
    chown -R 0:0 "$tree/root/project"
}

# Ends in the command, which runs in the tree with this machine's network; to be called in mount and pid namespaces of
# its own.
enter_tree() {
    mount --rbind "$tree" "$tree"
    mount -t proc proc "$tree/proc"
    mount --rbind /dev "$tree/dev"
    mount -t tmpfs tmpfs "$tree/run"
    mount -t tmpfs tmpfs "$tree/tmp"
    for folder in $(folders_of_pip); do
        mkdir -p "$tree$folder"
        mount --rbind -o ro "$folder" "$tree$folder"
    done
    mkdir -p "$tree/run/host"
    cd "$tree"
    # Not chroot: user namespaces, which the sandbox is made of, are refused there.
    pivot_root . run/host
    umount -l /run/host
    exec env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 CI="${CI:-}" \
        $(settings) "$@"
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
