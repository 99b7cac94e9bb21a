#!/usr/bin/env bash
# User instructions per request, counted by callgrind: repeatable for one binary, whatever else the machine does.
# instructions.sh BIN [REQUESTS]
#
# Each kind of request is sent REQUESTS and three times REQUESTS times, to a relay of its own; the difference, divided, is what
# one request costs, start and stop left out. The upstream is an nginx that answers from its configuration. Loopback only.
set -euo pipefail
bin=$(realpath "$1") requests=${2:-300}
dir=$(mktemp -d)
pids=()
trap '[ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT
upstream=${UPSTREAM_PORT:-18011} port=${RELAY_PORT:-18013}

cat >"$dir/nginx.conf" <<CONF
daemon off;
pid $dir/nginx.pid;
error_log $dir/error.log;
worker_processes 1;
events { worker_connections 512; }
http {
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path $dir/body; proxy_temp_path $dir/proxy; fastcgi_temp_path $dir/f; uwsgi_temp_path $dir/u; scgi_temp_path $dir/s;
  default_type application/json;
  server {
    listen 127.0.0.1:$upstream;
    location / {
      return 201 '{"id":"\$request_id","state":"queued","assets":null,"generation_type":"video","failure_reason":null,"created_at":"2025-05-19T13:51:42.302000Z","model":"ray-2","request":{"generation_type":"video","prompt":"A tiger walking in snow","aspect_ratio":"16:9","loop":false,"keyframes":null,"callback_url":null,"model":"ray-2","resolution":"720p","duration":"5s","concepts":null}}';
    }
  }
}
CONF
PATH=$PATH:/usr/sbin nginx -c "$dir/nginx.conf" -p "$dir" 2>/dev/null &
pids+=($!)

base=http://127.0.0.1:$port
cat >"$dir/relay.toml" <<TOML
[server]
listen = "127.0.0.1:$port"
[storage]
path = "$dir/relay.db"
[admin]
listen = ""
[poll]
interval_ms = 3600000
[log]
file = "$dir/relay.log"
[[upstream]]
name = "bench"
url = "http://127.0.0.1:$upstream"
key = "k"
TOML
token=$("$bin/luma-relay" token create --config "$dir/relay.toml" --name bench 2>/dev/null)
auth=(-H "Authorization: Bearer $token")
job='{"prompt":"A tiger walking in snow","model":"ray-2","aspect_ratio":"16:9","loop":false,"resolution":"720p","duration":"5s"}'

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
    POST) curl -fsS -o /dev/null "${auth[@]}" -d "$job" "$base/dream-machine/v1/generations?n=[1-$2]" ;;
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

start env
curl -fsS -o /dev/null "${auth[@]}" -d "$job" "$base/dream-machine/v1/generations?n=[1-100]"
curl -fsS "${auth[@]}" "$base/dream-machine/v1/generations?limit=100" >"$dir/list.json"
stop
jq -c '{ids: [.generations[].id]}' "$dir/list.json" >"$dir/ids.json"
id=$(jq -r '.generations[0].id' "$dir/list.json")

echo "user instructions per request, $requests and $((3 * requests)) requests, $(uname -m), $(date -u +%F)"
for kind in GET POST batch list; do
  few=$(count $kind "$requests")
  many=$(count $kind $((3 * requests)))
  echo "  $kind $(((many - few) / (2 * requests)))"
done
