# shellcheck shell=bash
# What the scripts of util/ share.  Sourced, never run: the caller has set
# "set -euo pipefail"; that holds in command substitutions as well.

shopt -s inherit_errexit

IV_TREE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
IV_BUILD=$IV_TREE/build
export IV_MODULE=$IV_BUILD/ngx_http_image_vault_module.so

cd "$IV_TREE" || exit 1


say() {
    printf '%s\n' "$*"
}


note() {
    printf '  %s\n' "$*"
}


die() {
    printf 'image_vault: %s\n' "$*" >&2
    exit 1
}


have() {
    command -v "$1" >/dev/null 2>&1
}


# The directory for what is fetched once, outside the tree.  A user without a
# usable home gets one below /var/tmp.
iv_cache() {
    if [ -n "${IMAGE_VAULT_CACHE:-}" ]; then
        IV_CACHE=$IMAGE_VAULT_CACHE
    elif [ -n "${HOME:-}" ] && { [ -w "$HOME/.cache" ] \
            || { [ ! -e "$HOME/.cache" ] && [ -w "$HOME" ]; }; }; then
        IV_CACHE=$HOME/.cache/image_vault
    else
        IV_CACHE=/var/tmp/image_vault-$(id -u)
    fi

    mkdir -p "$IV_CACHE" 2>/dev/null \
        || die "can't write to $IV_CACHE: set IMAGE_VAULT_CACHE to a directory of yours"
    [ -O "$IV_CACHE" ] && [ -w "$IV_CACHE" ] \
        || die "$IV_CACHE belongs to someone else: set IMAGE_VAULT_CACHE to a directory of yours"
}


# Root in somebody's tree goes on as that somebody, so that no file is left
# behind that its owner can't replace: iv_as_owner "$0" "$@".  Where that user
# can't enter the tree (it lies below /root, say), root goes on as root.
iv_as_owner() {
    local owner group home

    [ "$(id -u)" -eq 0 ] || return 0
    owner=$(stat -c %u "$IV_TREE")
    group=$(stat -c %g "$IV_TREE")
    [ "$owner" -ne 0 ] || return 0

    home=$(getent passwd "$owner" | cut -d: -f6 || true)
    setpriv --reuid "$owner" --regid "$group" --clear-groups \
        test -w "$IV_TREE/Makefile" 2>/dev/null || return 0

    exec setpriv --reuid "$owner" --regid "$group" --clear-groups \
        env HOME="${home:-/nonexistent}" "$@"
}


iv_nginx() {
    local found

    for found in "${NGINX:-}" /usr/sbin/nginx "$(command -v nginx || true)"; do
        if [ -n "$found" ] && [ -x "$found" ]; then
            printf '%s' "$found"
            return
        fi
    done

    die "nginx is not installed: run 'make setup', or set NGINX to its binary"
}


iv_nginx_version() {
    "$1" -v 2>&1 | sed -n 's,^nginx version: [^/]*/\([0-9.]*\).*,\1,p'
}


iv_source_version() {
    sed -n 's/^#define NGINX_VERSION *"\(.*\)"/\1/p' "$1/src/core/nginx.h"
}


# does something listen on HOST PORT?
iv_listening() {
    (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null
}


# the first port from $1 on that nobody listens on at 127.0.0.1
iv_free_port() {
    local port=$1 end=$(($1 + 200))

    while [ "$port" -lt "$end" ]; do
        if ! iv_listening 127.0.0.1 "$port"; then
            printf '%s' "$port"
            return
        fi
        port=$((port + 1))
    done

    die "no free port between $1 and $end"
}


# the process of pid file $1 if it lives and its command line holds $2
iv_pid() {
    local pid

    [ -s "$1" ] || return 1
    read -r pid <"$1" || [ -n "$pid" ] || return 1
    case $pid in
        *[!0-9]*|"") return 1 ;;
    esac
    [ -r "/proc/$pid/cmdline" ] || return 1
    tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "$2" || return 1
    printf '%s' "$pid"
}


# does process $1 run?  One that nobody has waited for does not
iv_running() {
    kill -0 "$1" 2>/dev/null \
        && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}


# ends process $1: TERM, and KILL after $2 seconds
iv_end() {
    local left=$((${2:-10} * 10))

    kill -TERM "$1" 2>/dev/null || return 0
    while iv_running "$1"; do
        left=$((left - 1))
        if [ "$left" -eq 0 ]; then
            kill -KILL "$1" 2>/dev/null || true
        elif [ "$left" -le -50 ]; then
            return 0
        fi
        sleep 0.1
    done
}


iv_jobs() {
    nproc 2>/dev/null || echo 1
}
