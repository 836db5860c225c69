#!/bin/sh
# Fetch the Rust Parsec service and parsec-tool of Debian 13 into .rust-parsec/, with all
# the libraries that they need. Nothing is installed: they run from there on Debian 12
# and 13, and neither root nor a chroot is needed. A second run ends at once.
set -eu

cd "$(dirname "$0")/.."
suite=trixie
programs="parsec-service parsec-tool"
# The TCTI that the service loads. swtpm and SoftHSM are the host's.
modules="libtss2-tcti-swtpm0t64"
cache=.rust-parsec
stamp="$suite $programs $modules"

[ "$(cat $cache/stamp 2>/dev/null)" != "$stamp" ] || exit 0

fail() {
    printf '%s\n' "./dev: cannot fetch the Rust Parsec service: $*" >&2
    exit 1
}

for tool in apt-get dpkg-deb; do
    command -v $tool >/dev/null || fail "there is no $tool: it needs Debian 12 or newer"
done
keyring=
for file in /usr/share/keyrings/debian-archive-keyring.*; do
    [ ! -e "$file" ] || keyring=$file
done
[ -n "$keyring" ] || fail "run apt-get install debian-archive-keyring"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$work/lists/partial" "$work/host/partial" "$work/cache/archives/partial" \
    "$work/etc" "$work/root"

# The Debian archive is where the host has its own packages from. Only an archive that
# the keyring has signed is believed, so it does no harm to ask one that is another's.
# shellcheck source=/dev/null
. /etc/os-release
archives() {
    # shellcheck disable=SC2016 # apt's own placeholders.
    apt-get "$@" indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' \
        'Created-By: Packages' | sed -n "s/^${VERSION_CODENAME:-none} main //p" | sort -u
}
known=$(archives)
if [ -z "$known" ]; then # apt knows only what it has updated.
    host="-o Dir::State::lists=$work/host -o Dir::Cache=$work/cache -o APT::Sandbox::User="
    # shellcheck disable=SC2086 # A list of words.
    apt-get -qq $host update >"$work/log" 2>&1 || true
    # shellcheck disable=SC2086
    known=$(archives $host)
fi
[ -n "$known" ] || fail "apt's sources name no archive of Debian's main component"

# apt's state of an empty machine: all of what the programs need is fetched, libc too.
: >"$work/status"
apt() {
    apt-get -qq \
        -o Dir::State="$work" -o Dir::State::status="$work/status" \
        -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" \
        -o Dir::Etc::sourcelist="$work/etc/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::Etc::preferences=- -o Dir::Etc::preferencesparts=- \
        -o APT::Sandbox::User= -o Debug::NoLocking=1 -o Acquire::Languages=none \
        -o Acquire::Retries=3 -o APT::Update::Error-Mode=any "$@"
}

printf '%s\n' "./dev: fetching the Rust Parsec service of Debian $suite" >&2
found=
for archive in $known; do
    echo "deb [signed-by=$keyring] $archive $suite main" >"$work/etc/sources.list"
    if apt update >"$work/log" 2>&1; then
        found=yes
        break
    fi
done
[ -n "$found" ] || fail "no archive in apt's sources has Debian $suite: $(tail -n 1 "$work/log")"
# shellcheck disable=SC2086 # Lists of words.
apt -y --no-install-recommends --download-only install $programs $modules \
    >"$work/log" 2>&1 || fail "$(tail -n 1 "$work/log")"
for package in "$work"/cache/archives/*.deb; do
    dpkg-deb --extract "$package" "$work/root"
    # shellcheck disable=SC2016 # dpkg-deb's own placeholders.
    dpkg-deb --show --showformat '${Package} ${Version}\n' "$package" >>"$work/versions"
done

rm -rf $cache
mkdir $cache
mv "$work/root" "$work/versions" $cache
printf '%s' "$stamp" >$cache/stamp
