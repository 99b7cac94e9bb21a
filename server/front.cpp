#include "server/front.hpp"

#include <spdlog/logger.h>

#include <algorithm>

namespace relay {

http::reply error_reply(const error& e, error_shape shape) {
  http::reply out = http::json_reply(e.http_status(), render(e, shape));
  if (e.retry_after_seconds > 0) out.add_header("Retry-After", std::to_string(e.retry_after_seconds));
  if (!e.may_retry) out.add_header("x-should-retry", "false");
  if (e.http_status() == 401) out.add_header("WWW-Authenticate", "Bearer");
  return out;
}

front::front(services in, std::span<const route> table) : in_(std::move(in)), table_(table) {
  for (const route& r : table_) patterns_.push_back({r.method, r.pattern});
}

error_shape front::shape_for(std::string_view path) const {
  return path.starts_with("/luma/tasks") ? error_shape::envelope : error_shape::official;
}

http::reply front::refuse(const error& e, std::string_view target) const {
  return error_reply(e, shape_for(target));
}

awaitable<http::reply> front::handle(http::request& r) {
  http::reply out;
  std::string thrown;
  try {
    out = co_await answer(r);
  } catch (const std::exception& e) {
    thrown = e.what();
  }
  if (!thrown.empty()) {
    in_.log.error("request {}: {} {} ended by an exception: {}", r.id, r.method_name, r.route, thrown);
    error e;
    e.code = errc::internal;
    e.may_retry = r.method != http::verb::post;
    e.message.text = "The relay failed to answer; its log knows more under request id " + std::string(r.id);
    out = error_reply(e, shape_for(r.path));
  }
  add_cors(r, out);
  co_return out;
}

// Prefixes that some clients have built in: /v1/luma/…, /luma/v1/…, the same with pro and vip,
// /luma/dream-machine/….
std::string_view front::canonical(std::string_view path, std::string& changed) {
  const auto has_segment = [](std::string_view p, std::string_view segment) {
    return p.starts_with(segment) && p.size() > segment.size() && p[segment.size()] == '/';
  };
  constexpr std::string_view luma = "/luma";
  constexpr std::string_view tiers[] = {"/v1", "/pro", "/vip"};
  for (const std::string_view tier : tiers) {
    if (has_segment(path, tier) && has_segment(path.substr(tier.size()), luma))
      path.remove_prefix(tier.size());
  }
  if (!has_segment(path, luma)) return path;
  const std::string_view rest = path.substr(luma.size());
  if (has_segment(rest, "/dream-machine")) return rest;
  for (const std::string_view tier : tiers) {
    if (has_segment(rest, tier)) return changed = std::string(luma) + std::string(rest.substr(tier.size()));
  }
  return path;
}

awaitable<http::reply> front::answer(http::request& r) {
  std::string changed;
  r.path = canonical(r.path, changed);
  const http::route_match found = http::find_route(patterns_, r.method, r.path);
  if (found.what == http::route_match::kind::no_path) {
    error e;
    e.code = errc::not_found;
    e.message.text =
        "There is no " + std::string(cut(r.path, 200)) +
        " here; the API is under /dream-machine/v1/generations, /luma/generations and /luma/tasks";
    co_return error_reply(e, shape_for(r.path));
  }
  if (r.method == http::verb::options) {
    http::reply out;
    out.status = 204;
    out.add_header("Allow", found.allow);
    r.route = "options";
    co_return out;
  }
  if (found.what == http::route_match::kind::no_method) {
    error e;
    e.code = errc::method_not_allowed;
    e.message.text =
        "The method " + std::string(cut(r.method_name, 40)) + " is not allowed here; allowed: " + found.allow;
    http::reply out = error_reply(e, shape_for(r.path));
    out.add_header("Allow", found.allow);
    co_return out;
  }

  const route& on = table_[found.index];
  r.route = on.name;
  call c{in_, r, on, std::string(found.id), std::string(found.key), {}};
  if (on.needs == access::token) {
    auto who = in_.tokens.authenticate(r.header(boost::beast::http::field::authorization));
    if (!who) co_return error_reply(who.error(), on.errors);
    c.who = **who;
    r.token_name = c.who.name;
  }
  co_return co_await on.handle(c);
}

void front::add_cors(const http::request& r, http::reply& out) const {
  const std::string_view origin = r.header(boost::beast::http::field::origin);
  if (origin.empty()) return;
  const auto& allowed = in_.settings.server.cors_origins;
  if (std::ranges::find(allowed, "*") != allowed.end()) {
    out.add_header("Access-Control-Allow-Origin", "*");
  } else if (std::ranges::find(allowed, origin) != allowed.end()) {
    out.add_header("Access-Control-Allow-Origin", origin);
    out.add_header("Vary", "Origin");
  } else {
    return;
  }
  out.add_header("Access-Control-Expose-Headers",
                 "X-Request-Id, Retry-After, Idempotent-Replayed, Preference-Applied");
  if (r.method != http::verb::options) return;
  const std::string_view wanted = r.header(boost::beast::http::field::access_control_request_headers);
  out.add_header("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS");
  out.add_header("Access-Control-Allow-Headers", wanted.empty() ? "Authorization, Content-Type" : wanted);
  out.add_header("Access-Control-Max-Age", "86400");
}

}  // namespace relay
