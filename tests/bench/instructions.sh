#!/usr/bin/env bash
# User instructions per request, counted by callgrind: repeatable for one binary, whatever else the machine does.
# instructions.sh BIN [REQUESTS]
#
# Each kind of request is sent REQUESTS and three times REQUESTS times, to a relay of its own; the difference, divided, is what
# one request costs, start and stop left out. The upstream is an nginx that answers from its configuration. Loopback only.
set -euo pipefail
bin=$(realpath "$1") requests=${2:-300}
upstream=${UPSTREAM_PORT:-18011} port=${RELAY_PORT:-18013}
. "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/common.sh"
start_nginx
relay_config 3600000
base=http://127.0.0.1:$port
auth=(-H "Authorization: Bearer $token")

# start PREFIX…: the relay, under what is given
start() {
  "$@" "$bin/luma-relay" serve --config "$dir/relay.toml" >/dev/null 2>"$dir/out" &
  relay=$!
  for _ in $(seq 300); do curl -fs "$base/readyz" >/dev/null 2>&1 && return; sleep 0.1; done
  cat "$dir/out" >&2
  exit 1
}
stop() { kill "$relay"; wait "$relay" || true; }

# One connection, one request after the other: curl counts up its query.
send() {
  case $1 in
    POST) curl -fsS -o /dev/null "${auth[@]}" -d "$request" "$base/dream-machine/v1/generations?n=[1-$2]" ;;
    GET) curl -fsS -o /dev/null "${auth[@]}" "$base/dream-machine/v1/generations/$id?n=[1-$2]" ;;
    batch) curl -fsS -o /dev/null "${auth[@]}" -d "@$dir/ids.json" "$base/luma/tasks?n=[1-$2]" ;;
    list) curl -fsS -o /dev/null "${auth[@]}" "$base/dream-machine/v1/generations?limit=20&n=[1-$2]" ;;
  esac
}
# count KIND N: instructions of a whole run
count() {
  start valgrind --tool=callgrind --callgrind-out-file=/dev/null
  [ "$1" = POST ] || send "$1" 3 # what is kept in memory is in memory
  send "$1" "$2"
  stop
  awk '/Collected/ {print $4}' "$dir/out"
}

# A run that takes a moment longer may meet one more of the relay's periodic tasks.
least_of_three() { for _ in 1 2 3; do count "$@"; done | sort -n | head -1; }

start env
curl -fsS -o /dev/null "${auth[@]}" -d "$request" "$base/dream-machine/v1/generations?n=[1-100]"
curl -fsS "${auth[@]}" "$base/dream-machine/v1/generations?limit=100" >"$dir/list.json"
stop
jq -c '{ids: [.generations[].id]}' "$dir/list.json" >"$dir/ids.json"
id=$(jq -r '.generations[0].id' "$dir/list.json")

echo "user instructions per request, $requests and $((3 * requests)) requests, $(uname -m), $(date -u +%F)"
for kind in GET POST batch list; do
  few=$(least_of_three $kind "$requests")
  many=$(least_of_three $kind $((3 * requests)))
  echo "  $kind $(((many - few) / (2 * requests)))"
done
