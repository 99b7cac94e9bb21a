#!/usr/bin/env bash
# The command line as a person uses it: what is printed where, and the exit status. cli_test.sh BIN
set -euo pipefail
relay=$1/luma-relay
dir=$(mktemp -d)
server=
cleanup() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap cleanup EXIT
cd "$dir"
checks=0

fail() { echo "FAILED: $*"; echo "--- stdout"; cat out; echo "--- stderr"; cat err; exit 1; }

# run STATUS COMMAND…: leaves its output in the files out and err
run() {
  local want=$1 got=0
  shift
  "$@" >out 2>err </dev/null || got=$?
  [ "$got" = "$want" ] || fail "$*: status $got, not $want"
  checks=$((checks + 1))
}
has() { grep -qF -- "$2" "$1" || fail "no \"$2\" in $1"; checks=$((checks + 1)); }
hasnt() { ! grep -qF -- "$2" "$1" || fail "\"$2\" in $1"; checks=$((checks + 1)); }
empty() { [ ! -s "$1" ] || fail "$1 is not empty"; checks=$((checks + 1)); }

cat >good.toml <<TOML
[server]
listen = "127.0.0.1:0"
[storage]
path = "$dir/relay.db"
[admin]
listen = ""
[[upstream]]
name = "nobody"
url = "http://127.0.0.1:1"
key = "luma-very-secret"
TOML
printf '[server]\nlissten = "x"\nsubmit_wait_ms = -1\n[[upstream]]\nname = "a"\n' >bad.toml

run 0 "$relay" --help; has out "check-config"; has out "serve"
for sub in serve check-config account "account create" "account list" \
  "account show" "account set" "account enable" "account disable" "account webhook-secret" "account topup" "account adjust" ledger "ledger list" usage price token "token create" "token list" "token set" "token revoke" \
  task "task list" "task show" "task cancel-pending" "task retry-callback" backup reload \
  upstream "upstream list" "upstream check" "upstream pause" "upstream resume" "upstream drain"; do
  # shellcheck disable=SC2086
  run 0 "$relay" $sub --help; has out "Usage"
done
run 0 "$relay" version; has out "luma-relay 0."
run 2 "$relay"; has err "--help"
run 2 "$relay" dance; has err "--help"
run 2 "$relay" token create --config good.toml; has err "--name"

run 0 "$relay" check-config --config good.toml; has out 'key = "[secret]"'; hasnt out luma-very-secret; empty err
run 2 "$relay" check-config --config bad.toml
has err "bad.toml:2: server.lissten: no such key"; has err "bad.toml:3: server.submit_wait_ms"; has err "upstream.1.url: is missing"; empty out
run 2 "$relay" check-config --config missing.toml; has err "cannot read missing.toml"; has err "example"
run 2 "$relay" serve --config bad.toml; has err "4 places"
LUMA_RELAY_SERVER_LISTEN=127.0.0.1:99 LUMA_RELAY_ADMIN_LISTEN=127.0.0.1:99 run 2 "$relay" check-config --config good.toml; has err "is the address of server.listen"
LUMA_RELAY_SERVER_LISTEN=0.0.0.0:99 run 0 "$relay" check-config --config good.toml; has out "0.0.0.0:99"
run 0 "$relay" check-config --example; has out "[[upstream]]"
LUMA_RELAY_STORAGE_PATH=/nowhere/at-all/relay.db run 2 "$relay" check-config --config good.toml; has err "folder /nowhere/at-all"
# A start that is refused leaves nothing behind.
printf 'no database' >other.db
LUMA_RELAY_STORAGE_PATH=other.db run 1 "$relay" serve --config good.toml; has err "is not an SQLite database"
[ "$(ls other.db*)" = other.db ] || fail "left behind: $(ls other.db*)"
rm other.db
mkfifo other.db
LUMA_RELAY_STORAGE_PATH=other.db run 1 "$relay" serve --config good.toml; has err "is not a file"
LUMA_RELAY_STORAGE_PATH=other.db run 2 "$relay" check-config --config good.toml; has err "is not a file"
[ "$(ls other.db*)" = other.db ] || fail "left behind: $(ls other.db*)"
rm other.db
LUMA_RELAY_STORAGE_PATH=$dir run 2 "$relay" check-config --config good.toml; has err "$dir is a folder; name a file in it"
LUMA_RELAY_STORAGE_PATH=/nowhere/at-all/relay.db run 1 "$relay" token create --config good.toml --name x
has err "nothing can be written in the folder of the database /nowhere/at-all/relay.db"

# Tokens without a server.
run 1 "$relay" token list --config good.toml; has err "there is no database"
[ ! -e relay.db ] || fail "a question made a database"
run 0 "$relay" token create --config good.toml --name one; has err "relay.db is new"
[ "$(wc -l <out)" = 1 ] || fail "the token is not alone on stdout"
has out luma-relay-; has err "shown this once"; one=$(cat out)
run 1 "$relay" token create --config good.toml --name one; has err "already"
run 2 "$relay" token create --config bad.toml --name x; has err "bad.toml:2"
run 0 "$relay" token list --config good.toml; has out one; hasnt out "$one"
run 1 "$relay" token revoke --config good.toml nobody; has err "no token named"

# And with one, through its admin socket.
"$relay" serve --config good.toml >server.log 2>&1 &
server=$!
for _ in $(seq 200); do grep -q "listening on" server.log && break; kill -0 $server; sleep 0.05; done
port=$(sed -n 's/.*listening on 127.0.0.1:\([0-9]*\).*/\1/p' server.log)
status() { curl -s -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $1" "http://127.0.0.1:$port/dream-machine/v1/ping"; }
[ "$(status "$one")" = 200 ] || fail "the first token is refused"
run 0 "$relay" token create --config good.toml --name two; two=$(cat out)
[ "$(status "$two")" = 200 ] || fail "a token made while it runs is refused"
run 0 "$relay" token rotate --config good.toml two --grace 1h; has err "works until"; rotated=$(cat out)
[ "$(wc -l <out)" = 1 ] || fail "the new secret is not alone on stdout"
[ "$(status "$two")" = 200 ] || fail "the old secret is refused within its grace"
[ "$(status "$rotated")" = 200 ] || fail "the new secret is refused"
run 0 "$relay" token list --config good.toml; has out "OLD SECRET WORKS UNTIL"
run 0 "$relay" token rotate --config good.toml two --grace 0; has err "has ended"; has err "which was to work until"; rotated=$(cat out)
[ "$(status "$two")" = 401 ] || fail "the old secret is accepted without a grace"
run 2 "$relay" token rotate --config good.toml two --grace soon
run 1 "$relay" token rotate --config good.toml nobody; has err "no token named"
two=$rotated
run 0 "$relay" token revoke --config good.toml two; has err "refused from now on"; has err "No job waited"
[ "$(status "$two")" = 401 ] || fail "a revoked token is accepted"
run 0 "$relay" account webhook-secret --config good.toml one; has out whsec_; has err "Standard Webhooks"; cp out secret
run 0 "$relay" account webhook-secret --config good.toml one; cmp -s out secret || fail "the secret changed by itself"
run 0 "$relay" account webhook-secret --config good.toml one --rotate; ! cmp -s out secret || fail "the secret did not change"
run 1 "$relay" account webhook-secret --config good.toml nobody; has err "no account named"

# Accounts: several tokens each, which may end by themselves.
run 0 "$relay" account create --config good.toml studio --contact studio@example.com --note "pays by the month"; has err "no token yet"
run 1 "$relay" account create --config good.toml studio; has err "already"
run 1 "$relay" account create --config good.toml "no spaces"; has err "1 to 64"
run 0 "$relay" token create --config good.toml --account studio --name laptop --expires 90d; has err "It expires at"; laptop=$(cat out)
run 0 "$relay" token create --config good.toml --account studio --name one; has err 'of the account "studio"'
run 1 "$relay" token create --config good.toml --account nobody --name x; has err "no account named"
run 2 "$relay" token create --config good.toml --name x --expires soon
run 1 "$relay" token revoke --config good.toml one; has err "one/one, studio/one"
run 0 "$relay" token revoke --config good.toml studio/one
run 0 "$relay" token list --config good.toml --account studio; has out laptop; has out EXPIRES; hasnt out "$laptop"
[ "$(status "$laptop")" = 200 ] || fail "a token of an account is refused"
run 0 "$relay" account list --config good.toml; has out studio@example.com; has out one
run 0 "$relay" account disable --config good.toml studio; has err "refused from now on"; has err "No job waited"
[ "$(status "$laptop")" = 401 ] || fail "a token of a disabled account is accepted"
run 0 "$relay" account show --config good.toml studio; has out "state         disabled"; has out "pays by the month"
run 2 "$relay" account set --config good.toml studio; has err "changes nothing"
run 0 "$relay" account set --config good.toml studio --limit open=50 --limit requests_per_minute=0 --weight 3 --actions video,image
run 0 "$relay" account show --config good.toml studio; has out "open=50, requests_per_minute=0"; has out "video, image"
run 0 "$relay" account set --config good.toml studio --limit open=default --actions generations,video,image,upscale,audio,image-reframe,video-reframe,video-modify
run 0 "$relay" account set --config good.toml studio --actions all
run 0 "$relay" account show --config good.toml studio; hasnt out "open=50"; has out "kinds of jobs all"
run 1 "$relay" account set --config good.toml studio --limit opne=50; has err 'limits.opne: not known here; there are pending, open'
run 1 "$relay" account set --config good.toml studio --limit open=many; has err "whole number"
run 1 "$relay" account set --config good.toml studio --actions dance; has err "no kind of job"
run 1 "$relay" token create --config good.toml --account studio --name x; has err "is disabled"
run 0 "$relay" account set --config good.toml studio --rename atelier --note ""; has err '"atelier" is changed'
run 0 "$relay" account enable --config good.toml atelier; has err "work again"
[ "$(status "$laptop")" = 200 ] || fail "a token of an account that was enabled again is refused"
run 0 "$relay" token create --config good.toml --account atelier --name far --address 203.0.113.0/24; far=$(cat out)
[ "$(status "$far")" = 403 ] || fail "a token is accepted from another address"
run 1 "$relay" token create --config good.toml --account atelier --name x --address nowhere; has err nowhere
run 0 "$relay" task list --config good.toml --account atelier; has err "no such task"
run 1 "$relay" task list --config good.toml --account studio; has err "no account named"

# A job that nobody takes, with a prompt that would like to write to the terminal.
made=$(curl -s -H "Authorization: Bearer $one" "http://127.0.0.1:$port/dream-machine/v1/generations" \
  -d '{"prompt":"red \u001b[31m cat","callback_url":"https://example.com/hook?token=client-secret"}')
id=$(sed -n 's/.*"id":"\([^"]*\)".*/\1/p' <<<"$made")
run 0 "$relay" task list --config good.toml; has out "$id"; has out pending; has out one
run 0 "$relay" task list --config good.toml --state completed; has err "no such task"
run 1 "$relay" task list --config good.toml --state dancing; has err "state: must be one of pending"
run 1 "$relay" task list --config good.toml --token nobody; has err "no token named"
run 0 "$relay" task list --config good.toml --upstream nowhere --action video --since 2026-01-01 --text 0; has err "no such task"
run 1 "$relay" task list --config good.toml --since yesterday; has err "since: must be a time such as"
run 0 "$relay" callback list --config good.toml; has err "was delivered"
run 0 "$relay" task show --config good.toml "$id"; has out "state: pending"; has out '\x1b[31m'; hasnt out $'\x1b'
run 0 "$relay" task show --config good.toml "$id" --json; has out '"state":"pending"'
run 1 "$relay" task show --config good.toml nothing; has err "no task nothing"
run 1 "$relay" task retry-callback --config good.toml "$id"; has err "no callback to send"
run 0 "$relay" task cancel-pending --config good.toml "$id"
grep -qE "is cancelled|is being submitted now" err || fail "cancelled? $(cat err)"
for _ in $(seq 100); do "$relay" task list --config good.toml --state failed >out 2>err; grep -q "$id" out && break; sleep 0.05; done
run 0 "$relay" task list --config good.toml --state failed --token one; has out "Cancelled by the operator"
run 1 "$relay" task cancel-pending --config good.toml "$id"; has err "only one that waits"
run 2 "$relay" task cancel-pending --config good.toml; run 2 "$relay" task cancel-pending --config good.toml --all "$id"
run 0 "$relay" task cancel-pending --config good.toml --all; has err "No job waited"
run 0 "$relay" task cancel-pending --config good.toml --token one; has err "No job waited"
run 1 "$relay" task cancel-pending --config good.toml --token nobody; has err "no token named"
run 0 "$relay" task cancel-pending --config good.toml --account one; has err "No job waited"
run 2 "$relay" task cancel-pending --config good.toml --all --token one
run 0 "$relay" task list --config good.toml --state undelivered

run 0 "$relay" backup --config good.toml copy.db; has err "checked copy"; has err "luma-relay restore copy.db"
run 1 "$relay" backup --config good.toml copy.db; has err "exists already"
run 1 "$relay" backup --config good.toml /nowhere/copy.db; has err "no backup was made"
[ "$(stat -c %a copy.db)" = 600 ] || fail "the backup is readable by others"
LUMA_RELAY_STORAGE_PATH=$dir/copy.db run 0 "$relay" task list --config good.toml; has out "$id"

run 1 "$relay" serve --config good.toml; has err "another luma-relay uses this database"
run 1 "$relay" restore --config good.toml copy.db; has err "nothing was restored: another luma-relay uses this database"
run 1 "$relay" task release --config good.toml "$id"; has err "only a held one"
run 0 "$relay" task release --config good.toml --all; has err "No job is held"
run 2 "$relay" task release --config good.toml
[ "$(stat -c %a relay.db)" = 600 ] || fail "the database is readable by others"
[ "$(stat -c %a relay.db.sock)" = 700 ] || fail "the admin socket is open to others"
kill -TERM $server
wait $server || fail "SIGTERM did not end in status 0"
server=
grep -q "stopped" server.log || fail "no word of the stop in the log"
grep -qE '^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z info    stopped$' server.log || fail "not a log line: $(tail -1 server.log)"
grep -qE '^20[^ ]*Z warning [^ ]' server.log || fail "levels are not in a column"
grep -qE 'info    GET /dream-machine/v1/ping 200 [0-9]+B [0-9]+us id=[^ ]+ account=one token=one task=- from=127\.0\.0\.1$' server.log || fail "no line for a request"
! grep -q luma-very-secret server.log || fail "the upstream's key is in the log"
! grep -q "$one" server.log || fail "a token is in the log"
! grep -q client-secret server.log || fail "the query of a callback URL is in the log"
run 0 "$relay" token list --config good.toml; has out two
run 0 "$relay" restore --config good.toml copy.db; has err "is a copy of copy.db now"; has err "kept as $dir/relay.db.before-restore-1"; has err "what was revoked since works again"
run 1 "$relay" restore --config good.toml nowhere.db; has err "nothing was restored"
run 1 "$relay" restore --config good.toml good.toml; has err "nothing was restored: $dir/good.toml is not an SQLite database"
hasnt err storage.path; hasnt err PRAGMA
cp copy.db broken.db; printf 'no page' | dd of=broken.db bs=1 seek=$((4096 * 5)) conv=notrunc status=none
run 1 "$relay" restore --config good.toml broken.db; has err "nothing was restored: $dir/broken.db: the database is damaged"
LUMA_RELAY_STORAGE_PATH=good.toml run 1 "$relay" backup --config good.toml nothing.db; has err "$dir/good.toml is not an SQLite database"
[ ! -e nothing.db ] || fail "a backup of what is no database"
run 0 "$relay" token list --config good.toml; has out one

# An occupied port.
"$relay" serve --config good.toml >server.log 2>&1 &
server=$!
for _ in $(seq 200); do grep -q "listening on" server.log && break; kill -0 $server; sleep 0.05; done
port=$(sed -n 's/.*listening on 127.0.0.1:\([0-9]*\).*/\1/p' server.log)
LUMA_RELAY_STORAGE_PATH=$dir/other.db LUMA_RELAY_SERVER_LISTEN=127.0.0.1:$port run 1 "$relay" serve --config good.toml
has err "cannot listen on 127.0.0.1:$port"
[ -z "$(ls other.db* 2>/dev/null)" ] || fail "left behind: $(ls other.db*)"
kill -TERM $server; wait $server; server=

# A log of JSON.
LUMA_RELAY_LOG_FORMAT=json "$relay" serve --config good.toml >server.log 2>&1 &
server=$!
for _ in $(seq 200); do grep -q "listening on" server.log && break; kill -0 $server; sleep 0.05; done
port=$(sed -n 's/.*listening on 127.0.0.1:\([0-9]*\).*/\1/p' server.log)
curl -s -o /dev/null "http://127.0.0.1:$port/a%22b\"c"
kill -TERM $server; wait $server; server=
found=$(jq -r 'select((.time | test("^20[0-9-]+T[0-9:]+\\.[0-9]{3}Z$")) and .level == "info") | .message' server.log | grep -cF 'GET /a%22b\"c 404') || true
[ "$found" = 1 ] || fail "no such line in $(cat server.log)"
[ "$(jq -r .message server.log | tail -1)" = stopped ] || fail "not every line is JSON"

# Upstreams: what they do is shown, and changed while the relay runs; the file is read again, and the log file opened anew.
"$1/luma-sim" --listen 127.0.0.1:0 >sim.log 2>&1 &
sim=$!
for _ in $(seq 200); do grep -q "upstream at" sim.log && break; kill -0 $sim; sleep 0.05; done
sim_url=$(sed -n 's/.* upstream at \(http:[^,]*\),.*/\1/p' sim.log)
cat >several.toml <<TOML
[server]
listen = "127.0.0.1:0"
[storage]
path = "$dir/several.db"
[admin]
listen = ""
[log]
file = "$dir/relay.log"
[[upstream]]
name = "luma"
url = "$sim_url"
key = "luma-sim-key"
[[upstream.keys]]
name = "second"
key = "a-key-that-is-refused"
[[upstream]]
name = "plain"
url = "http://upstream.example.com"
key = "another-secret-key"
TOML
run 1 "$relay" check-config --config several.toml --probe; has out "the key works"; has out "refuses the key"; has out "cannot be used"; hasnt out a-key-that-is-refused
run 0 "$relay" upstream check --config several.toml luma/; has out "the key works"; hasnt out second
run 1 "$relay" upstream check --config several.toml nobody; has err "there is no upstream \"nobody\""
run 1 "$relay" upstream list --config several.toml; has err "there is no database"
"$relay" serve --config several.toml &
server=$!
for _ in $(seq 200); do grep -qs "listening on" relay.log && break; kill -0 $server; sleep 0.05; done
grep -q "UPSTREAM plain IS REACHED WITHOUT TLS" relay.log || fail "no loud warning for a key that is sent in clear"
! grep -q "UPSTREAM luma IS REACHED" relay.log || fail "a warning for loopback"
run 0 "$relay" upstream list --config several.toml; has out "luma/second"; has out "LAST PROBLEM"
run 0 "$relay" upstream list --config several.toml --json; has out '"name":"luma/second"'
run 0 "$relay" upstream pause --config several.toml luma; has err "luma gets no more jobs"; has err "luma/second gets no more jobs"
run 0 "$relay" upstream list --config several.toml; has out paused
run 0 "$relay" upstream resume --config several.toml luma/second; has err "luma/second takes jobs again"; hasnt err "luma takes"
run 0 "$relay" upstream drain --config several.toml plain; has err "gets no new jobs"
run 1 "$relay" upstream pause --config several.toml nobody; has err "there is no upstream"
run 2 "$relay" upstream pause --config several.toml
run 0 "$relay" reload --config several.toml; has err "The configuration is as it was"
sed -i 's/a-key-that-is-refused/luma-sim-key/; s/^name = "plain"/name = "plain"\nweight = 7/' several.toml
run 0 "$relay" reload --config several.toml
has err "upstream luma/second has other settings: the key itself"; has err "upstream plain has other settings: weight"; hasnt err luma-sim-key
# As logrotate does it.
mv relay.log relay.log.1
kill -HUP $server
for _ in $(seq 200); do grep -qs "the configuration was read" relay.log && break; kill -0 $server || fail "SIGHUP ended the relay"; sleep 0.05; done
grep -q "the configuration was read" relay.log || fail "the log file was not opened anew"
sed -i 's/^weight = 7/waight = 7/' several.toml
run 1 "$relay" reload --config several.toml
line=$(grep -n waight several.toml | cut -d: -f1)
has err "the old one stays: several.toml:$line: upstream.2.waight: no such key; [upstream] has name, url"
kill -HUP $server
for _ in $(seq 200); do grep -q "reload: the new configuration is wrong" relay.log && break; sleep 0.05; done
grep -q "several.toml:$line: upstream.2.waight" relay.log || fail "the log does not say what is wrong"
run 0 "$relay" upstream list --config several.toml; has out draining
kill -TERM $server; wait $server || fail "SIGTERM did not end in status 0"; server=
kill $sim
! grep -q "luma-sim-key\|another-secret-key\|a-key-that-is-refused" relay.log relay.log.1 || fail "a key is in the log"
sed -i 's/^waight = 7/weight = 7/' several.toml
run 1 "$relay" reload --config several.toml; has err "no relay runs with this database"
run 1 "$relay" upstream list --config several.toml; has err "no relay runs with this database"
run 0 "$relay" upstream resume --config several.toml plain; has err "plain takes jobs again"

# ---- money, with the relay stopped
cp good.toml priced.toml
cat >>priced.toml <<'TOML'
[[price]]
action = "image"
price = "0.015"
[[price]]
model = "ray-v2"
duration = "5s"
price = "0.40"
[[group]]
name = "friends"
price_factor = "0.5"
TOML
echo '{"prompt":"a tiger","duration":"5s"}' >request.json
echo '{"user_prompt":"a tiger","duration":"5s"}' >web_app.json
run 0 "$relay" price --config priced.toml request.json; has out "0.40 USD"; has err "model ray-2, resolution none, duration 5s"
run 0 "$relay" price --config priced.toml --group friends web_app.json; has out "0.20 USD"
run 0 "$relay" price --config priced.toml --action image request.json; has out "0.015 USD"
run 1 "$relay" price --config priced.toml --action sing request.json; has err "is no kind of job; there are generations"
run 1 "$relay" price --config priced.toml missing.json; has err "cannot read missing.json"
run 1 "$relay" price --config priced.toml --group foes request.json; has err 'no [[group]] "foes"'
run 0 "$relay" price --config good.toml request.json; has out "0.00 USD"
run 1 env LUMA_RELAY_BILLING_UNPRICED=refuse "$relay" price --config priced.toml --action upscale web_app.json; has err "no price for such a job"
run 0 "$relay" account create --config priced.toml shop
run 0 "$relay" account set --config priced.toml shop --prepaid --group friends
run 0 "$relay" account topup --config priced.toml shop 25 --note "invoice 17"; has err 'The balance of "shop" is 25.00 USD now, of which 25.00 can be spent.'
run 0 "$relay" account adjust --config priced.toml shop -0.5; has err "is 24.50 USD now"
run 1 "$relay" account topup --config priced.toml shop 0; has err "must be above 0"
run 1 "$relay" account topup --config priced.toml shop 1,50; has err "must be an amount such as"
run 1 "$relay" account topup --config priced.toml nobody 1; has err 'no account named "nobody"'
run 0 "$relay" account show --config priced.toml shop; has out "in advance"; has out "balance       24.50 USD"; has out "group         friends"
run 0 "$relay" account show --config good.toml shop; has out "not in the configuration"
run 1 "$relay" account set --config priced.toml shop --group foes; has err 'no [[group]] "foes"'

# The admin API by another way: tokens of its own, and a row for each change.
run 2 "$relay" admin-token create --config priced.toml --name front --role king; has err "king not in"
run 0 "$relay" admin-token create --config priced.toml --name front --role operator --expires 90d; has out luma-relay-admin-; has err "with the role operator"; has err "It expires at"; front=$(cat out)
run 1 "$relay" admin-token create --config priced.toml --name front --role viewer; has err "already"
run 0 "$relay" admin-token list --config priced.toml; has out "front"; has out "operator"; hasnt out "$front"
run 0 "$relay" admin-token revoke --config priced.toml front; has err "refused from now on"
run 1 "$relay" admin-token revoke --config priced.toml front; has err 'no admin token "front" in force'
run 0 "$relay" audit list --config priced.toml --limit 3; has out "revokeAdminToken"; has out "command line"; hasnt out topUpAccount
run 0 "$relay" audit list --config priced.toml --json; has out '"target":"account/shop"'; hasnt out "$front"
run 2 "$relay" account set --config priced.toml shop --prepaid --unlimited; has err "excludes"
run 0 "$relay" ledger list --config priced.toml --account shop; has out "invoice 17"; has out "adjust"; has out "-0.50"
run 0 "$relay" ledger list --config priced.toml --account shop --json; has out '"note":"invoice 17"'
run 0 "$relay" usage --config priced.toml --account shop; has err "No job ended from"
run 0 "$relay" usage --config priced.toml --format csv --by day; has out "day,jobs,amount,cost,margin,wait_ms,run_ms"
run 1 "$relay" usage --config priced.toml --since monday; has err "since: must be a day such as 2026-11-29"
run 1 "$relay" usage --config priced.toml --by customer; has err "by: must be some of day, account"
run 0 "$relay" token create --config priced.toml --account shop --name spender; spender=$(cat out)
"$relay" serve --config priced.toml >server.log 2>&1 &
server=$!
port=
for _ in $(seq 100); do
  port=$(sed -n 's/.*listening on 127.0.0.1:\([0-9]*\).*/\1/p' server.log)
  [ -z "$port" ] || break
  sleep 0.1
done
create() { curl -s -D head -o body -w '%{http_code}' -H "Authorization: Bearer $spender" -d @request.json "http://127.0.0.1:$port/dream-machine/v1/generations"; }
[ "$(create)" = 201 ] || fail "a create that is covered is refused: $(cat body)"
grep -qi '^x-relay-cost: 0.20' head || fail "no X-Relay-Cost: $(cat head)"
run 0 "$relay" account adjust --config priced.toml shop -24.2; has err "is 0.30 USD now, of which 0.10 can be spent"
[ "$(create)" = 402 ] || fail "a create that is not covered is taken: $(cat body)"
grep -q insufficient_quota body || fail "no word of the quota: $(cat body)"
kill -TERM $server; wait $server; server=
run 0 "$relay" task cancel-pending --config priced.toml --account shop; has err "1 job that waited"
run 0 "$relay" account show --config priced.toml shop; has out "of it held    0.00 USD"; has out "left          0.30 USD"
run 0 "$relay" ledger list --config priced.toml --account shop; has out "release"
run 0 "$relay" usage --config priced.toml --by account,outcome; has out "failed"; has err "amounts in USD"
run 0 "$relay" account set --config priced.toml shop --unlimited --group "" --models 'ray-flash-*,ray-2'
run 0 "$relay" account show --config priced.toml shop; has out "models        ray-flash-*, ray-2"; has out "afterwards"
run 0 "$relay" token set --config priced.toml shop/spender --rename till --expires 30d --limit open=3; has err "It expires at"
run 0 "$relay" token set --config priced.toml shop/till --address any --expires 0; hasnt err "expires"
run 2 "$relay" token set --config priced.toml shop/till; has err "changes nothing"
run 1 "$relay" token set --config priced.toml shop/spender --rename x; has err "no token named"
run 0 "$relay" token list --config priced.toml --account shop; has out "till"; has out "LAST USED"; has out "$(date -u +%F)"

# ---- lines of requests: in a file of their own, as JSON, one in three of those that succeeded, opened anew by SIGHUP
cp good.toml access.toml
cat >>access.toml <<TOML
[log]
format = "json"
file = "$dir/apart.log"
access_file = "$dir/access.log"
access_sample = 3
TOML
run 0 "$relay" token create --config access.toml --name reader; reader=$(cat out)
"$relay" serve --config access.toml &
server=$!
port=
for _ in $(seq 200); do
  port=$(sed -n 's/.*listening on 127.0.0.1:\([0-9]*\).*/\1/p' apart.log 2>/dev/null || true)
  [ -z "$port" ] || break
  kill -0 $server || fail "it does not start"
  sleep 0.05
done
for _ in 1 2 3 4 5 6; do curl -s -o /dev/null -H "Authorization: Bearer $reader" "http://127.0.0.1:$port/luma/users/me"; done
curl -s -o /dev/null "http://127.0.0.1:$port/luma/users/me?token=hush"
lines() { jq -s "map(select($1)) | length" "$2"; }
for _ in $(seq 100); do grep -q '"status":401' access.log && break; sleep 0.05; done
[ "$(lines '.status == 200 and .route == "me" and .account == "reader" and .duration_us > 0 and (.request_id | length) > 0' access.log)" = 2 ] ||
  fail "not one in three: $(cat access.log)"
[ "$(lines '.status == 401 and .code == "invalid_api_key" and (.why | startswith("Authorization: no API key"))' access.log)" = 1 ] ||
  fail "a refusal does not say why: $(cat access.log)"
! grep -q hush access.log || fail "a secret of a query is in the log"
! grep -q '"status"' apart.log || fail "a request is in the other log"
mv access.log access.log.1; mv apart.log apart.log.1
sed -i 's/^access_sample = 3/access = "errors"/' access.toml
kill -HUP $server
for _ in $(seq 200); do grep -qs "the configuration was read" apart.log && break; sleep 0.05; done
curl -s -o /dev/null -H "Authorization: Bearer $reader" "http://127.0.0.1:$port/luma/users/me"
curl -s -o /dev/null "http://127.0.0.1:$port/nowhere"
for _ in $(seq 100); do grep -qs '"status":404' access.log && break; sleep 0.05; done
[ "$(wc -l <access.log)" = 1 ] || fail "not errors alone: $(cat access.log)"
kill -TERM $server; wait $server; server=
[ "$(lines '.message | startswith("stopped")' apart.log)" = 1 ] || fail "no last line in the log"

# Nobody reads the log: requests are answered all the same, and whoever reads in the end is told what is missing.
mkfifo unread
exec 7<>unread
LUMA_RELAY_SERVER_LISTEN=127.0.0.1:0 "$relay" serve --config good.toml >&7 2>&1 &
server=$!
port=
while [ -z "$port" ] && read -r -t 10 line <&7; do
  port=$(sed -n 's/.*listening on 127.0.0.1:\([0-9]*\).*/\1/p' <<<"$line")
done
[ -n "$port" ] || fail "no word of the port"
answered=$(curl -s -o /dev/null -w '%{http_code}\n' --max-time 60 "http://127.0.0.1:$port/healthz?token=hush&n=[1-40000]" | grep -c 200)
[ "$answered" = 40000 ] || fail "only $answered of 40000 requests were answered while nobody read the log"
kill -TERM $server
timeout 10 cat <&7 >read.log &
reader=$!
wait $server || fail "an unread log held up the end"
server=
kill $reader 2>/dev/null || true
grep -q "log lines were dropped here" read.log || fail "no word of the lines that were dropped"
grep -q "token=…&n=…" read.log || fail "the query is not in the log as it should be"
! grep -q hush read.log || fail "a secret of a query is in the log"
exec 7>&-

echo "$checks checks passed"
