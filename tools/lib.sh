# shellcheck shell=sh
# lib.sh - what the scripts of tools/ share. Sourced, never run.
#
# Sets:  NOVT_ROOT   the checkout
#        NOVT_BUILD  the build directory (default NOVT_ROOT/build)
#        NOVT_GUEST  where guests are kept: kernels from Debian's packages, busybox, initramfs images
# Only sh, awk, sed and what Debian calls essential are used before lib_install has run.

NOVT_ROOT=${NOVT_ROOT:-$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)}
NOVT_BUILD=${NOVT_BUILD:-$NOVT_ROOT/build}
NOVT_GUEST=${NOVT_GUEST:-$NOVT_BUILD/guest}
LC_ALL=C
export NOVT_ROOT NOVT_BUILD NOVT_GUEST LC_ALL

LIB_BUILD_PACKAGES="gcc libc6-dev meson ninja-build pkg-config libzydis-dev libzycore-dev libcapstone-dev \
libxxhash-dev libjson-c-dev libedit-dev libelf-dev"
LIB_TEST_PACKAGES="libcriterion-dev nasm clang-format clang-tidy binutils gnuplot-nox chromium"
LIB_BENCH_PACKAGES="qemu-system-x86 user-mode-linux bochs bochs-term grub-common grub-pc-bin xorriso mtools gnuplot-nox"
# Not installed, only unpacked: what tests/guest/others runs.
LIB_GUEST_PACKAGES="seabios memtest86+ u-boot-qemu gnumach-image-1.8-486:i386"

say() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die() {
    say "$*"
    exit 1
}

# Names of those packages among the arguments that are not installed. Without dpkg: nothing is known.
lib_missing() {
    for lib_package in "$@"; do
        lib_state=$(dpkg-query -W -f='${db:Status-Status}' "$lib_package" 2>/dev/null) || lib_state=
        [ "$lib_state" = installed ] || printf '%s ' "$lib_package"
    done
}

# Installs those packages that are missing: as root with apt-get; otherwise says which are.
lib_install() {
    if ! command -v dpkg-query >/dev/null 2>&1; then
        lib_check_commands
        return
    fi
    lib_list=$(lib_missing "$@")
    [ -n "$lib_list" ] || return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        die "missing packages: ${lib_list}- there is no apt-get here: install them (Debian's names) and run this again"
    fi
    if [ "$(id -u)" != 0 ]; then
        die "missing packages: run  sudo apt-get install ${lib_list% }  and then this again"
    fi
    say "installing: ${lib_list% }"
    # shellcheck disable=SC2086
    lib_apt install $lib_list || {
        lib_apt update || die "apt-get update failed: see above"
        # shellcheck disable=SC2086
        lib_apt install $lib_list || die "apt-get could not install: ${lib_list% }"
    }
}

# apt-get, quiet unless it fails.
lib_apt() {
    lib_log=$(mktemp) || return 1
    lib_quick=
    [ "$1" != install ] || lib_quick=--no-install-recommends
    # shellcheck disable=SC2086
    if DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" $lib_quick \
        </dev/null >"$lib_log" 2>&1; then
        rm -f "$lib_log"
        return 0
    fi
    # A first failed install is normal on a machine that has no package lists yet.
    if [ "$1" = update ] || [ -n "${lib_apt_failed:-}" ]; then
        tail -n 20 "$lib_log" >&2
    fi
    lib_apt_failed=1
    rm -f "$lib_log"
    return 1
}

# On a system that is not Debian's: the tools must at least be there.
lib_check_commands() {
    for lib_command in gcc meson ninja pkg-config; do
        command -v "$lib_command" >/dev/null 2>&1 ||
            die "'$lib_command' is missing and there is no dpkg here: install what these Debian packages hold: $LIB_BUILD_PACKAGES"
    done
}

# lib_build DIR [MESON_OPTION...]: configures DIR if that has not been done, or not with these options, and builds it.
lib_build() {
    lib_dir=$1
    shift
    if [ ! -f "$lib_dir/build.ninja" ]; then
        lib_configure "$@"
    elif [ $# -gt 0 ] && [ "$(cat "$lib_dir/configured-with" 2>/dev/null)" != "$*" ]; then
        lib_configure --reconfigure "$@"
    fi
    say "building $lib_dir"
    if ! lib_out=$(ninja -C "$lib_dir" 2>&1); then
        printf '%s\n' "$lib_out" | grep -v '^\[[0-9]*/[0-9]*\] \(Compiling\|Linking\)' | tail -n 100 >&2
        die "the build failed"
    fi
}

# lib_configure ARGUMENT...: meson setup of $lib_dir; what it was given is kept beside build.ninja.
lib_configure() {
    say "configuring $lib_dir"
    if ! lib_out=$(cd "$NOVT_ROOT" && meson setup "$lib_dir" "$@" 2>&1); then
        printf '%s\n' "$lib_out" >&2
        die "meson setup failed"
    fi
    [ "${1:-}" != --reconfigure ] || shift
    printf '%s\n' "$*" >"$lib_dir/configured-with"
}

# lib_as_user COMMAND...: runs the command without privileges: as `nobody` when we are root.
lib_as_user() {
    if [ "$(id -u)" != 0 ]; then
        "$@"
    elif command -v setpriv >/dev/null 2>&1; then
        setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \
            env HOME=/ "$@"
    else
        die "neither an ordinary user nor setpriv (package util-linux): novt would run as root"
    fi
}

# lib_apt_foreign ARCH COMMAND...: runs an apt command with a state of its own, in which ARCH is the only
# architecture. So what the system's apt and dpkg know of architectures stays as it is, and no root is needed.
lib_apt_foreign() {
    lib_state=$NOVT_GUEST/apt-$1
    if [ ! -f "$lib_state/apt.conf" ]; then
        mkdir -p "$lib_state/lists/partial" "$lib_state/archives/partial" || die "cannot make $lib_state"
        : >"$lib_state/status"
        cat >"$lib_state/apt.conf" <<END
Dir::State "$lib_state";
Dir::State::status "$lib_state/status";
Dir::Cache "$lib_state";
APT::Architecture "$1";
APT::Architectures { "$1"; };
END
    fi
    shift
    APT_CONFIG=$lib_state/apt.conf "$@"
}

# lib_apt_update ARCH: fetches that private state's package lists. One list of several may fail (a mirror in the
# middle of its update, a source without this architecture): whether what we want is known is asked later.
lib_apt_update() {
    say "fetching the package lists of $1"
    lib_apt_foreign "$1" apt-get -q -o "APT::Sandbox::User=$(id -un)" update >"$NOVT_GUEST/apt-$1.log" 2>&1 || :
}

# lib_apt_show PACKAGE[:ARCH]: what apt knows of the package. Without ARCH: the system's lists, which are fetched
# if need be and root; with ARCH: private ones.
lib_apt_show() {
    case $1 in
    *:*)
        lib_apt_show_foreign "${1%:*}" "${1#*:}" || {
            lib_apt_update "${1#*:}"
            lib_apt_show_foreign "${1%:*}" "${1#*:}"
        }
        ;;
    *)
        apt-cache show --no-all-versions "$1" 2>/dev/null || {
            [ "$(id -u)" = 0 ] || return 1
            lib_apt_failed=1
            lib_apt update || return 1
            apt-cache show --no-all-versions "$1" 2>/dev/null
        }
        ;;
    esac
}

lib_apt_show_foreign() {
    lib_apt_foreign "$2" apt-cache show --no-all-versions "$1" 2>/dev/null
}

# lib_deb PACKAGE[:ARCH] DIR: Debian's current package, downloaded and unpacked in DIR (once).
lib_deb() {
    lib_package=${1%:*}
    lib_into=$2
    [ ! -d "$lib_into" ] || return 0
    command -v apt-get >/dev/null 2>&1 || die "no apt-get here to download the package $lib_package with"
    lib_work=$NOVT_GUEST/download.$$
    mkdir -p "$lib_work" || die "cannot make $lib_work"
    set -- "$1" "$2" apt-get -q -o "APT::Sandbox::User=$(id -un)" download "$lib_package"
    if [ "$1" != "$lib_package" ]; then
        lib_apt_show "$1" >/dev/null || die "apt knows no package $1: see $NOVT_GUEST/apt-${1#*:}.log"
        lib_arch=${1#*:}
        shift 2
        set -- "" "" lib_apt_foreign "$lib_arch" "$@"
    fi
    shift 2
    if ! (cd "$lib_work" && "$@") >"$lib_work/log" 2>&1; then
        cat "$lib_work/log" >&2
        rm -rf "$lib_work"
        die "apt-get could not download $lib_package (is 'apt-get update' due?)"
    fi
    if ! dpkg-deb -x "$lib_work"/*.deb "$lib_work/x"; then
        rm -rf "$lib_work"
        die "cannot unpack $lib_package"
    fi
    chmod 755 "$lib_work/x" && mv "$lib_work/x" "$lib_into"
    rm -rf "$lib_work"
}

# lib_file PACKAGE[:ARCH] PATH: path on stdout of a file of Debian's package, fetched if need be.
lib_file() {
    lib_dir=$NOVT_GUEST/$(printf '%s' "$1" | tr : -)
    if [ ! -d "$lib_dir" ]; then
        say "fetching $1"
        mkdir -p "$NOVT_GUEST" || die "cannot make $NOVT_GUEST"
        lib_apt_show "$1" >/dev/null || die "apt knows no package $1: run apt-get update"
        lib_deb "$1" "$lib_dir" || exit 1
    fi
    for lib_found in "$lib_dir"/$2; do
        [ -r "$lib_found" ] || die "the package $1 holds no readable $2"
        printf '%s\n' "$lib_found"
        return
    done
}

# lib_kernel generic|cloud|686|686-pae|FILE: path of the kernel image on stdout, fetched from Debian's package if
# need be.
lib_kernel() {
    case $1 in
    generic) lib_meta=linux-image-amd64 ;;
    cloud) lib_meta=linux-image-cloud-amd64 ;;
    686 | 686-pae) lib_meta=linux-image-$1:i386 ;;
    *)
        [ -r "$1" ] || die "no kernel '$1': give generic, cloud, 686, 686-pae or a readable file"
        printf '%s\n' "$1"
        return
        ;;
    esac
    for lib_file in "$NOVT_GUEST/kernel-$1"/boot/vmlinuz-*; do
        if [ -r "$lib_file" ]; then
            printf '%s\n' "$lib_file"
            return
        fi
    done
    command -v apt-cache >/dev/null 2>&1 || die "no apt here to fetch Debian's kernel with: give one with --kernel FILE"
    lib_image=$(lib_depends "$lib_meta")
    [ -n "$lib_image" ] || die "apt knows no package $lib_meta: run apt-get update, or give a kernel with --kernel FILE"
    say "fetching $lib_image"
    mkdir -p "$NOVT_GUEST" || die "cannot make $NOVT_GUEST"
    lib_deb "$lib_image" "$NOVT_GUEST/kernel-$1" || exit 1
    for lib_file in "$NOVT_GUEST/kernel-$1"/boot/vmlinuz-*; do
        [ -r "$lib_file" ] || die "$lib_image holds no readable boot/vmlinuz"
        printf '%s\n' "$lib_file"
        return
    done
}

# The kernel package that a metapackage stands for, with its architecture if it has been said.
lib_depends() {
    lib_suffix=
    [ "${1#*:}" = "$1" ] || lib_suffix=:${1#*:}
    lib_apt_show "$1" |
        sed -n "s/^Depends:.*\(linux-image-[0-9][^ ,]*\).*/\1$lib_suffix/p" | head -n 1
}

# lib_busybox [ARCH]: path of a static busybox on stdout: the installed one, or one taken from Debian's package; one
# for ARCH always comes from a package.
lib_busybox() {
    if [ -n "${1:-}" ]; then
        lib_file "busybox-static:$1" bin/busybox
        return
    fi
    for lib_file in /bin/busybox "$NOVT_GUEST/busybox-static/bin/busybox"; do
        if [ -x "$lib_file" ] && ! lib_is_dynamic "$lib_file"; then
            printf '%s\n' "$lib_file"
            return
        fi
    done
    lib_file busybox-static bin/busybox
}

# A program that names a loader is not static.
lib_is_dynamic() {
    head -c 4096 "$1" | grep -q 'ld-linux'
}

# lib_share FILE DIR: a path of the same content that an ordinary user can read: FILE itself, or a copy in DIR
# when FILE lies where only root may go (a checkout under /root).
lib_share() {
    if lib_as_user test -r "$1" 2>/dev/null; then
        printf '%s\n' "$1"
        return
    fi
    chmod 755 "$2"
    lib_copy=$2/$(basename -- "$1")
    cp "$1" "$lib_copy" && chmod a+rX "$lib_copy" || die "cannot copy $1 to $2"
    printf '%s\n' "$lib_copy"
}
