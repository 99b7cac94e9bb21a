#include "server/request_handler.hpp"

#include <spdlog/logger.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>

#include "common/base/ascii.hpp"
#include "common/base/text.hpp"
#include "server/clock.hpp"
#include "server/request_rate.hpp"

namespace relay {
namespace {

constexpr std::size_t most_logged = 300;  // bytes of the text of an error

// With Retry-After, x-should-retry and WWW-Authenticate where they belong.
http::reply error_reply(const error& e, const dialect& d) {
  // What a client sent may stand in it: JSON is UTF-8 (RFC 8259 §8.1).
  error shown = e;
  shown.message.text = as_utf8(shown.message.text);
  for (violation& v : shown.violations) {
    v.msg = as_utf8(v.msg);
    v.input = as_utf8(v.input);
    for (std::string& place : v.loc) place = as_utf8(place);
  }
  http::reply out = http::json_reply(e.http_status(), d.render_error(shown));
  if (e.retry_after_seconds > 0) out.add_header("Retry-After", std::to_string(e.retry_after_seconds));
  if (!e.may_retry) out.add_header("x-should-retry", "false");
  if (e.http_status() == 401) out.add_header("WWW-Authenticate", "Bearer");
  return out;
}

// A token may be for some addresses only. Errors: forbidden.
result<void> may_come(const caller& by, std::string_view peer) {
  if (by.with.addresses.empty()) return {};
  const auto address = parse_ip(peer);
  if (address && by.from.contains(*address)) return {};
  return fail(errc::forbidden,
              "Authorization: this API key may not be used from the address " + std::string(peer));
}

}  // namespace

request_handler::request_handler(handler_context in, const route_table& table, audience a)
    : in_(std::move(in)), table_(table), audience_(a) {
  for (const route& r : table_.rows) patterns_.push_back({r.method, r.pattern});
}

http::reply request_handler::refuse(const error& e, const http::unrouted& r) const {
  http::reply out = error_reply(e, table_.spoken_at(r.target));
  if (audience_ != audience::clients) return out;
  const auto read = [&r](std::string_view name) {
    const http::header_field* found = r.headers != nullptr ? r.headers->find(name) : nullptr;
    return found != nullptr ? found->value : std::string_view{};
  };
  std::string_view origin = read("Origin");
  if (r.headers == nullptr && any_origin()) origin = "*";  // whose page it is was not read
  if (origin.empty()) return out;
  // The request that follows a preflight gets this error, which the page can read then.
  const std::string_view method = read("Access-Control-Request-Method");
  if (r.asks_options && (r.headers == nullptr || !method.empty())) {
    out = {};
    out.status = 204;
    out.close = true;
    allow_preflight(method, read("Access-Control-Request-Headers"), out);
  }
  allow_origin(origin, out);
  return out;
}

awaitable<http::reply> request_handler::handle(http::request& r) {
  std::string changed;  // the path may point into it to the end
  outcome done;
  std::string thrown;
  try {
    auto in = admit(r, changed, true);
    if (in) {
      static const account nobody;
      const account& who = in->by ? *in->by->who : nobody;
      call c{in_,
             r,
             *in->on,
             std::move(in->id),
             std::move(in->key),
             std::move(in->by),
             who,
             std::move(in->headers)};
      handled ended = co_await c.on.handle(c);
      r.sink = nullptr;  // what it held is free before the response is read
      done = {std::move(ended), c.on.speaks, std::move(c.headers)};
    } else {
      done = std::move(in.error());
    }
  } catch (const std::exception& e) {
    thrown = e.what();
  }
  // A defect of ours. A POST may have done its work: a client is not to repeat it.
  if (!thrown.empty()) {
    in_.log.error("request {}: {} {} ended by an exception: {}", r.id, r.method_name, r.route, thrown);
    error e;
    e.code = errc::internal;
    e.may_retry = r.method != http::verb::post;
    e.message.text = "The relay failed to answer; its log knows more under request id " + std::string(r.id);
    done = {std::unexpected(std::move(e))};
  }
  co_return reply_of(r, std::move(done));
}

http::body_plan request_handler::plan_body(http::request& r) {
  std::string changed;
  const std::string_view path = r.path;
  auto in = admit(r, changed, false);
  http::body_plan out;
  if (!in) {
    out.refusal = reply_of(r, std::move(in.error()));
  } else if (in->on->receive != nullptr) {
    auto plan = in->on->receive({in_, r, in->id, in->key, in->by ? in->by->who.get() : nullptr});
    if (plan)
      out = std::move(*plan);
    else
      out.refusal = reply_of(r, outcome{std::unexpected(std::move(plan.error())), in->on->speaks});
  }
  r.path = path;  // it may have pointed into `changed`
  return out;
}

// An error becomes a reply here and nowhere else, in the words of the route.
http::reply request_handler::reply_of(http::request& r, outcome done) const {
  if (!done.ended) {
    in_.figures.refused(done.ended.error().code);
    r.refusal = info(done.ended.error().code).code;
    r.why = cut(done.ended.error().message.text, most_logged);
    const dialect& spoken = done.spoken != nullptr ? *done.spoken : table_.spoken_at(r.path);
    done.ended = error_reply(done.ended.error(), spoken);
  }
  for (const auto& [name, value] : done.headers) done.ended->add_header(name, value);
  if (audience_ == audience::clients) add_cors(r, *done.ended);
  return std::move(*done.ended);
}

std::expected<request_handler::admitted, request_handler::outcome> request_handler::admit(
    http::request& r, std::string& changed, bool counts) const {
  if (audience_ == audience::operators && !is_own_name(r.header("Host"))) {
    error e;
    e.code = errc::invalid_request;
    e.status = 421;  // RFC 9110 §15.5.20
    e.message.text = "Host: must be an address, localhost, a name without a dot, or one of admin.host_names";
    return std::unexpected(outcome{std::unexpected(std::move(e))});
  }
  if (r.path == "*") {  // OPTIONS of the whole server
    outcome out;
    out.headers.emplace_back("Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS");
    http::reply allowed;
    allowed.status = 204;
    out.ended = std::move(allowed);
    r.route = "options";
    return std::unexpected(std::move(out));
  }
  // 1. The route.
  r.path = table_.canonical(r.path, changed);
  const http::route_match found = http::find_route(patterns_, r.method, r.path);
  if (found.what != http::route_match::kind::found || r.method == http::verb::options)
    return std::unexpected(not_routed(found, r));
  admitted out{&table_.rows[found.index], std::string(found.id), std::string(found.key), nullptr};
  r.route = out.on->name;

  // 2. The token.
  if (out.on->needs == access::token) {
    std::string_view key = r.header("Authorization");
    if (key.empty()) key = r.header("X-API-KEY");  // ComfyUI's nodes
    auto by = in_.accounts.authenticate(key, now());
    if (!by) return std::unexpected(outcome{std::unexpected(std::move(by.error())), out.on->speaks});
    out.by = std::move(*by);
    r.account_name = out.by->who->name;
    r.token_name = out.by->with.name;
    if (auto refused = may_come(*out.by, r.peer); !refused)
      return std::unexpected(outcome{std::unexpected(std::move(refused.error())), out.on->speaks});
    // The handler of creates counts them: the retry of one that was refused is told by its body.
    if (out.on->creates == nullptr) {
      if (auto within = within_request_limit(in_, *out.by, counts, out.headers); !within)
        return std::unexpected(
            outcome{std::unexpected(std::move(within.error())), out.on->speaks, std::move(out.headers)});
    }
  }
  return out;
}

// No such path, OPTIONS, or a method that the path does not have.
request_handler::outcome request_handler::not_routed(const http::route_match& found, http::request& r) const {
  outcome out;
  error e;
  const bool is_preflight =
      r.method == http::verb::options && !r.header("Access-Control-Request-Method").empty();
  if (found.what == http::route_match::kind::no_path && is_preflight) {
    // The request that follows is answered with 404, which the page can read then.
    http::reply allowed;
    allowed.status = 204;
    out.ended = std::move(allowed);
    r.route = "options";
    return out;
  }
  if (found.what == http::route_match::kind::no_path) {
    e.code = errc::not_found;
    const std::string path(cut(r.path, 200));
    const bool within = std::ranges::any_of(
        table_.prefixes, [&r](std::string_view prefix) { return r.path.starts_with(prefix); });
    e.message.text = within ? path + " is not served by this relay; see docs/api.md for what is"
                            : "There is no " + path + " here; " + std::string(table_.hint);
    out.ended = std::unexpected(std::move(e));
    return out;
  }
  out.headers.emplace_back("Allow", found.allow);
  if (r.method == http::verb::options) {
    http::reply allowed;
    allowed.status = 204;
    out.ended = std::move(allowed);
    r.route = "options";
  } else {
    e.code = errc::method_not_allowed;
    e.message.text =
        "The method " + std::string(cut(r.method_name, 40)) + " is not allowed here; allowed: " + found.allow;
    out.ended = std::unexpected(std::move(e));
  }
  return out;
}

// A page in an operator's browser can have a name of its own lead here (DNS rebinding), but not choose these.
bool request_handler::is_own_name(std::string_view host) const {
  // Without the port.
  if (host.starts_with('['))
    host = host.substr(1, host.find(']') - 1);
  else
    host = host.substr(0, host.rfind(':'));
  const std::string name = lower(host);
  boost::system::error_code ec;
  asio::ip::make_address(name, ec);
  if (!ec || name.find('.') == name.npos) return true;
  return std::ranges::any_of(in_.settings.admin.host_names,
                             [&name](const std::string& own) { return lower(own) == name; });
}

bool request_handler::any_origin() const {
  const auto& allowed = in_.settings.server.cors_origins;
  return std::ranges::find(allowed, "*") != allowed.end();
}

// False: pages of this origin may not read it.
bool request_handler::allow_origin(std::string_view origin, http::reply& out) const {
  const auto& allowed = in_.settings.server.cors_origins;
  if (any_origin()) {
    out.add_header("Access-Control-Allow-Origin", "*");
  } else if (std::ranges::find(allowed, origin) != allowed.end()) {
    out.add_header("Access-Control-Allow-Origin", origin);
    out.add_header("Vary", "Origin");
  } else {
    return false;
  }
  out.add_header(
      "Access-Control-Expose-Headers",
      "X-Request-Id, Retry-After, Idempotent-Replayed, Preference-Applied, Content-Range, Accept-Ranges, "
      "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Relay-Cost");
  return true;
}

void request_handler::add_cors(const http::request& r, http::reply& out) const {
  // Fetch standard §3.2: only what a browser sent has an origin.
  const std::string_view origin = r.header("Origin");
  if (origin.empty() || !allow_origin(origin, out)) return;
  if (r.method == http::verb::options)
    allow_preflight(r.header("Access-Control-Request-Method"), r.header("Access-Control-Request-Headers"),
                    out);
}

// Fetch standard §4.8: whatever the page wants to send is let through to its own answer.
void request_handler::allow_preflight(std::string_view method, std::string_view headers, http::reply& out) {
  std::string methods = "GET, HEAD, POST, PUT, DELETE, OPTIONS";
  const bool is_other = method != "GET" && method != "HEAD" && method != "POST" && method != "PUT" &&
                        method != "DELETE" && method != "OPTIONS";
  if (is_other && is_word(method, "-_")) methods.append(", ").append(method);
  out.add_header("Access-Control-Allow-Methods", methods);
  out.add_header(
      "Access-Control-Allow-Headers",
      headers.empty() ? "Authorization, Content-Type, X-API-KEY, Idempotency-Key, Prefer" : headers);
  out.add_header("Access-Control-Max-Age", "86400");
}

}  // namespace relay
