#!/bin/sh
# Installs the daemon as a service of this host, or a newer version over an older one: packages of the system, a virtual
# environment in $PREFIX, user, folders, config and unit. What is right already is not touched, a config never.
# $SEAFILE_USER and $SEAFILE_CONF name Seafile's user and its folder conf, where they cannot be found.
set -eu
cd "$(dirname "$0")/.."
target=install
what=run
. tools/installed.sh
. tools/packages.sh

main() {
    umask 022
    check_host
    choose_prefix
    check_links
    find_seafile
    choose_user
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM HUP
    install_packages
    make_environment
    make_links
    make_user_and_folders
    make_config
    make_unit
    run_service
    forget_old_versions
    tell_what_next
}

# --- what is there

check_links() {
    for name in $programs; do
        [ ! -e "$bin/$name" ] && [ ! -L "$bin/$name" ] || is_ours "$bin/$name" ||
            stop "$bin/$name is there and is none of ours: move it away, then run make install again"
    done
}

# Seafile's folder conf, as $SEAFILE_CONF says, or the running server, or else in the usual places.
find_seafile() {
    conf=${SEAFILE_CONF:-}
    seaf_server=$(find_seaf_server)
    if [ -n "$conf" ]; then
        [ -d "$conf" ] || stop "SEAFILE_CONF is '$conf', and there is no such folder"
    elif [ -n "$seaf_server" ]; then
        conf=$(tr '\0' '\n' <"/proc/$seaf_server/cmdline" | sed -n '/^-F$/{n;p;q}')
    fi
    for each in /opt/seafile ~seafile ~seafile/seafile /srv/seafile /opt/haiwen ~haiwen; do
        [ -z "$conf" ] || return 0
        [ ! -e "$each/conf/seafevents.conf" ] && [ ! -e "$each/conf/.env" ] || conf=$each/conf
    done
}

# Prints the number of a running seaf-server, but for those in containers: their users and folders are not ours.
find_seaf_server() {
    for each in /proc/[0-9]*; do
        if [ "$(cat "$each/comm" 2>/dev/null)" = seaf-server ] && [ "$each/root" -ef / ]; then
            echo "${each#/proc/}"
            return
        fi
    done
}

# SEAFILE_USER, or as it was; for a new config Seafile's user, if there is one; for an old one whose data is there.
choose_user() {
    was_user=$(installed_user)
    if [ -n "${SEAFILE_USER:-}" ]; then
        user=$SEAFILE_USER
    elif [ -n "$was_user" ]; then
        user=$was_user
    elif [ ! -e $config ] && [ -n "$conf" ]; then
        user=$(owner_of_seafile)
    elif [ -e $config ] && [ -d $data ]; then
        user=$(stat -c %U $data)
        [ "$user" != root ] || user=odl-daemon
    else
        user=odl-daemon
    fi
    [ "$user" = odl-daemon ] || check_user
}

installed_user() {
    [ ! -e $unit ] || sed -n 's/^User=//p' $unit
}

owner_of_seafile() {
    if [ -n "$seaf_server" ]; then
        owner=$(stat -c %U "/proc/$seaf_server")
    else
        owner=$(stat -c %U "$conf")
    fi
    [ "$owner" != root ] || stop "Seafile in $conf runs as root, so the daemon would have to: better give Seafile a user of" \
        "its own; or say SEAFILE_USER=root if that is meant, SEAFILE_USER=odl-daemon if the daemon need not reach Seafile's socket"
    echo "$owner"
}

check_user() {
    case $user in -* | *[!A-Za-z0-9._-]*) stop "SEAFILE_USER is '$user': expected a name of letters, digits and . _ -" ;; esac
    found=$(getent passwd "$user" | cut -d : -f 1)
    [ "$found" = "$user" ] || stop "the service cannot run as '$user', this host knows no user of that name: set SEAFILE_USER"
}

# --- the program

# Each version has a folder of its own, and .venv leads to the one that is in use: a build that fails changes nothing.
make_environment() {
    mkdir -p "$prefix/versions"
    exec 9<"$prefix/versions"
    flock 9
    copy_sources
    version=$(name_of_version)
    [ "$(readlink "$prefix/.venv" || true)" != "versions/$version" ] || [ ! -e "$prefix/versions/$version/.made" ] || return 0
    [ -e "$prefix/versions/$version/.made" ] || build "$prefix/versions/$version"
    switch_to "$version"
}

# pip builds where the sources lie, and would leave its work there.
copy_sources() {
    mkdir "$work/sources"
    cp -R pyproject.toml README.md LICENSE src "$work/sources/"
    find "$work/sources" \( -name __pycache__ -o -name '*.egg-info' \) -prune -exec rm -rf {} +
}

name_of_version() {
    number=$(sed -n 's/^__version__ = "\([A-Za-z0-9.+]*\)".*/\1/p' "$work/sources/src/odl_daemon/__init__.py")
    digest=$({
        "$(python)" -V
        cd "$work/sources" && find . -type f -print0 | sort -z | xargs -0 sha256sum
    } | sha256sum | cut -c 1-12)
    echo "$number-$digest"
}

build() {
    say "installing odl-daemon and what it imports into $1"
    rm -rf "$1"
    {
        "$(python)" -m venv "$1" &&
            "$1/bin/python" -m pip install --quiet --disable-pip-version-check "$work/sources" &&
            "$1/bin/odl" --version >/dev/null
    } || {
        rm -rf "$1"
        stop "odl-daemon could not be installed, it says above why; what was installed before is as it was"
    }
    touch "$1/.made"
}

switch_to() {
    [ -L "$prefix/.venv" ] || [ ! -e "$prefix/.venv" ] || mv "$prefix/.venv" "$prefix/versions/by-hand"
    note_change
    ln -sfn "versions/$1" "$prefix/.venv.new"
    mv -T "$prefix/.venv.new" "$prefix/.venv"
}

make_links() {
    for name in $programs; do
        [ "$(readlink "$bin/$name" || true)" = "$prefix/.venv/bin/$name" ] || ln -sfn "$prefix/.venv/bin/$name" "$bin/$name"
    done
}

# --- user, folders, config

make_user_and_folders() {
    if [ "$user" = odl-daemon ]; then
        put $sysusers <systemd/odl-daemon.sysusers
        systemd-sysusers $sysusers
    else
        rm -f $sysusers
    fi
    group=$(id -gn "$user")
    # The groups of a directory service may have blanks.
    case $group in -* | *[!A-Za-z0-9._-]*) group=$(id -g "$user") ;; esac
    give_data
    sed "s/ odl-daemon odl-daemon / $user $group /; s/ root odl-daemon / root $group /" systemd/odl-daemon.tmpfiles >"$work/tmpfiles"
    put $tmpfiles <"$work/tmpfiles"
    systemd-tmpfiles --create $tmpfiles
}

# Data and config of another user, whom the daemon ran as before.
give_data() {
    [ -d $data ] && [ "$(stat -c %U $data)" != "$user" ] || return 0
    say "giving $data to $user"
    ! systemd_runs || systemctl stop odl-daemon 2>/dev/null || true
    chown -R -h "$user:$group" $data
    [ ! -e $config ] || chgrp "$group" $config
}

make_config() {
    [ ! -e $config ] || return 0
    if [ -n "$conf" ] && "$prefix/.venv/bin/odl" import-seafevents --state-dir $data/state "$conf" >"$work/config.toml"; then
        say "making $config for Seafile in $conf"
    elif [ -n "${SEAFILE_CONF:-}" ]; then
        stop "there is no config yet, and none could be made from SEAFILE_CONF, for the reason above"
    else
        [ -z "$conf" ] || say "so Seafile in $conf is left alone; SEAFILE_CONF=... can name another folder"
        say "making $config for libraries that are folders in $data/library"
        cp systemd/config.toml "$work/config.toml"
    fi
    install -m 640 -o root -g "$group" "$work/config.toml" $config.new
    mv $config.new $config
}

# --- the service

make_unit() {
    sed "s|^ExecStart=/opt/odl-daemon/|ExecStart=$prefix/|; s/^User=.*/User=$user/; s/^Group=.*/Group=$group/" \
        systemd/odl-daemon.service >"$work/unit"
    put $unit <"$work/unit"
    as_user "$prefix/.venv/bin/python" -m odl_daemon.cli.unit_paths --make $config || true
    if as_user "$prefix/.venv/bin/python" -m odl_daemon.cli.unit_paths $config >"$work/paths" 2>/dev/null; then
        if [ -s "$work/paths" ]; then
            put $drop_in <"$work/paths"
        elif [ -e $drop_in ]; then
            note_change
            rm $drop_in
        fi
    fi
}

# The file becomes what comes in.
put() {
    cat >"$work/new"
    cmp -s "$work/new" "$1" && return
    note_change
    mkdir -p "${1%/*}"
    install -m 644 "$work/new" "$1.new"
    mv "$1.new" "$1"
}

# What runs has to be restarted for it; on the disk, so that an installation that is cut off leaves nothing forgotten.
note_change() {
    touch "$prefix/versions/.changed"
}

run_service() {
    if ! systemd_runs; then
        say "systemd does not run here, so the service is not started: it will be when this system boots"
        enable_if_it_can_work
        return
    fi
    systemctl daemon-reload
    if systemctl is-active --quiet odl-daemon; then
        [ ! -e "$prefix/versions/.changed" ] || await_start restart
    else
        enable_if_it_can_work
        await_start start
    fi
}

# The first start waits until the config is right: it may still name tasks that another worker does.
enable_if_it_can_work() {
    if needs_credentials || check >"$work/check" 2>&1; then
        systemctl --quiet enable odl-daemon
        return
    fi
    cat "$work/check" >&2
    stop "all is installed, but the daemon cannot work yet, so it is neither enabled nor started: mend what is marked FAIL above" \
        "(the settings are in $config), then run make install again"
}

# They are there only while the service runs.
needs_credentials() {
    cat $unit.d/*.conf 2>/dev/null | grep -q '^LoadCredential\|^SetCredential'
}

await_start() {
    timeout 100 systemctl "$1" odl-daemon ||
        stop "the daemon did not $1; \`journalctl -u odl-daemon\` has its reasons; the version before is still in $prefix/versions"
}

# What is running uses its version until here, and the note of a change goes with the old one.
forget_old_versions() {
    find "$prefix/versions" -mindepth 1 -maxdepth 1 ! -name "$version" -exec rm -rf {} +
    [ -z "$was_prefix" ] || [ "$was_prefix" = "$prefix" ] || remove_program "$was_prefix"
}

tell_what_next() {
    if ! check; then
        say "what is marked FAIL above has to be mended; the settings are in $config"
    fi
    ! systemd_runs || say "odl-daemon is running as $user. What now?
    odl --config $config add https://...    hand over a link; \`odl --help\` has the rest
    journalctl -f -u odl-daemon    see what it does
    systemctl reload odl-daemon    after a change in $config"
}

check() {
    as_user "$prefix/.venv/bin/odl" --config $config check
}

# The service's user, with what the service has in its hands, and nothing of ours.
as_user() {
    credentials=/run/credentials/odl-daemon.service
    [ -d $credentials ] || credentials=
    (cd / && runuser -u "$user" -- env -i PATH="$PATH" LANG=C.UTF-8 ${credentials:+CREDENTIALS_DIRECTORY=$credentials} "$@")
}

say() {
    echo "install: $*" >&2
}

stop() {
    say "$*"
    exit 2
}

main
