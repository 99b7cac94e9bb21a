#!/usr/bin/env bash
# The demo behind ./dev demo: a relay, a simulated upstream, one real job, shown in every dialect.
# demo.sh BIN ONCE(yes|no) RELAY_PORT SIMULATOR_PORT. Status 0 only if the job completed in all three dialects.
set -euo pipefail
bin=$1 once=$2 port=$3 sim_port=$4
dir=$(mktemp -d)
pids=()
finish() {
  local status=$?
  trap - EXIT INT TERM
  [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$dir"
  exit $status
}
trap finish EXIT
trap 'exit 130' INT TERM

bold() { printf '\033[1m%s\033[0m\n' "$*"; }
dim() { printf '\033[2m%s\033[0m\n' "$*"; }

cat >"$dir/relay.toml" <<TOML
[server]
listen = "127.0.0.1:$port"
public_url = "http://127.0.0.1:$port"
[storage]
path = "$dir/relay.db"
[admin]
listen = ""
[poll]
interval_ms = 500
[log]
file = "$dir/relay.log"
[[upstream]]
name = "simulator"
url = "http://127.0.0.1:$sim_port"
key = "luma-sim-key"
TOML

base=http://127.0.0.1:$port
token=$("$bin/luma-relay" token create --config "$dir/relay.toml" --name demo 2>/dev/null)
"$bin/luma-sim" --listen "127.0.0.1:$sim_port" --queued-ms 1500 --dreaming-ms 3500 >/dev/null &
pids+=($!)
"$bin/luma-relay" serve --config "$dir/relay.toml" &
pids+=($!)
for _ in $(seq 100); do
  curl -fs "$base/readyz" >/dev/null 2>&1 && break
  kill -0 "${pids[1]}" 2>/dev/null || { cat "$dir/relay.log"; exit 1; }
  sleep 0.1
done

call() { curl -fsS -H "Authorization: Bearer $token" -H 'Content-Type: application/json' "$@"; }

bold "1. A job goes in, as the official SDKs send it"
dim "curl $base/dream-machine/v1/generations -H 'Authorization: Bearer …' -d '{\"prompt\":\"A tiger walking in snow\",\"model\":\"ray-2\"}'"
created=$(call "$base/dream-machine/v1/generations" -d '{"prompt":"A tiger walking in snow","model":"ray-2"}')
jq -c . <<<"$created"
id=$(jq -r .id <<<"$created")

bold "2. It moves to completion, in the words of each dialect"
official=- web=- envelope=-
for second in $(seq 0 60); do
  official=$(call "$base/dream-machine/v1/generations/$id" | jq -r .state)
  web=$(call "$base/luma/generations/$id" | jq -r .state)
  row=$(call "$base/luma/tasks" -d "{\"ids\":[\"$id\"]}")
  envelope=$(jq -r '.data[0].status' <<<"$row")
  printf '   %2ds   official: %-10s web-app: %-11s envelope: %-12s %s\n' "$second" "$official" "$web" "$envelope" "$(jq -r '.data[0].progress' <<<"$row")"
  [ "$official/$web/$envelope" = completed/completed/SUCCESS ] && break
  case $official in failed) break ;; esac
  sleep 1
done

bold "3. The finished job"
echo "   official   GET /dream-machine/v1/generations/$id"
call "$base/dream-machine/v1/generations/$id" | jq '{id, state, assets, model, created_at}'
echo "   web-app    GET /luma/generations/$id"
call "$base/luma/generations/$id" | jq '{id, state, prompt, video}'
echo "   envelope   POST /luma/tasks {\"ids\":[\"$id\"]}"
call "$base/luma/tasks" -d "{\"ids\":[\"$id\"]}" | jq '{code, message, data: [.data[] | {task_id, action, status, progress, submit_time, finish_time}]}'
video=$(call "$base/luma/generations/$id" | jq -r .video.download_url)
echo "   the video: $video ($(curl -fsS "$video" | wc -c) bytes of $(curl -fsSI "$video" | tr -d '\r' | awk -F': ' 'tolower($1)=="content-type"{print $2}'))"

[ "$official/$web/$envelope" = completed/completed/SUCCESS ] || { echo "the job did not complete" >&2; cat "$dir/relay.log" >&2; exit 1; }

bold "4. Point a client at it"
cat <<TEXT
   key                 $token
   Node and Python SDK LUMAAI_BASE_URL=$base/dream-machine/v1 LUMAAI_API_KEY=<key>
   station front end   server address $base, the same key
   envelope            POST $base/luma/tasks
TEXT
[ "$once" = yes ] && exit 0
bold "Running until Ctrl-C. The relay's log:"
tail -n +1 -f "$dir/relay.log" &
pids+=($!)
wait "${pids[1]}"
