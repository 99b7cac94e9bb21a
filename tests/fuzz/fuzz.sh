#!/usr/bin/env bash
# Fuzzes each target from its corpus, 12 s each; RELAY_FUZZ_SECONDS sets more. What breaks a promise is left beside the
# corpus, to be kept there once it is fixed. fuzz.sh FUZZ_TESTS [TARGET…]
set -euo pipefail
program=$1
shift
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
seconds=${RELAY_FUZZ_SECONDS:-12}
[ $# -gt 0 ] || mapfile -t all < <("$program")
[ $# -gt 0 ] || set -- "${all[@]}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for target in "$@"; do
  mkdir "$work/$target"
  if ! RELAY_FUZZ=$target "$program" -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=2048 -verbosity=1 \
    -artifact_prefix="$work/found-$target-" "$work/$target" "$here/corpus/$target" >"$work/$target.log" 2>&1; then
    tail -40 "$work/$target.log"
    for found in "$work"/found-"$target"-*; do
      echo "input, base64: $(base64 -w0 "$found")"
    done
    exit 1
  fi
  echo "$target: $(grep -E 'Done [0-9]+ runs' "$work/$target.log" || tail -1 "$work/$target.log"), $(grep -oE 'cov: [0-9]+ ft: [0-9]+' "$work/$target.log" | tail -1)"
done
