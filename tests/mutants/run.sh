#!/usr/bin/env bash
# Planted bugs: each patch breaks one thing, and the tests that it names must see it. In a copy of the sources, one
# build folder, one target and its tests at a time. A patch that no longer applies, does not compile, or is not caught
# fails. run.sh [NAME…], or run.sh --check: only whether each patch applies.
#
# The head of a patch:
#   breaks: one sentence
#   target: the programs to build
#   tests:  a filter for its tests
#   run:    (instead of `tests`) a command, from the build folder
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
if [ "${1:-}" = --check ]; then
  outdated=0
  for patch in "$here"/*.patch; do
    git -C "$root" apply --check "$patch" 2>/dev/null || { echo "outdated: $(basename "$patch")"; outdated=1; }
  done
  exit $outdated
fi
work=$root/build/mutants
tree=$work/tree
mkdir -p "$tree"
# What differs only: what is the same need not be compiled again, and what a run that was cut off left behind differs.
(cd "$root" && git ls-files | while read -r f; do cmp -s "$f" "$tree/$f" || cp --parents "$f" "$tree"; done)
cmake -S "$tree" -B "$work/build" -G Ninja -DCMAKE_CXX_COMPILER=clang++-19 -DCMAKE_BUILD_TYPE=Debug \
  -DCMAKE_CXX_FLAGS_DEBUG=-O1 >"$work/configure.log" || { cat "$work/configure.log"; exit 1; }
if [ $# = 0 ]; then
  set -- "$here"/*.patch
else
  set -- "${@/#/$here/}"
  set -- "${@/%/.patch}"
fi
field() { sed -n "s/^$2: *//p" "$1" | head -1; }

caught=0
failed=()
for patch in "$@"; do
  name=$(basename "$patch" .patch)
  target=$(field "$patch" target) tests=$(field "$patch" tests) command=$(field "$patch" run)
  say() { printf '%-9s %-44s %s\n' "$1" "$name" "$(field "$patch" breaks)"; }
  if ! patch -d "$tree" -p1 --dry-run -s <"$patch" >"$work/patch.log" 2>&1; then
    say "OUTDATED"
    failed+=("$name")
    continue
  fi
  patch -d "$tree" -p1 -s --no-backup-if-mismatch <"$patch"
  # shellcheck disable=SC2086
  if ! cmake --build "$work/build" --target $target >"$work/build.log" 2>&1; then
    say "NO BUILD"
    tail -5 "$work/build.log"
    failed+=("$name")
  elif (cd "$work/build" && timeout 180 bash -c "${command:-bin/$target --gtest_filter='$tests'}" >"$work/run.log" 2>&1); then
    if grep -q "Running 0 tests" "$work/run.log"; then say "NO TESTS"; else say "SURVIVED"; fi
    failed+=("$name")
  else
    say "caught"
    caught=$((caught + 1))
  fi
  patch -d "$tree" -p1 -s -R --no-backup-if-mismatch <"$patch"
done
echo "$caught of $# planted bugs were caught"
[ ${#failed[@]} = 0 ]
