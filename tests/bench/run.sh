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
upstream=${UPSTREAM_PORT:-18001} proxy=${PROXY_PORT:-18002} port=${RELAY_PORT:-18003}
. "$here/common.sh"
start_nginx "upstream luma { server 127.0.0.1:$upstream; keepalive 256; keepalive_requests 1000000; }
  server {
    listen 127.0.0.1:$proxy;
    location / { proxy_pass http://luma; proxy_http_version 1.1; proxy_set_header Connection \"\"; }
  }"

# start_relay POLL_MS
start_relay() {
  relay_config "$1"
  "$bin/luma-relay" serve --config "$dir/relay.toml" &
  relay_pid=$!
  pids+=("$relay_pid")
  for _ in $(seq 100); do curl -fs "http://127.0.0.1:$port/readyz" >/dev/null 2>&1 && break; sleep 0.1; done
}
start_relay 100

cat >"$dir/post.lua" <<LUA
wrk.method = "POST"
wrk.body = '$request'
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
