#include "server/upstream/upstream.hpp"

#include "common/base/masked.hpp"

namespace relay {
namespace {

constexpr std::uint64_t max_list_bytes = 64 * 1024 * 1024;  // of one page

exchange_limits limits_of(const upstream_config& c) {
  exchange_limits l;
  l.first_byte = c.first_byte_timeout;
  l.total = c.total_timeout;
  return l;
}

}  // namespace

upstream::upstream(deadlines& d, upstream_config c, const protocol& p,
                   std::shared_ptr<const outgoing_settings> with, std::shared_ptr<connection_pool> pool)
    : deadlines_(d),
      name_(c.name),
      protocol_(p),
      config_(std::make_shared<const upstream_config>(std::move(c))),
      with_(std::move(with)),
      pool_(std::move(pool)),
      polls_(config_->polls_per_second) {}

void upstream::change(upstream_config c, std::shared_ptr<const outgoing_settings> with,
                      std::shared_ptr<connection_pool> pool) {
  config_ = std::make_shared<const upstream_config>(std::move(c));
  with_ = std::move(with);
  pool_ = std::move(pool);
  polls_ = rate(config_->polls_per_second);
  configured_ = true;
}

// One buffer, one write. These are all the header fields that ever go upstream: nothing of the client's.
std::string upstream::make_request(std::string_view method, const std::string& path, std::string_view body,
                                   std::string_view traceparent) const {
  std::string out;
  out.reserve(body.size() + 512);
  out.append(method).append(" ").append(config_->base.path).append(protocol_.base_path).append(path);
  out.append(" HTTP/1.1\r\nHost: ").append(config_->base.authority());
  out.append("\r\nAuthorization: ").append(protocol_.authorization).append(config_->key.reveal());
  out.append("\r\nAccept: application/json\r\nUser-Agent: luma-relay\r\n");
  if (!traceparent.empty()) out.append("traceparent: ").append(traceparent).append("\r\n");
  if (!body.empty()) {
    out.append("Content-Type: application/json\r\nContent-Length: ")
        .append(std::to_string(body.size()))
        .append("\r\n");
  }
  out.append("\r\n").append(body);
  return out;
}

awaitable<exchange> upstream::one_exchange(std::string_view method, const std::string& path,
                                           std::string_view body, bool& was_reused, body_sink sink,
                                           std::string_view traceparent) {
  // A reload meanwhile means the next exchange.
  const auto config = config_;
  const auto pool = pool_;
  const std::string request = make_request(method, path, body, traceparent);
  const bool is_create = method == "POST";
  connection_pool::lease l = co_await pool->get(is_create);
  if (!l) {
    exchange none;
    none.no_room = l.all_in_use;
    none.problem = std::move(l.problem);
    co_return none;
  }
  was_reused = l.reused();
  bool reusable = false;
  exchange_limits limits = limits_of(*config);
  if (sink) limits.response_bytes = max_list_bytes;
  exchange out = co_await run_exchange(*l, request, limits, reusable, std::move(sink));
  // An upstream may quote the key: what is kept, shown or logged of its words is without it.
  if (quotes(out.body, config->key.reveal())) out.body = masked(out.body, config->key.reveal());
  if (reusable) l.give_back();
  co_return out;
}

awaitable<exchange> upstream::create(const outgoing& what) {
  bool reused = false;
  co_return co_await one_exchange("POST", what.path, what.body, reused, {}, what.traceparent);
}

awaitable<exchange> upstream::fetch(const std::string& path) {
  return ask("GET", path);
}

awaitable<exchange> upstream::remove(const std::string& path) {
  return ask("DELETE", path);
}

awaitable<exchange> upstream::ask(std::string_view method, const std::string& path) {
  bool reused = false;
  exchange out = co_await one_exchange(method, path, {}, reused);
  if (!out.responded && reused && !deadlines_.expiring()) {
    pool_->drop_kept();  // where one is dead, the others are old too
    out = co_await one_exchange(method, path, {}, reused);
  }
  co_return out;
}

awaitable<exchange> upstream::fetch_list(const std::string& path, body_sink sink) {
  bool reused = false;
  bool began = false;  // once some of it was taken, it cannot be sent again
  const auto config = config_;
  masking_stream without_key(config->key.reveal(), std::move(sink));
  body_sink watched = [&](std::string_view part) {
    began = true;
    without_key.feed(part);
  };
  exchange out = co_await one_exchange("GET", path, {}, reused, watched);
  if (!out.responded && reused && !began && !out.timed_out && !deadlines_.expiring() && config == config_) {
    pool_->drop_kept();
    out = co_await one_exchange("GET", path, {}, reused, watched);
  }
  without_key.end();
  co_return out;
}

}  // namespace relay
