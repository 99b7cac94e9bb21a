#!/usr/bin/env bash
# Ten thousand open jobs: how soon their ends are seen, what asking about them costs, and a kill -9 in the middle.
# open_jobs.sh BIN. Loopback only; JOBS and INTERVAL_MS change the run.
set -euo pipefail
bin=$(realpath "$1")
jobs=${JOBS:-10000} interval=${INTERVAL_MS:-3000}
dir=$(mktemp -d)
pids=()
trap '[ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT
port=${RELAY_PORT:-18013} admin=${ADMIN_PORT:-18014} sim=${SIM_PORT:-18011}
base=http://127.0.0.1:$port

cat >"$dir/relay.toml" <<TOML
[server]
listen = "127.0.0.1:$port"
public_url = "$base"
[storage]
path = "$dir/relay.db"
[admin]
listen = "127.0.0.1:$admin"
[poll]
interval_ms = $interval
[log]
file = "$dir/relay.log"
level = "warn"
[[upstream]]
name = "sim"
url = "http://127.0.0.1:$sim"
key = "luma-sim-key"
TOML
token=$("$bin/luma-relay" token create --config "$dir/relay.toml" --name bench 2>/dev/null)
# Long enough for all of what follows; the callbacks of the simulator go nowhere, so that only polls tell.
"$bin/luma-sim" --listen "127.0.0.1:$sim" --queued-ms 3600000 --silent >/dev/null &
pids+=($!)
start() {
  "$bin/luma-relay" serve --config "$dir/relay.toml" &
  relay=$!
  pids=("${pids[0]}" "$relay")
}
now_ms() { date +%s%3N; }
ready() { until curl -fs -o /dev/null "$base/readyz"; do :; done; }
metric() { curl -fs "http://127.0.0.1:$admin/metrics" | awk -v n="$1" '$1 == n {print $2}'; }
cpu_ms() { awk -v t="$(getconf CLK_TCK)" '{print int(($14 + $15) * 1000 / t)}' "/proc/$relay/stat"; }

start
ready
for i in $(seq "$jobs"); do
  printf 'next\nurl = "%s/dream-machine/v1/generations"\nheader = "Authorization: Bearer %s"\ndata = "{\\"prompt\\":\\"job %s\\"}"\noutput = /dev/null\n' "$base" "$token" "$i"
done | tail -n +2 >"$dir/creates"
curl -sS -Z --parallel-max 32 -K "$dir/creates" 2>/dev/null
echo "open jobs: $(metric 'luma_relay_tasks{state="queued"}')"

measure() {
  local polls cpu from
  polls=$(metric 'luma_relay_upstream_calls_total{call="poll",outcome="ok",upstream="sim"}')
  cpu=$(cpu_ms) from=$(now_ms)
  sleep 9
  local took=$(($(now_ms) - from))
  polls=$(($(metric 'luma_relay_upstream_calls_total{call="poll",outcome="ok",upstream="sim"}') - ${polls:-0}))
  echo "$1: $((polls * 1000 / took)) polls a second, $(((($(cpu_ms) - cpu)) * 100 / took)) % of a core, each job asked about every $((took * jobs / (polls > 0 ? polls : 1))) ms (interval $interval ms), overdue by a minute: $(metric luma_relay_tasks_overdue)"
}
sleep 6
measure "at rest"

kill -9 "$relay"
wait "$relay" 2>/dev/null || true
from=$(now_ms)
start
ready
echo "kill -9 and restart: ready after $(($(now_ms) - from)) ms"
sleep 6
measure "after the restart"
log=$(curl -fs "http://127.0.0.1:$sim/_sim/log?brief")
echo "the upstream saw at most $(sed 's/.*"most_polls_in_a_second":\([0-9]*\).*/\1/' <<<"$log") polls in a second, at most $(sed 's/.*"most_polls_of_one_job_at_once":\([0-9]*\).*/\1/' <<<"$log") about one job at once"
