#include "server/admin/admin_api.hpp"

#include <spdlog/logger.h>

#include <algorithm>

#include "common/base/fault_point.hpp"
#include "common/base/text.hpp"
#include "server/await_store.hpp"
#include "server/clock.hpp"

namespace relay {
namespace {

constexpr std::uint64_t max_body = 256 * 1024;
constexpr std::size_t max_key = 255;
constexpr std::size_t most_logged = 300;  // bytes of the text of an error
constexpr std::string_view problem_type = "application/problem+json";

std::string_view code_of(const error& e) {
  switch (e.http_status()) {
    case 401:
      return "unauthorized";
    case 404:
      return "not_found";
    case 409:
      return e.may_retry ? info(e.code).code : "idempotency_interrupted";
    case 412:
      return "precondition_failed";
    case 422:
      return "idempotency_key_reused";
    default:
      return info(e.code).code;
  }
}

// RFC 9457.
http::reply problem_of(const error& e, std::string_view request_id) {
  const int status = e.http_status();
  const std::string& text = e.message.text.empty() ? e.log.text : e.message.text;
  http::reply out = http::json_reply(status, {{"type", "about:blank"},
                                              {"title", json::string(http::reason_phrase(status))},
                                              {"status", status},
                                              {"code", json::string(code_of(e))},
                                              {"detail", json::string(as_utf8(text))},
                                              {"request_id", json::string(request_id)}});
  out.content_type = problem_type;
  if (e.retry_after_seconds > 0) out.add_header("Retry-After", std::to_string(e.retry_after_seconds));
  if (status == 401) out.add_header("WWW-Authenticate", "Bearer");
  return out;
}

error with_status(errc code, int status, std::string text) {
  error e = fail(code, std::move(text)).error();
  e.status = status;
  return e;
}

http::reply reply_of(admin_response& a) {
  http::reply out = a.is_other ? std::move(a.other) : http::json_reply(a.status, a.body);
  if (!a.etag.empty()) out.add_header("ETag", a.etag);
  if (!a.location.empty()) out.add_header("Location", a.location);
  return out;
}

// The path as it was sent, below /admin/v1: "%2F" is part of a name.
std::string below_prefix(const http::request& r) {
  std::string_view path = r.target.substr(0, r.target.find('?'));
  path.remove_prefix(admin_prefix.size());
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return std::string(path);
}

// Errors: invalid_request.
result<json::object> body_of(const admin_route& on, std::string_view text) {
  json::object out;
  if (!text.empty()) {
    auto parsed = parse_strict(text);
    if (!parsed) return fail(errc::invalid_request, parsed.error().message.text);
    if (!parsed->is_object()) return fail(errc::invalid_request, "body: it must be a JSON object");
    out = std::move(parsed->get_object());
  }
  static constexpr shape nothing{"Nothing", {}};
  if (auto ok = check(on.body != nullptr ? *on.body : nothing, out); !ok)
    return std::unexpected(std::move(ok.error()));
  return out;
}

// Errors: invalid_request.
result<std::string> key_of(const http::request& r, const admin_route& on) {
  const http::header_field* sent = r.headers->find("Idempotency-Key");
  if (sent == nullptr) return std::string();
  const std::string_view key = sent->value;
  const bool is_visible = std::ranges::all_of(key, [](char c) { return c > 0x20 && c < 0x7f; });
  if (key.empty() || key.size() > max_key || !is_visible)
    return fail(errc::invalid_request,
                "Idempotency-Key: must be 1 to " + std::to_string(max_key) + " visible ASCII characters");
  return std::string(on.method == http::verb::post && on.returns != nullptr ? key : std::string_view{});
}

sha256_digest digest_of(const http::request& r) {
  sha256_stream all;
  for (const std::string_view part : {r.method_name, r.path, r.query, r.body}) {
    all.feed(std::to_string(part.size()));
    all.feed(":");
    all.feed(part);
  }
  return all.finish();
}

// What is kept of a response, for the same request once more.
json::object without_secrets(json::object body, const shape& as) {
  for (const json_field& f : as.fields) {
    if (f.secret) body[f.name] = nullptr;
  }
  return body;
}

}  // namespace

audit_ptr admin_call::audit(std::string target, const json::object& before, const json::object& after) const {
  const auto text_of_state = [](const json::object& o) {
    return o.empty() ? std::string() : json::serialize(o);
  };
  audit_entry e;
  e.made_by = by.name;
  e.operation = on.operation;
  e.target = std::move(target);
  e.before = text_of_state(before);
  e.after = text_of_state(after);
  e.request_id = request_id;
  e.idempotency_key = idempotency_key;
  e.request = request;
  e.at = now();
  return std::make_shared<const audit_entry>(std::move(e));
}

namespace {

const json::value* value_in(const admin_call& c, std::string_view name) {
  const json::value* v = member(c.body, name);
  return v != nullptr ? v : member(c.query, name);
}

}  // namespace

std::string admin_call::text(std::string_view name) const {
  const json::value* v = value_in(*this, name);
  return v != nullptr && v->is_string() ? std::string(view(v->get_string())) : std::string();
}

// A cursor is a number that is written as text, so that nobody counts with it.
std::int64_t admin_call::number(std::string_view name, std::int64_t otherwise) const {
  const json::value* v = value_in(*this, name);
  if (v != nullptr && v->is_int64()) return v->get_int64();
  return v != nullptr && v->is_string() ? std::stoll(text(name)) : otherwise;
}

bool admin_call::flag(std::string_view name) const {
  const json::value* v = value_in(*this, name);
  return v != nullptr && v->is_bool() && v->get_bool();
}

namespace {

// With what the access log says of it.
http::reply refusal(http::request& r, const error& e, std::string_view allow = {}) {
  r.refusal = code_of(e);
  r.why = cut(e.message.text.empty() ? e.log.text : e.message.text, most_logged);
  http::reply out = problem_of(e, r.id);
  if (!allow.empty()) out.add_header("Allow", allow);
  return out;
}

// The response to a request that was carried out before.
http::reply repeated(const carried_out& before, http::request& r, const admin_call& c) {
  if (!same_digest(before.request, c.request))
    return refusal(r, with_status(errc::invalid_request, 422,
                                  "Idempotency-Key: it belongs to another request; choose a new one"));
  const kept_response& kept = before.response;
  if (kept.status == 0) {
    error e =
        with_status(errc::conflict, 409,
                    "Idempotency-Key: this request was begun before, as request " + before.request_id +
                        ", and its response was not kept: " + before.operation + " of " + before.target +
                        " may have been done. Look at that before you send it with another key");
    e.may_retry = false;
    return refusal(r, e);
  }
  http::reply out;
  out.status = static_cast<int>(kept.status);
  out.body = kept.body;
  if (out.status >= 400) out.content_type = problem_type;
  if (!kept.etag.empty()) out.add_header("ETag", kept.etag);
  if (!kept.location.empty()) out.add_header("Location", kept.location);
  out.add_header("Idempotent-Replayed", "true");
  return out;
}

}  // namespace

result<void> check_match(const admin_call& c, std::string_view etag) {
  if (c.if_match.empty() || c.if_match == "*" || !c.on.has_etag) return {};
  // RFC 9110 §13.1.1: one of a list.
  std::string_view list = c.if_match;
  while (!list.empty()) {
    const std::string_view one = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), one.size() + 1));
    const auto begin = one.find_first_not_of(' ');
    if (begin != one.npos && one.substr(begin, one.find_last_not_of(' ') + 1 - begin) == etag) return {};
  }
  return std::unexpected(with_status(errc::conflict, 412,
                                     "If-Match: it was changed since you read it, and is " +
                                         std::string(etag) + " now; look at it and try again"));
}

admin_api::admin_api(admin_context in) : in_(std::move(in)), turn_(in_.loop.get_executor()) {
  for (const admin_route& row : admin_route_table()) patterns_.push_back({row.method, row.pattern});
  turn_.expires_at(steady_clock::time_point::max());
}

http::reply admin_api::refuse(const error& e, std::string_view request_id) const {
  return problem_of(e, request_id);
}

std::expected<admin_api::admitted, admin_api::refused> admin_api::admit(http::request& r,
                                                                        bool is_local) const {
  const auto refuse_with = [](error e, std::string allow = {}) {
    return std::unexpected(refused{std::move(e), std::move(allow)});
  };
  // 1. Who calls: what is there is nobody else's business.
  admin_identity by = local_identity();
  if (!is_local) {
    auto known = in_.operators.authenticate(r.header("Authorization"), now());
    if (!known) return refuse_with(std::move(known.error()));
    by = std::move(*known);
  }
  r.account_name = by.name;
  // 2. The route.
  const std::string path = below_prefix(r);
  const http::route_match found = http::find_route(patterns_, r.method, path);
  if (found.what == http::route_match::kind::no_path)
    return refuse_with(fail(errc::not_found,
                            "there is no " + for_log(r.path) + " here; GET /openapi.json says what there is")
                           .error());
  if (found.what != http::route_match::kind::found)
    return refuse_with(fail(errc::method_not_allowed, "the method " + for_log(r.method_name, 40) +
                                                          " is not allowed here; allowed: " + found.allow)
                           .error(),
                       found.allow);
  const admin_route& on = admin_route_table()[found.index];
  r.route = on.operation;
  // 3. What the caller may do.
  if (by.role < on.needs)
    return refuse_with(fail(errc::forbidden, "the admin token \"" + by.name + "\" has the role " +
                                                 std::string(name_of(by.role)) + "; this needs " +
                                                 std::string(name_of(on.needs)))
                           .error());
  if (on.local_only && !by.is_local)
    return refuse_with(
        fail(errc::forbidden, "admin tokens are made by the Unix socket alone: luma-relay admin-token create")
            .error());
  auto first = http::percent_decode(found.id);
  auto second = http::percent_decode(found.key);
  if (!first || !second)
    return refuse_with(fail(errc::invalid_request, "the path is not encoded as RFC 3986 says").error());
  return admitted{&on, std::move(by), std::move(*first), std::move(*second)};
}

http::body_plan admin_api::plan_body(http::request& r, bool is_local) {
  http::body_plan out;
  out.most = max_body;
  if (auto in = admit(r, is_local); !in) {
    out.refusal = refusal(r, in.error().why, in.error().allow);
  }
  return out;
}

awaitable<http::reply> admin_api::handle(http::request& r, bool is_local) {
  auto in = admit(r, is_local);
  if (!in) co_return refusal(r, in.error().why, in.error().allow);
  std::string thrown;
  try {
    co_return co_await respond(r, std::move(*in));
  } catch (const std::exception& e) {
    thrown = e.what();
  }
  in_.log.error("admin API: {} ended by an exception: {}", r.route, thrown);
  co_return refusal(
      r, fail(errc::internal, "the relay failed; its log knows more under request id " + std::string(r.id))
             .error());
}

// What the request says, as the shapes of its route have it.
awaitable<http::reply> admin_api::respond(http::request& r, admitted in) {
  static constexpr shape nothing{"Nothing", {}};
  auto query = read_query(in.on->query != nullptr ? *in.on->query : nothing, r.query);
  auto body = body_of(*in.on, r.body);
  auto key = key_of(r, *in.on);
  for (const error* e :
       {query ? nullptr : &query.error(), body ? nullptr : &body.error(), key ? nullptr : &key.error()}) {
    if (e != nullptr) co_return refusal(r, *e);
  }
  admin_call c{in_,
               *in.on,
               std::move(in.by),
               std::move(in.first),
               std::move(in.second),
               std::move(*query),
               std::move(*body),
               std::string(r.header("If-Match")),
               std::string(r.id),
               std::move(*key),
               in.on->changes() ? digest_of(r) : sha256_digest{}};
  if (!in.on->changes()) co_return co_await run(r, c);
  if (!in.on->waits_its_turn) {
    http::reply out = co_await run(r, c);
    // It took long: the token may have been revoked meanwhile.
    if (auto still = admit(r, c.by.is_local); !still) co_return refusal(r, still.error().why);
    co_return out;
  }
  // One change after the other, as they came: what one has looked at is as it was when it writes.
  const std::uint64_t mine = tickets_++;
  while (next_ != mine) co_await turn_.async_wait(as_result);
  std::exception_ptr thrown;
  http::reply out;
  try {
    out = co_await change(r, c);
  } catch (...) {
    thrown = std::current_exception();
  }
  ++next_;
  turn_.cancel();
  if (thrown) std::rethrow_exception(thrown);
  co_return out;
}

awaitable<http::reply> admin_api::change(http::request& r, admin_call& c) {
  // The token may have been revoked while it waited.
  if (auto still = admit(r, c.by.is_local); !still) co_return refusal(r, still.error().why);
  if (c.idempotency_key.empty()) co_return co_await run(r, c);
  const auto before = co_await from_store(in_.tasks, &store::find_carried_out, c.by.name, c.idempotency_key);
  if (!before) co_return refusal(r, before.error());
  if (*before) co_return repeated(**before, r, c);
  co_return co_await run(r, c);
}

awaitable<http::reply> admin_api::run(http::request& r, admin_call& c) {
  auto done = co_await c.on.handle(c);
  if (c.on.changes())
    in_.log.info("admin API: {} {} by {}, request {}: {}", c.on.operation, for_log(below_prefix(r)),
                 c.by.name, r.id, done ? "done" : for_log(done.error().log.text));
  if (done) done->status = c.on.status;
  http::reply out = done ? reply_of(*done) : refusal(r, done.error());
  fault_point("an admin change made, its response not kept");
  // Nothing is kept of a request that was refused: it has no row. Nor of one that failed in the middle: what
  // it did is not known.
  if (!c.idempotency_key.empty() && out.status < 500) {
    kept_response kept{done ? c.on.status : out.status,
                       done ? json::serialize(without_secrets(done->body, *c.on.returns)) : out.body,
                       done ? done->etag : "", done ? done->location : ""};
    const auto written =
        co_await from_store(in_.tasks, &store::keep_response, c.by.name, c.idempotency_key, std::move(kept));
    if (!written)
      in_.log.error("admin API: the response to request {} with an idempotency key was not kept: {}", r.id,
                    written.error().log.text);
  }
  co_return out;
}

}  // namespace relay
