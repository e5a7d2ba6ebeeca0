#!/bin/sh
# Removes what deploy/install.sh has installed.
#
#   deploy/uninstall.sh [--purge] [--root DIR]
#
# /etc/siphon, /var/lib/siphond, the tables in /dev/shm and the user siphond stay, unless --purge is given.
set -eu

root=
purge=

say() { printf '%s\n' "$*"; }
die() { printf 'uninstall.sh: %s\n' "$*" >&2; exit 1; }

while [ $# -gt 0 ]; do
    case $1 in
    --root) [ $# -gt 1 ] || die "--root needs a directory"; root=$(CDPATH='' cd -- "$2" && pwd -P); shift 2 ;;
    --purge) purge=yes; shift ;;
    -h | --help) sed -n '2,/^set -eu/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) die "unknown argument: $1 (see --help)" ;;
    esac
done
[ -n "$root" ] || [ "$(id -u)" = 0 ] || die "must be root (or --root DIR)"

# drop PATH...: what is there is removed and named.
drop() {
    for path; do
        [ -e "$path" ] || [ -L "$path" ] || continue
        rm -rf -- "$path"
        say "removed    $path"
    done
}

stop() {
    [ -z "$root" ] && [ -d /run/systemd/system ] || return 0
    systemctl disable --now siphond.service 2>/dev/null || say "it was not enabled"
}

stop
drop "$root/etc/systemd/system/siphond.service"
[ -n "$root" ] || [ ! -d /run/systemd/system ] || systemctl daemon-reload
for name in siphond siphonctl; do
    [ "$(readlink "$root/usr/local/bin/$name")" != "/opt/siphond/bin/$name" ] || drop "$root/usr/local/bin/$name"
done
[ ! -e "$root/opt/siphond/pyvenv.cfg" ] || drop "$root/opt/siphond"

if [ -z "$purge" ]; then
    say "kept       $root/etc/siphon and $root/var/lib/siphond (--purge removes them)"
    exit 0
fi
drop "$root/etc/siphon" "$root/var/lib/siphond"
if [ -z "$root" ] && id siphond >/dev/null 2>&1; then
    drop /dev/shm/siphond
    userdel siphond
    say "removed    the user siphond"
fi
