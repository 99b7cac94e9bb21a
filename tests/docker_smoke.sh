#!/usr/bin/env bash
# The container image without a Docker engine: built by buildah in a chroot on a base made with debootstrap, then run:
# a simulator, a relay, a token, a job. On demand: ./dev test --docker (root; takes some minutes and 3 GB).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[ "$(id -u)" = 0 ] || { echo "docker_smoke: needs root" >&2; exit 1; }
work=$(mktemp -d)
export BUILDAH_ISOLATION=chroot
buildah() { command buildah --root "$work/storage" --runroot "$work/run" "$@"; }
pids=()
cleanup() {
  local status=$?
  if [ $status != 0 ]; then
    echo "docker_smoke: failed with $status" >&2
    tail -n 20 "$work"/sim.log "$work"/relay.log >&2 2>/dev/null || true
  fi
  [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  buildah rm --all >/dev/null 2>&1 || true
  umount -R "$work"/storage/overlay/*/merged "$work/storage/overlay" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
say() { printf '== %s\n' "$*"; }

say "a base image with debootstrap"
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
debootstrap --variant=minbase --include=ca-certificates bookworm "$work/base" "$mirror" >"$work/debootstrap.log" 2>&1 ||
  { tail -20 "$work/debootstrap.log"; exit 1; }
# The host's own way to its packages, whatever that is; apt's sandbox user does not exist in a chroot build.
cp -a /etc/apt/sources.list* /etc/apt/apt.conf.d "$work/base/etc/apt/" 2>/dev/null || true
rm -f "$work/base/etc/apt/apt.conf.d/"*docker*
echo 'APT::Sandbox::User "root";' >"$work/base/etc/apt/apt.conf.d/90smoke"
rm -rf "$work/base/var/cache/apt/archives/"*.deb
tar -C "$work/base" -cf "$work/base.tar" .
base=$(buildah from scratch)
buildah add -q "$base" "$work/base.tar" / >/dev/null
buildah commit -q "$base" localhost/base >/dev/null
buildah rm "$base" >/dev/null
rm -rf "$work/base" "$work/base.tar"

cd "$root"
for target in relay simulator; do
  say "building $target"
  buildah bud --layers --build-arg BASE=localhost/base --target $target -f docker/Dockerfile -t localhost/luma-$target . >"$work/bud.log" 2>&1 ||
    { tail -40 "$work/bud.log"; exit 1; }
done

size() { buildah push -q "$1" "oci-archive:$work/image.tar" >/dev/null && du -m "$work/image.tar" | cut -f1; }
say "image: $(size localhost/luma-relay) MB compressed, of which the base $(size localhost/base) MB"

say "running it"
sim=$(buildah from localhost/luma-simulator)
relay=$(buildah from localhost/luma-relay)
sim_port=19870 port=19871
buildah run "$sim" -- luma-sim --listen 127.0.0.1:$sim_port --queued-ms 300 --dreaming-ms 500 >"$work/sim.log" 2>&1 &
pids+=($!)
env="-e LUMA_RELAY_SERVER_LISTEN=127.0.0.1:$port -e LUMA_RELAY_ADMIN_LISTEN= -e LUMA_RELAY_UPSTREAM_1_NAME=sim
  -e LUMA_RELAY_UPSTREAM_1_URL=http://127.0.0.1:$sim_port -e LUMA_RELAY_UPSTREAM_1_KEY=luma-sim-key -e LUMA_RELAY_POLL_INTERVAL_MS=200
  -e LUMA_RELAY_STORAGE_PATH=/tmp/luma-relay.db"
# shellcheck disable=SC2086
buildah run $env "$relay" -- bash -c 'id -u; luma-relay token create --name smoke; exec luma-relay serve' >"$work/relay.log" 2>&1 &
pids+=($!)
for _ in $(seq 100); do curl -fs http://127.0.0.1:$port/readyz >/dev/null 2>&1 && break; sleep 0.2; done
grep -q '^10001$' "$work/relay.log" || { cat "$work/relay.log"; echo "it does not run as the user relay"; exit 1; }
token=$(grep -o 'luma-relay-[A-Za-z0-9_-]\{43\}' "$work/relay.log" | head -n 1)
call() { curl -fsS -H "Authorization: Bearer $token" "$@"; }
id=$(call http://127.0.0.1:$port/dream-machine/v1/generations -d '{"prompt":"A tiger walking in snow","model":"ray-2"}' | sed 's/.*"id":"\([^"]*\)","state".*/\1/')
state=
for _ in $(seq 100); do
  state=$(call "http://127.0.0.1:$port/luma/generations/$id" | sed 's/.*"state":"\([^"]*\)".*/\1/')
  [ "$state" = completed ] && break
  sleep 0.2
done
[ "$state" = completed ] || { cat "$work/relay.log"; echo "the job is $state"; exit 1; }
say "the job completed inside the image: 1 passed, 0 failed"
