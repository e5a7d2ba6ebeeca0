#!/bin/sh
# Installs siphond from this checkout as a service, or brings an installed one up to date.
#
#   deploy/install.sh [--pgo] [--root DIR]
#
# --pgo compiles by what calls make of the code (tools/pgo.py; needs GCC): takes some minutes more, and a call a tenth to
# a fifth less CPU.
#
#   /opt/siphond                          a Python environment of its own (${PYTHON:-python3}), siphond built into it,
#                                         README.md and docs/
#   /etc/siphon                           siphon.cfg, users.toml (without users), scripts/; what exists is never touched
#   /etc/systemd/system/siphond.service   the unit
#   /var/lib/siphond                      state, for the user siphond, who is made where missing
#   /usr/local/bin/siphond, siphonctl     links
#
# Nothing is started, and a running siphond is not restarted: the last lines say how. --root DIR puts everything below
# DIR instead, makes no user and asks for no root: to see what would be there.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "$0")")/.." && pwd -P)
root=
pgo=

say() { printf '%s\n' "$*"; }
die() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }

while [ $# -gt 0 ]; do
    case $1 in
    --root) [ $# -gt 1 ] || die "--root needs a directory"; mkdir -p -- "$2"; root=$(CDPATH='' cd -- "$2" && pwd -P); shift 2 ;;
    --pgo) pgo=yes; shift ;;
    -h | --help) sed -n '2,/^set -eu/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) die "unknown argument: $1 (see --help)" ;;
    esac
done
[ -n "$root" ] || [ "$(id -u)" = 0 ] || die "must be root (or --root DIR, to try it out)"

# own OWNER:GROUP FILE...: only where there is such a user.
own() { [ -n "$root" ] || chown "$@"; }

# keep MODE FILE: writes standard input to FILE unless something is there.
keep() {
    if [ -e "$2" ]; then
        say "kept       $2"
        cat >/dev/null
        return
    fi
    (umask 077 && cat >"$2.new")
    chmod "$1" "$2.new"
    own root:siphond "$2.new"
    mv "$2.new" "$2"
    say "written    $2"
}

make_user() {
    [ -z "$root" ] || return 0
    getent passwd siphond >/dev/null ||
        useradd --system --user-group --home-dir /var/lib/siphond --no-create-home --shell /usr/sbin/nologin siphond
}

pip() { "$root/opt/siphond/bin/python" -m pip --disable-pip-version-check --quiet --no-input "$@"; }

# Leaves in the copy what the compiler goes by, and the very Cython that has made the C which was counted. The copy takes
# that with it; what siphond needs is needed later too.
count() {
    # shellcheck disable=SC2046 # each line is one requirement, without blanks
    pip install $(requirements dependencies) </dev/null
    # shellcheck disable=SC2046
    pip install --target "$copy/tools/packages" $(requirements requires) </dev/null
    export PYTHONPATH="$copy/tools/packages"
    "$root/opt/siphond/bin/python" "$copy/tools/pgo.py" --count
    export SIPHOND_PGO="use:$copy/build/pgo/objects"
}

# requirements KEY: those that pyproject.toml names under this key.
requirements() {
    "$root/opt/siphond/bin/python" - "$copy/pyproject.toml" "$1" <<'PYTHON'
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    project = tomllib.load(file)
print(*(project["build-system"] | project["project"])[sys.argv[2]], sep="\n")
PYTHON
}

# Built from a copy, so that nothing of root's is left in the checkout.
install_program() {
    "$here/dev" packages
    copy=$(mktemp -d)
    trap 'rm -rf "$copy"' EXIT
    (cd "$here" && tar -cf - --exclude='*.so' --exclude='*.c' --exclude=__pycache__ siphon workers shm \
        setup.py pyproject.toml MANIFEST.in README.md LICENSE ${pgo:+bench tools/pgo.py tests/engine tests/recipe.py}) |
        tar -xf - -C "$copy"
    [ -x "$root/opt/siphond/bin/python" ] || "${PYTHON:-python3}" -m venv "$root/opt/siphond"
    [ -z "$pgo" ] || count
    pip wheel ${pgo:+--no-build-isolation} --no-deps --wheel-dir "$copy/wheel" "$copy" </dev/null
    unset PYTHONPATH SIPHOND_PGO
    pip install "$copy"/wheel/*.whl </dev/null
    pip install --force-reinstall --no-deps "$copy"/wheel/*.whl </dev/null # the same version, from newer sources
    rm -rf "$root/opt/siphond/docs"
    cp -R "$here/README.md" "$here/docs" "$root/opt/siphond/"
    mkdir -p "$root/usr/local/bin"
    ln -sf /opt/siphond/bin/siphond /opt/siphond/bin/siphonctl "$root/usr/local/bin/"
    say "installed  $root/opt/siphond"
}

install_configuration() {
    mkdir -p "$root/etc/siphon/scripts"
    chmod 0750 "$root/etc/siphon" "$root/etc/siphon/scripts"
    own root:siphond "$root/etc/siphon" "$root/etc/siphon/scripts"
    keep 0640 "$root/etc/siphon/scripts/proxy_default.py" <"$here/scripts/proxy_default.py"
    keep 0640 "$root/etc/siphon/users.toml" <<'USERS'
# Who may register: name = "password", one a line; siphond reads it again on reload.
USERS
    # shellcheck disable=SC2016 # the backquotes are text
    # The demo's users stay out; the paths become those of a service.
    sed -e '/^\[auth\.users\]/,/^$/d' -e 's|^realm = .*|&\nusers_file = "users.toml"\n|' \
        -e 's|"\.\./scripts/|"scripts/|' -e 's|:-\.\./var}|:-/var/lib/siphond}|' -e 's|^# path = "/dev/shm/[^ ]*  *# .*|path = "/dev/shm/siphond"                   # one place, so that root'"'"'s siphonctl finds it too|' \
        -e '1s/.*/# siphond, the service./' \
        -e '2s/.*/# Prove a change by `siphond --check`, then apply it by `systemctl reload siphond`./' \
        "$here/etc/siphon.cfg" | keep 0640 "$root/etc/siphon/siphon.cfg"
}

install_unit() {
    mkdir -p "$root/etc/systemd/system" "$root/var/lib/siphond"
    cp "$here/deploy/siphond.service" "$root/etc/systemd/system/siphond.service"
    chmod 0644 "$root/etc/systemd/system/siphond.service"
    chmod 0700 "$root/var/lib/siphond"
    own siphond:siphond "$root/var/lib/siphond"
    [ -n "$root" ] || [ ! -d /run/systemd/system ] || systemctl daemon-reload
    say "installed  $root/etc/systemd/system/siphond.service"
}

make_user
install_program
install_configuration
install_unit
say ""
say "Next: set listen, domain, realm and users in /etc/siphon, then"
say "  siphond --check && systemctl enable siphond && systemctl restart siphond"
