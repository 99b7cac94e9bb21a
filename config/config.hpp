#pragma once

// The configuration as plain structs. Defaults are here; names, ranges and the sentence that explains each
// key are in fields.cpp, from which loading, checking, printing, the example file and the reference page all
// come.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/money.hpp"
#include "common/base/secret.hpp"
#include "common/base/time.hpp"
#include "common/base/url.hpp"
#include "common/engine/model_names.hpp"
#include "common/engine/price.hpp"
#include "common/luma/models.hpp"

namespace relay {

/// The address of Luma's own API, as an example for operators.
inline constexpr std::string_view official_url = "https://api.lumalabs.ai";
inline constexpr std::string_view official_path = "/dream-machine/v1";

/// Where to listen. Port 0 lets the system choose (tests).
struct listen_address {
  std::string host;
  std::uint16_t port = 0;
};

/// `127.0.0.1:8080`, `[::1]:8080`, `0.0.0.0:80`. Errors: invalid_request.
result<listen_address> parse_listen(std::string_view text);
/// "9.9.9.9", "9.9.9.9:5353", "2620:fe::fe" or "[2620:fe::fe]:53": an address, and 53 without a port. Errors:
/// invalid_request.
result<listen_address> parse_name_server(std::string_view text);

struct server_config {
  std::string listen = "127.0.0.1:8080";
  std::string public_url;
  std::vector<std::string> cors_origins = {"*"};
  std::string when_busy = "queue";  // or "reject"
  milliseconds submit_wait{10'000};
  milliseconds shutdown_delay{0};
  milliseconds shutdown_grace{30'000};
  milliseconds header_timeout{10'000};
  milliseconds body_timeout{30'000};
  milliseconds write_timeout{30'000};
  milliseconds idle_timeout{75'000};
  std::int64_t max_connections = 10'000;
  std::int64_t max_connections_per_address = 256;
  std::vector<std::string> trusted_proxies = {"127.0.0.0/8", "::1"};
  std::int64_t max_header_bytes = 16 * 1024;
  std::int64_t max_body_bytes = 1024 * 1024;
  std::int64_t body_memory_bytes = 256 * 1024 * 1024;
  std::int64_t max_batch_ids = 1'000;
  std::string tasks_shape = "envelope";  // or "array"
  std::string tasks_platform;
};

struct storage_config {
  std::string path = "luma-relay.db";
  std::int64_t queue_bytes = 64 * 1024 * 1024;
  std::int64_t cache_bytes = 32 * 1024 * 1024;
  std::int64_t min_free_bytes = 256 * 1024 * 1024;
  std::int64_t ballast_bytes = 64 * 1024 * 1024;
  milliseconds keep_ended{0};
};

struct submit_config {
  milliseconds deadline{900'000};
  milliseconds retry{1'000};
  milliseconds retry_max{30'000};
  std::string on_ambiguous = "prove";  // or "fail", "resubmit"
  milliseconds settle{60'000};
  milliseconds reconcile_deadline{900'000};
};

struct poll_config {
  milliseconds interval{3'000};
  milliseconds retry_max{60'000};
  milliseconds job_deadline{0};
  std::int64_t concurrency = 128;
  std::int64_t not_found_limit = 5;
  milliseconds not_found_for{180'000};
  milliseconds late_interval{600'000};
  milliseconds late_for{86'400'000};
  bool delete_at_upstream = false;
};

struct callbacks_config {
  bool allow_private_addresses = false;
  milliseconds timeout{15'000};
  std::int64_t concurrency = 64;
  std::int64_t per_host = 8;
  std::vector<milliseconds> retry_after = {
      milliseconds{5'000},      milliseconds{300'000},    milliseconds{1'800'000},
      milliseconds{7'200'000},  milliseconds{18'000'000}, milliseconds{36'000'000},
      milliseconds{50'400'000}, milliseconds{72'000'000}, milliseconds{86'400'000}};
};

struct dns_config {
  std::vector<std::string> servers;
};

struct limits_config {
  std::int64_t pending_per_account = 0;
  std::int64_t open_per_account = 0;
  std::int64_t creates_per_minute_per_account = 0;
  std::int64_t requests_per_minute_per_account = 0;
};

struct credits_config {
  std::int64_t balance_cents = 100'000;
  bool from_upstreams = false;
};

/// A row of a table of prices.
struct price_config {
  price_rule rule;  // its price and `per_second` are worked out when the configuration is checked
  std::string price;
  std::string per = "job";  // or "second"
};

/// Accounts that pay more, or less, than others.
struct group_config {
  std::string name;
  std::string price_factor = "1";
  money factor{millionths_of_unit};  // worked out when the configuration is checked
};

struct billing_config {
  std::string currency = "USD";
  std::string unpriced = "refuse";   // or "free"; without prices everything is free
  std::string late_jobs = "charge";  // or "free"
};

struct assets_config {
  std::string path;
  std::int64_t max_request_bytes = 32 * 1024 * 1024;
  std::int64_t max_file_bytes = 24 * 1024 * 1024;
  std::int64_t max_bytes_per_account = 1024 * 1024 * 1024;
  std::int64_t max_bytes = std::int64_t{10} * 1024 * 1024 * 1024;
  milliseconds keep{7'200'000};
  milliseconds receive_timeout{300'000};
};

struct alerts_config {
  secret url;
  std::string format = "generic";  // one of alert_formats()
  secret sign_with;
  milliseconds pending{300'000};
  milliseconds group{10'000};
  milliseconds repeat{14'400'000};
  milliseconds calm{60'000};
};

struct models_config {
  model_names names;  // worked out when the configuration is checked
  std::vector<std::string> aliases = {"ray-v1=ray-1-6", "ray-1=ray-1-6", "ray-1.6=ray-1-6", "ray-v2=ray-2"};
  std::vector<std::string> defaults = {"image=photon-1"};
};

struct admin_config {
  std::string listen = "127.0.0.1:9090";
  std::vector<std::string> host_names;
  std::int64_t metrics_accounts = 0;
};

struct log_config {
  std::string level = "info";
  std::string format = "text";
  std::string file;
  std::string access = "all";  // or "errors", "off"
  std::int64_t access_sample = 1;
  std::string access_file;
};

/// One of several keys of an upstream.
struct upstream_key_config {
  std::string name;
  secret key;
  std::string key_env;
  std::string key_file;
  std::int64_t weight = 0;              // 0: the upstream's
  std::int64_t max_concurrent = 0;      // 0: the upstream's
  std::int64_t creates_per_minute = 0;  // 0: the upstream's
  bool poll_only = false;
};

struct upstream_config {
  std::string name;
  std::string url;
  secret key;
  std::string key_env;
  std::string key_file;
  std::string protocol = "luma";  // one of families().protocol_names()
  std::int64_t priority = 0;
  std::int64_t weight = 1;
  std::vector<std::string> actions;
  std::vector<std::string> models;
  std::vector<std::string> aliases;
  bool poll_only = false;
  std::string default_model{luma::usual_model};
  std::string ca_file;
  secret proxy;
  std::int64_t max_concurrent = 0;
  std::int64_t creates_per_minute = 0;
  std::int64_t polls_per_second = 5'000;
  std::int64_t max_connections = 256;
  milliseconds connect_timeout{5'000};
  milliseconds first_byte_timeout{30'000};
  milliseconds total_timeout{60'000};
  milliseconds idle_timeout{4'000};

  std::vector<upstream_key_config> keys;
  std::vector<price_config> prices;  // what it takes

  // Worked out when the configuration is checked.
  base_url base;
  std::optional<proxy_address> through;  // nullopt: no proxy
  model_names names;
};

std::vector<price_rule> rules_of(const std::vector<price_config>& prices);

/// One for each of its keys, which it has alone: "luma" for the key without a name, "luma/second" for one
/// with a name. Jobs on disk refer to these names.
std::vector<upstream_config> one_for_each_key(const upstream_config& u);

struct config {
  server_config server;
  storage_config storage;
  submit_config submit;
  poll_config poll;
  callbacks_config callbacks;
  dns_config dns;
  limits_config limits;
  credits_config credits;
  billing_config billing;
  assets_config assets;
  models_config models;
  admin_config admin;
  alerts_config alerts;
  log_config log;
  std::vector<upstream_config> upstreams;
  std::vector<price_config> prices;  // what accounts pay
  std::vector<group_config> groups;
};

}  // namespace relay
