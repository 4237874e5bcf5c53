#!/bin/sh
# Removes the service that `make install` made: unit, program, links. Data, config and user stay, and it says so.
set -eu
cd "$(dirname "$0")/.."
target=uninstall
. tools/installed.sh

main() {
    check_host
    choose_prefix
    [ -z "$was_prefix" ] || [ "$was_prefix" = "$prefix" ] || stop "PREFIX is '$prefix', and the service is installed in $was_prefix"
    if [ ! -e $unit ] && [ ! -e "$prefix/.venv" ]; then
        say "nothing is installed here"
        return
    fi
    end_service
    remove_links
    [ ! -d "$prefix" ] || remove_program "$prefix"
    tell_what_stays
}

end_service() {
    ! systemd_runs || systemctl stop odl-daemon 2>/dev/null || true
    systemctl --quiet disable odl-daemon 2>/dev/null || true
    rm -f $unit $drop_in $sysusers $tmpfiles
    [ ! -d $unit.d ] || rmdir $unit.d 2>/dev/null || say "$unit.d stays: it holds lines of yours"
    ! systemd_runs || systemctl daemon-reload
}

remove_links() {
    for name in $programs; do
        ! is_ours "$bin/$name" || rm "$bin/$name"
    done
}

tell_what_stays() {
    say "the service is gone. What stays, and what removes it:"
    [ ! -d $data ] || echo "    the data: rm -r $data" >&2
    [ ! -d $settings ] || echo "    the settings: rm -r $settings" >&2
    ! getent passwd odl-daemon >/dev/null || echo "    the user: userdel odl-daemon" >&2
}

say() {
    echo "uninstall: $*" >&2
}

stop() {
    say "$*"
    exit 2
}

main
