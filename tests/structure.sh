#!/usr/bin/env bash
# The walls of the house, as the code's own text: which folder may include which, and where Luma's words may stand.
# structure.sh [ROOT]
set -euo pipefail
cd "${1:-$(dirname "${BASH_SOURCE[0]}")/..}"
failed=no

# forbid WHY PATTERN FILE…: no file may have a line that matches
forbid() {
  local why=$1 pattern=$2 found
  shift 2
  if found=$(grep -nE "$pattern" "$@" 2>/dev/null); then
    printf '%s:\n%s\n' "$why" "$found"
    failed=yes
  fi
}
files() { find "$@" -name '*.cpp' -o -name '*.hpp' | sort; }

# Dependencies point one way: base <- engine <- luma <- families; common <- config, storage <- server.
mapfile -t base < <(files common/base)
mapfile -t engine < <(files common/engine)
mapfile -t common < <(files common)
mapfile -t config < <(files config)
mapfile -t storage < <(files storage)
forbid "common/base includes what stands above it" '#include "(common/(engine|luma|families)|config|storage|server)' "${base[@]}"
forbid "common/engine includes what stands above it" '#include "(common/(luma|families)|config|storage|server)' "${engine[@]}"
forbid "common includes what stands above it" '#include "(config|storage|server)/' "${common[@]}"
forbid "config includes what stands beside or above it" '#include "(storage|server)/' "${config[@]}"
forbid "storage includes what stands beside or above it" '#include "(common/(luma|families)|config|server)' "${storage[@]}"

# The engine has never heard of Luma. What may name it: its folder, the list of families, the route table, the defaults
# of the configuration, and the schema of older releases.
mapfile -t neutral < <(files common/base common/engine config storage server | grep -vE \
  '^(server/routes.cpp|config/(config|fields|list_fields).(cpp|hpp)|storage/migrations.cpp)$')
forbid "a word of Luma's outside of its folder" \
  'lumalabs|dream.machine|dreaming|keyframes|user_prompt|image_end_url|notify_hook|generation_type|ray-[0-9]|photon|upscale|LUMA_(VIDEO|IMAGE)|/luma/|common/luma' \
  "${neutral[@]}"

# Each test that docs/rules.md names is there: "folder/file: suite.name".
while IFS= read -r named; do
  file=tests/${named%%:*}_test.cpp
  suite=${named#*: }
  name=${suite#*.}
  suite=${suite%%.*}
  [ "$suite.$name" = "$suite.*" ] && continue
  tr '\n' ' ' <"$file" 2>/dev/null | grep -qE "TEST(_P|_F)?\($suite, *$name\)" || {
    echo "docs/rules.md names a test that is not there: $named"
    failed=yes
  }
done < <(grep -oE '`[a-z_0-9]+/[a-z_0-9]+: [a-z_0-9]+\.[a-zA-Z_0-9*]+`' docs/rules.md | tr -d '`' | grep -v '^folder/file' | sort -u)
# And each rule that a comment cites stands on that page.
while IFS= read -r id; do
  grep -q "^| $id |" docs/rules.md || { echo "a comment cites rule $id, which docs/rules.md does not have"; failed=yes; }
done < <(grep -rhoE '\brules? [MSHFTR][0-9]+' common config storage server tests --include='*.cpp' --include='*.hpp' | grep -oE '[MSHFTR][0-9]+' | sort -u)

[ "$failed" = no ] && echo "the walls stand"
[ "$failed" = no ]
