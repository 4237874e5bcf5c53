# Where an installation lies, and what both `make install` and `make uninstall` ask first; they have `say` and `stop`.
unit=/etc/systemd/system/odl-daemon.service
drop_in=$unit.d/paths.conf
sysusers=/etc/sysusers.d/odl-daemon.conf
tmpfiles=/etc/tmpfiles.d/odl-daemon.conf
settings=/etc/odl-daemon
config=$settings/config.toml
data=/var/lib/odl-daemon
bin=/usr/local/bin
programs="odl odl-daemon"
# Patterns below mean bytes.
LC_ALL=C
export LC_ALL

check_host() {
    [ "$(id -u)" = 0 ] || stop "only root can do that: sudo make $target"
    for program in systemctl systemd-sysusers systemd-tmpfiles; do
        command -v $program >/dev/null || stop "this host has no systemd ($program is missing), and the service needs it;" \
            "\`make run\` runs the daemon without"
    done
}

# PREFIX, or where it is installed already, or the usual place.
choose_prefix() {
    was_prefix=$(installed_prefix)
    prefix=${PREFIX:-${was_prefix:-/opt/odl-daemon}}
    case $prefix in
    [!/]*) stop "PREFIX is '$prefix', and has to be absolute: /opt/odl-daemon, for example" ;;
    *[!A-Za-z0-9._/+-]* | *//* | */./* | */../* | */. | */.. | */)
        stop "PREFIX is '$prefix': expected a path of letters, digits and . _ - +, without a slash at its end"
        ;;
    /home/* | /root/* | /run/* | /tmp/* | /var/tmp/*)
        stop "PREFIX is '$prefix', and the service sees nothing below /${prefix#/}: /opt/odl-daemon is a better place"
        ;;
    esac
}

installed_prefix() {
    [ ! -e $unit ] || sed -n 's|^ExecStart=\(/.*\)/\.venv/bin/odl-daemon .*|\1|p' $unit
}

# Only what we made: whatever else lies there stays, and the folder with it.
remove_program() {
    rm -rf "$1/versions"
    rm -f "$1/.venv"
    rmdir "$1" 2>/dev/null || say "$1 stays: it holds what is none of ours"
}

systemd_runs() {
    [ -d /run/systemd/system ]
}

is_ours() {
    case $(readlink "$1") in */.venv/bin/odl | */.venv/bin/odl-daemon) return 0 ;; esac
    return 1
}
