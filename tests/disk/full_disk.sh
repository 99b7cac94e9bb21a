#!/usr/bin/env bash
# Runs full_disk_tests with a file system of 24 MiB of its own. full_disk.sh BIN
set -euo pipefail
if [ "${2:-}" != inside ]; then
  # A namespace of our own: nothing is left behind, whatever happens.
  unshare --user --map-root-user --mount true 2>/dev/null || { echo "SKIPPED: this system lets nobody mount a small disk"; exit 77; }
  exec unshare --user --map-root-user --mount "$0" "$1" inside
fi
dir=$(mktemp -d)
mount -t tmpfs -o size=24m none "$dir"
SMALL_DISK=$dir exec "$1/full_disk_tests"
