# What the benchmarks share; sourced with `bin`, `upstream` and `port` set. Sets `dir`, `pids` and the trap that ends
# everything. Loopback only.
dir=$(mktemp -d)
pids=()
trap '[ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT

request='{"prompt":"A tiger walking in snow","model":"ray-2","aspect_ratio":"16:9","loop":false,"resolution":"720p","duration":"5s"}'

# start_nginx [MORE]: the upstream, an nginx that responds from its configuration; MORE goes into its http section
start_nginx() {
  local job='"generation_type":"video","failure_reason":null,"created_at":"2025-05-19T13:51:42.302000Z","model":"ray-2","request":{"generation_type":"video","prompt":"A tiger walking in snow","aspect_ratio":"16:9","loop":false,"keyframes":null,"callback_url":null,"model":"ray-2","resolution":"720p","duration":"5s","concepts":null}'
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
  ${1:-}
}
CONF
  PATH=$PATH:/usr/sbin nginx -c "$dir/nginx.conf" -p "$dir" 2>/dev/null &
  pids+=($!)
}

# relay_config POLL_MS: the relay's configuration, and at first use a token
relay_config() {
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
}
