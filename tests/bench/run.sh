#!/usr/bin/env bash
# The relay against nginx proxy_pass: the same requests, the same upstream, in turn, in one run. run.sh BIN
#
# The upstream is an nginx that answers from its configuration. Compared are POST …/generations (the relay makes two
# durable commits, nginx none) and GET …/generations/{id} (the relay answers by itself, nginx asks the upstream).
# Loopback only; ROUNDS x SECONDS bound it. The ratio is relay / nginx in requests a second, the median of the rounds.
set -euo pipefail
bin=$(realpath "$1")
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
rounds=${ROUNDS:-3} seconds=${SECONDS_EACH:-6} connections=${CONNECTIONS:-64}
dir=$(mktemp -d)
pids=()
trap '[ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT
upstream=${UPSTREAM_PORT:-18001} proxy=${PROXY_PORT:-18002} port=${RELAY_PORT:-18003}

job='"generation_type":"video","failure_reason":null,"created_at":"2025-05-19T13:51:42.302000Z","model":"ray-2","request":{"generation_type":"video","prompt":"A tiger walking in snow","aspect_ratio":"16:9","loop":false,"keyframes":null,"callback_url":null,"model":"ray-2","resolution":"720p","duration":"5s","concepts":null}'
cat >"$dir/nginx.conf" <<CONF
daemon off;
pid $dir/nginx.pid;
error_log $dir/error.log;
worker_processes 1;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path $dir/body; proxy_temp_path $dir/proxy; fastcgi_temp_path $dir/f; uwsgi_temp_path $dir/u; scgi_temp_path $dir/s;
  default_type application/json;
  server {
    listen 127.0.0.1:$upstream;
    location = /dream-machine/v1/generations {
      return 201 '{"id":"\$request_id","state":"queued","assets":null,$job}';
    }
    location /dream-machine/v1/generations/ {
      return 200 '{"id":"\$request_id","state":"completed","assets":{"video":"https://cdn.example/video.mp4","image":"https://cdn.example/thumb.jpg","progress_video":null},$job}';
    }
  }
  upstream luma { server 127.0.0.1:$upstream; keepalive 256; keepalive_requests 1000000; }
  server {
    listen 127.0.0.1:$proxy;
    location / { proxy_pass http://luma; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
CONF
PATH=$PATH:/usr/sbin nginx -c "$dir/nginx.conf" -p "$dir" 2>/dev/null &
pids+=($!)

# start_relay POLL_MS
start_relay() {
  cat >"$dir/relay.toml" <<TOML
[server]
listen = "127.0.0.1:$port"
[storage]
path = "$dir/relay.db"
[admin]
listen = ""
[poll]
interval_ms = $1
[log]
file = "$dir/relay.log"
[[upstream]]
name = "bench"
url = "http://127.0.0.1:$upstream"
key = "k"
TOML
  [ -n "${token:-}" ] || token=$("$bin/luma-relay" token create --config "$dir/relay.toml" --name bench 2>/dev/null)
  "$bin/luma-relay" serve --config "$dir/relay.toml" &
  relay_pid=$!
  pids+=("$relay_pid")
  for _ in $(seq 100); do curl -fs "http://127.0.0.1:$port/readyz" >/dev/null 2>&1 && break; sleep 0.1; done
}
start_relay 100

cat >"$dir/post.lua" <<LUA
wrk.method = "POST"
wrk.body = '{"prompt":"A tiger walking in snow","model":"ray-2","aspect_ratio":"16:9","loop":false,"resolution":"720p","duration":"5s"}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer $token"
LUA
cat >"$dir/get.lua" <<LUA
wrk.headers["Authorization"] = "Bearer $token"
LUA

# figure SCRIPT URL: requests a second; refuses a run in which anything but 2xx came back
figure() {
  wrk -t1 -c"$connections" -d"${seconds}s" --latency -s "$1" "$2" >"$dir/wrk.out"
  if grep -q "Non-2xx" "$dir/wrk.out"; then cat "$dir/wrk.out" >&2; exit 1; fi
  awk '/99%/ {p=$2} /Requests\/sec/ {print $2, p}' "$dir/wrk.out"
}
median() { sort -n | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }

compare() {
  local what=$1 script=$2 path=$3 ratios=() n r ratio
  echo "$what, $connections connections, $rounds rounds of ${seconds} s"
  for _ in $(seq "$rounds"); do
    n=$(figure "$script" "http://127.0.0.1:$proxy$path")
    r=$(figure "$script" "http://127.0.0.1:$port$path")
    ratio=$(awk -v r="${r% *}" -v n="${n% *}" 'BEGIN {printf "%.2f", r / n}')
    ratios+=("$ratio")
    echo "  nginx ${n% *}/s (p99 ${n#* })   relay ${r% *}/s (p99 ${r#* })   ratio $ratio"
  done
  echo "  median ratio $(printf '%s\n' "${ratios[@]}" | median)"
}

echo "$(nproc) cores, $(uname -r), nginx $(PATH=$PATH:/usr/sbin nginx -v 2>&1 | sed 's|.*/||'), $(date -u +%F)"
id=$(curl -fsS "http://127.0.0.1:$port/dream-machine/v1/generations" -H "Authorization: Bearer $token" -d '{"prompt":"A tiger walking in snow","model":"ray-2"}' | sed 's/.*"id":"\([^"]*\)".*/\1/;s/,.*//')
for _ in $(seq 100); do
  curl -fsS "http://127.0.0.1:$port/dream-machine/v1/generations/$id" -H "Authorization: Bearer $token" | grep -q '"state":"completed"' && break
  sleep 0.1
done
compare "GET one generation" "$dir/get.lua" "/dream-machine/v1/generations/$id"
# The jobs' later polls are another cost than their creation: they are put off beyond the run.
kill "$relay_pid"
wait "$relay_pid"
start_relay 3600000
compare "POST a generation" "$dir/post.lua" /dream-machine/v1/generations
