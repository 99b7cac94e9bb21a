#!/usr/bin/env bash
# What docs/monitoring says, held against a relay: its metrics are well formed, the rules fire as their test says, and each
# metric that a rule or the board asks for is there from the start. monitoring_test.sh BIN
set -euo pipefail
relay=$1/luma-relay
docs=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../docs/monitoring" && pwd)
dir=$(mktemp -d)
server=
cleanup() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap cleanup EXIT
fail() { echo "FAILED: $*"; exit 1; }

cat >"$dir/relay.toml" <<TOML
[server]
listen = "127.0.0.1:0"
[storage]
path = "$dir/relay.db"
[admin]
listen = "127.0.0.1:0"
metrics_accounts = 10
[[upstream]]
name = "nobody"
url = "http://127.0.0.1:1"
key = "k"
TOML
"$relay" account create --config "$dir/relay.toml" alice 2>/dev/null
"$relay" serve --config "$dir/relay.toml" >"$dir/log" 2>&1 &
server=$!
port=
for _ in $(seq 200); do
  port=$(sed -n 's/.*metrics on port \([0-9]*\).*/\1/p' "$dir/log")
  # The figures of upstreams and of accounts come with the first round of counting.
  if [ -n "$port" ] && curl -fs "http://127.0.0.1:$port/metrics" >"$dir/metrics" &&
    grep -q luma_relay_account_jobs{ "$dir/metrics" && grep -q luma_relay_upstream_limit{ "$dir/metrics"; then break; fi
  sleep 0.1
done
[ -s "$dir/metrics" ] || fail "no metrics: $(cat "$dir/log")"

promtool check metrics <"$dir/metrics" || fail "promtool check metrics"
promtool check rules "$docs/luma-relay.rules.yml" || fail "promtool check rules"
(cd "$docs" && promtool test rules luma-relay.rules.test.yml) || fail "promtool test rules"

jq -e '.panels | length > 20' "$docs/luma-relay.grafana.json" >/dev/null || fail "the board has no panels"
asked=$({ cat "$docs/luma-relay.rules.yml"; jq -r '.. | .expr? // empty' "$docs/luma-relay.grafana.json"; } |
  grep -oE '\b(luma_relay|process)_[a-z_]+' | grep -v -x luma_relay_ | sort -u)
# Those of the names that a relay does not show at its start.
missing() {
  for name in "$@"; do
    grep -qE "^$name(\{| )" "$dir/metrics" || echo "$name"
  done
}
[ "$(missing luma_relay_no_such_metric luma_relay_takes_jobs)" = luma_relay_no_such_metric ] || fail "this test sees nothing"
# shellcheck disable=SC2086
lost=$(missing $asked)
[ -z "$lost" ] || fail "asked for, and shown by no relay at its start: $lost"
checked=$(wc -w <<<"$asked")
[ "$checked" -gt 25 ] || fail "only $checked metrics are asked for"
# Each alert of the rules fires in their test.
sed -n 's/.*- alert: //p' "$docs/luma-relay.rules.yml" | while read -r alert; do
  grep -q "alertname=\"$alert\"" "$docs/luma-relay.rules.test.yml" || fail "no test in which $alert fires"
done
echo "$checked metrics are asked for, and there"
