#!/usr/bin/env bash
# Installs the Debian packages that some tests use: XFS and btrfs to compare with, FUSE to mount,
# flags of files, Python for calls of the kernel that Node does not have, and programs to work on a
# mount. The long tests use ccache, fio and stress-ng besides.
# Tests that need one of them and do not find it say so and are skipped.
set -euo pipefail

packages=(e2fsprogs xfsprogs btrfs-progs fuse3 python3 git sqlite3
  rsync acl gcc libc6-dev make postgresql)

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null || true)
  [[ $status == 'install ok installed' ]] || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

give_up() {
  echo "WARNING: Cannot install ${missing[*]}: $1. Tests that need them will be skipped." >&2
  exit 1
}

[[ $EUID -eq 0 ]] || give_up 'this needs root'
command -v apt-get >/dev/null || give_up 'there is no apt-get'
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || give_up 'apt-get update failed'
apt-get install -qq -y --no-install-recommends "${missing[@]}" || give_up 'apt-get install failed'
