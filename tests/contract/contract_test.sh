#!/usr/bin/env bash
# The OpenAPI documents that a relay serves, held against the relay: both are valid, every answer is one that
# they describe, and what they forbid is refused. Then faults are planted, which must be found.
# contract_test.sh BIN. RELAY_CONTRACT=long asks for much more, RELAY_SEED=N for other things.
# CONTRACT_PACKAGES: the folder of what requirements.txt names, which ./dev makes.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
relay=$(cd "$1" && pwd)/luma-relay
sim=$(cd "$1" && pwd)/luma-sim
export PYTHONPATH=${CONTRACT_PACKAGES:-$here/../../build/contract} PYTHONDONTWRITEBYTECODE=1 COLUMNS=110
if ! python3 -c 'import schemathesis, openapi_spec_validator' 2>/dev/null; then
  echo "skipped: Schemathesis is not installed; ./dev test installs it when PyPI can be reached"
  exit 77
fi
dir=$(mktemp -d)
running=()
cleanup() {
  local process
  for process in "${running[@]}"; do kill "$process" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap cleanup EXIT
cd "$dir"
fail() { echo "FAILED: $*"; exit 1; }

# until_there FILE PATTERN: what the pattern's group matches, once the file has it
until_there() {
  local found=
  for _ in $(seq 400); do
    found=$(sed -nE "s/.*$2.*/\1/p" "$1" | head -1)
    [ -z "$found" ] || break
    sleep 0.05
  done
  [ -n "$found" ] || { echo "nothing like $2 in $1:" >&2; cat "$1" >&2; return 1; }
  echo "$found"
}

"$sim" --listen 127.0.0.1:0 --step-per-poll --silent >sim.log 2>&1 &
running+=($!)
sim_url=$(until_there sim.log ' upstream at (http:[^,]*),')
cat >relay.toml <<TOML
[server]
listen = "127.0.0.1:0"
[storage]
path = "$dir/relay.db"
[admin]
listen = "127.0.0.1:0"
[poll]
interval_ms = 20
[callbacks]
allow_private_addresses = true
retry_after_ms = [20]
[[upstream]]
name = "sim"
url = "$sim_url/dream-machine/v1"
key = "luma-sim-key"
[[price]]
price = "0.10"
TOML
{
  "$relay" account create --config relay.toml alice
  "$relay" account set --config relay.toml alice --prepaid
  "$relay" account topup --config relay.toml alice 1000
} >setup.log 2>&1 || fail "$(cat setup.log)"
token=$("$relay" token create --config relay.toml --account alice --name laptop 2>setup.log) ||
  fail "$(cat setup.log)"
for name in phone tablet desk; do
  "$relay" token create --config relay.toml --account alice --name $name >unused.token 2>setup.log ||
    fail "$(cat setup.log)"
done
# "fuzz" asks, "spare" revokes, "unused" is there to be revoked.
for name in fuzz spare unused; do
  "$relay" admin-token create --config relay.toml --name $name --role owner >"$name.token" 2>setup.log ||
    fail "$(cat setup.log)"
done
"$relay" serve --config relay.toml >relay.log 2>&1 &
served=$!
running+=($served)
public=http://127.0.0.1:$(until_there relay.log 'listening on 127\.0\.0\.1:([0-9]+)')
admin=http://127.0.0.1:$(until_there relay.log 'on port ([0-9]+)')

# Jobs, so that there is something of everything: one is charged for and calls back in vain, one waits.
create() {
  curl -sS -H "Authorization: Bearer $token" "$public/dream-machine/v1/generations" -d "$1" | jq -er .id
}
state() {
  curl -sS -H "Authorization: Bearer $token" "$public/dream-machine/v1/generations/$1" | jq -r .state
}
ended=$(create '{"prompt":"a tiger","callback_url":"http://127.0.0.1:1/hook"}') || fail "no job was made"
for _ in $(seq 400); do
  [ "$(state "$ended")" != completed ] || break
  sleep 0.05
done
[ "$(state "$ended")" = completed ] || fail "the job is $(state "$ended")"
for _ in $(seq 400); do
  "$relay" task list --config relay.toml --state undelivered >undelivered 2>setup.log ||
    fail "$(cat setup.log)"
  ! grep -q "$ended" undelivered || break
  sleep 0.05
done
grep -q "$ended" undelivered || fail "the callback is not given up"
"$relay" upstream pause --config relay.toml sim 2>setup.log || fail "$(cat setup.log)"
waiting=$(create '{"prompt":"a lion"}') || fail "no job was made"
printf '"%s"\n' "$ended" "$waiting" >jobs.dict
cp "$here/schemathesis.toml" .

contract() { python3 "$here/contract.py" "$@"; }
contract validate "$admin/openapi.json" admin.json || fail "the document of the admin API"
contract validate "$public/openapi.json" public.json || fail "the document of the public API"
for page in "$admin/docs" "$public/docs"; do
  kind=$(curl -sSf -o docs.html -w '%{content_type}' "$page") || fail "$page"
  [[ $kind == text/html* ]] || fail "$page is $kind"
done

examples=20
few=5
if [ "${RELAY_CONTRACT:-}" = long ]; then
  examples=400
  few=100
fi
answers=not_a_server_error,status_code_conformance,content_type_conformance
answers+=,response_schema_conformance,response_headers_conformance
requests=ignored_auth,unsupported_method,allow_header_conformance,missing_required_header
# fuzz REPORT ORIGIN TOKEN DOCUMENT OPTION…: asks as the document says; its status: whether all is so
fuzz() {
  local report=$1 origin=$2 bearer=$3 document=$4
  shift 4
  python3 -m schemathesis.cli --config-file schemathesis.toml run "$document" \
    --origin "$origin" -H "Authorization: Bearer $bearer" --seed "${RELAY_SEED:-1}" \
    --generation-database none --request-timeout 30 --report json --report-json-path "$report" --no-color "$@" >fuzz.log 2>&1
}
cases() { jq -r '"\(.test_cases.generated) requests, \(.running_time | floor) s"' "$1"; }

# Streams of events end when their jobs do. What a client sends beyond the description is often let through,
# as the original does it.
fuzz public.report "$public" "$token" public.json --include-method GET --exclude-path-regex '/events$' \
  --checks "$answers,$requests" --max-examples $few --phases examples,coverage,fuzzing ||
  fail "the public API: $(cat fuzz.log)"
echo "public API: $(cases public.report)"

# What takes a name away comes last, or little else would be found by its name.
checks=$answers,$requests,negative_data_rejection,ensure_resource_availability
fuzz admin.report "$admin" "$(cat fuzz.token)" admin.json --checks $checks --max-examples $examples \
  --exclude-operation-id changeToken --exclude-operation-id revokeToken --exclude-operation-id changeAccount \
  --exclude-operation-id revokeAdminToken || fail "the admin API: $(cat fuzz.log)"
echo "admin API: $(cases admin.report)"
fuzz tokens.report "$admin" "$(cat fuzz.token)" admin.json --checks $checks --max-examples $examples \
  --include-operation-id changeToken --include-operation-id revokeToken ||
  fail "changes of tokens: $(cat fuzz.log)"
fuzz names.report "$admin" "$(cat spare.token)" admin.json --checks $checks --max-examples $examples \
  --include-operation-id changeAccount --include-operation-id revokeAdminToken ||
  fail "changes of accounts and of admin tokens: $(cat fuzz.log)"
echo "what takes names away: $(cases tokens.report), $(cases names.report)"
# The job may have been cancelled by the time it is asked for, and none is held.
contract reached admin.json "createAdminToken cancelJob releaseJob" admin.report tokens.report names.report ||
  fail "see above"

# And it sees what is wrong.
for fault in property member status type header parameter security; do
  contract plant $fault admin.json planted.json >expected || fail "the fault $fault cannot be planted"
  read -r check id failure label <expected
  rm -f planted.report
  ! fuzz planted.report "$admin" "$(cat fuzz.token)" planted.json --include-operation-id "$id" \
    --checks "$check" --max-examples 5 --phases coverage,fuzzing ||
    fail "the planted fault $fault was not seen: $(cat fuzz.log)"
  contract found planted.report "$failure" "$label" || fail "the planted fault $fault: $(cat fuzz.log)"
done
jq 'del(.info)' admin.json >no_info.json
! contract check no_info.json >/dev/null 2>&1 || fail "a document without its info is said to be valid"
! fuzz planted.report "$admin" luma-relay-admin-wrong admin.json --include-operation-id listAccounts \
  --checks "$answers" --max-examples 5 || fail "a run that was refused everywhere passes: $(cat fuzz.log)"
echo "9 planted faults were seen"

kill -TERM "$served"
wait "$served" || fail "the relay did not end in status 0: $(tail -5 relay.log)"
# That a callback is given up is what is meant here.
! grep -E '^[^ ]+Z (error|critical) ' relay.log | grep -v -m5 'its callbacks are given up' ||
  fail "errors in the relay's log"
