#include "common/luma/dialect.hpp"

#include "common/luma/view.hpp"

namespace relay {

const dialect& dialect_of(dialect_id id) {
  static constexpr const dialect* table[] = {&dialects::dream_machine, &dialects::luma};
  return *table[static_cast<std::size_t>(id)];
}

namespace {

// The words OpenAI-compatible front ends know.
std::string_view type_of(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

json::value detail_of(const error& e) {
  if (e.violations.empty()) return json::string(e.message.text);
  json::array list;
  for (const violation& v : e.violations) {
    json::array loc;
    for (const std::string& part : v.loc) loc.emplace_back(json::string(part));
    list.emplace_back(json::object{{"type", json::string(v.type)},
                                   {"loc", std::move(loc)},
                                   {"msg", json::string(v.msg)},
                                   {"input", json::string(v.input)}});
  }
  return list;
}

}  // namespace

json::object render(const error& e, error_shape shape) {
  const std::string_view code = info(e.code).code;
  json::object inner{{"message", json::string(e.message.text)},
                     {"type", json::string(type_of(e.http_status()))},
                     {"code", json::string(code)}};
  if (shape == error_shape::envelope) {
    return {{"code", json::string(code)},
            {"message", json::string(e.message.text)},
            {"data", nullptr},
            {"error", std::move(inner)}};
  }
  // `message` beside the two: the official Node SDK makes its exception's text of it.
  return {{"detail", detail_of(e)}, {"message", json::string(e.message.text)}, {"error", std::move(inner)}};
}

namespace shared {

std::string_view official_state(task_state s) {
  switch (s) {
    case task_state::pending:
    case task_state::submitting:
    case task_state::queued:
      return "queued";
    case task_state::dreaming:
      return "dreaming";
    case task_state::completed:
      return "completed";
    case task_state::failed:
      return "failed";
  }
  return "queued";
}

std::string_view web_app_state(task_state s) {
  switch (s) {
    case task_state::pending:
    case task_state::submitting:
    case task_state::queued:
      return "pending";
    case task_state::dreaming:
      return "processing";
    case task_state::completed:
      return "completed";
    case task_state::failed:
      return "failed";
  }
  return "pending";
}

json::value text_or_null(std::string_view text) {
  if (text.empty()) return nullptr;
  return json::string(text);
}

json::object web_app_object(const task_view& v, precision created_at) {
  const auto said = [&v](std::string_view key) {
    const json::value* found = member(v.said, key);
    return found != nullptr ? *found : json::value(nullptr);
  };
  return {{"id", json::string(v.of.id)},
          {"liked", said("liked")},
          {"state", json::string(web_app_state(v.of.state))},
          {"video", v.video},
          {"prompt", json::string(v.prompt)},
          {"thumbnail", v.thumbnail},
          {"video_raw", v.video_raw},
          {"created_at", json::string(to_iso(v.of.created_at, created_at))},
          {"last_frame", v.last_frame},
          {"queue_state", said("queue_state")},
          {"estimate_wait_seconds", said("estimate_wait_seconds")},
          {"failure_reason", text_or_null(v.of.state == task_state::failed ? v.of.fail_reason : "")}};
}

}  // namespace shared
}  // namespace relay
