#!/bin/sh
# Fetches the reference to compare with, the newest nats-server that Debian packages (suite: sid), and unpacks it
# without installing anything. Prints the path of the binary.
#
#   perf/peer.sh [DIR]      DIR: natsd/peer in the user's cache directory by default; kept there for the next run
#
# apt itself does the fetching, from the mirror it is set up with, and checks the signatures; package lists of its own
# in a temporary directory leave the system's alone, and no privilege is needed.
set -eu

dir=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/natsd/peer}
binary=$dir/usr/sbin/nats-server

fail() {
  echo "peer.sh: $*" >&2
  exit 1
}

debian_mirror() {
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | sed -n '\|/debian/*$|{s|/*$||;p;q;}'
}

fetch() {
  for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || fail "$tool is missing; set NATS_SERVER to a nats-server binary instead"
  done
  mirror=$(debian_mirror)
  [ -n "$mirror" ] || fail 'apt has no package lists of a Debian mirror: run apt-get update, or set NATS_SERVER instead'
  keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  [ -r "$keyring" ] || fail "$keyring is missing (package debian-archive-keyring)"

  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
  chmod -R a+rX "$work"
  echo "deb [signed-by=$keyring] $mirror sid main" >"$work/sources.list"
  cat >"$work/apt.conf" <<EOF
Dir::Etc::SourceList "$work/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$work/lists";
Dir::Cache "$work/cache";
Acquire::Languages "none";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
EOF
  [ "$(id -u)" != 0 ] || echo 'APT::Sandbox::User "root";' >>"$work/apt.conf"
  export APT_CONFIG="$work/apt.conf"
  apt-get -qq update >&2 || fail "cannot fetch the package list of $mirror"
  (cd "$work" && apt-get -qq download nats-server >&2) || fail "cannot fetch nats-server from $mirror"
  mkdir -p "$dir"
  dpkg-deb --extract "$work"/nats-server_*.deb "$dir"
}

[ -x "$binary" ] || fetch
[ -x "$binary" ] || fail "no nats-server in $dir after unpacking"
echo "$binary"
