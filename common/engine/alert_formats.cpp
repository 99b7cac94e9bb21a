#include "common/engine/alert_formats.hpp"

#include <algorithm>
#include <chrono>

#include "common/base/base64.hpp"
#include "common/base/digest.hpp"
#include "common/base/json.hpp"

namespace relay {
namespace {

constexpr std::size_t max_wecom_text = 2'048;  // bytes
constexpr std::size_t max_text = 8'000;        // bytes; what no service refuses

std::string_view bytes_of(const sha256_digest& d) {
  return {reinterpret_cast<const char*>(d.data()), d.size()};
}

// "2026-11-29 04:40:12"
std::string to_the_second(timestamp t) {
  std::string out = to_iso(t, precision::milliseconds).substr(0, 19);
  std::ranges::replace(out, 'T', ' ');
  return out;
}

json::value time_or_null(timestamp t) {
  return is_set(t) ? json::value(json::string(to_iso(t, precision::milliseconds))) : json::value(nullptr);
}

// Characters that are not unreserved, RFC 3986 §2.3: of base64's three.
std::string in_query(std::string_view base64) {
  std::string out;
  for (const char c : base64) {
    if (c == '+')
      out += "%2B";
    else if (c == '/')
      out += "%2F";
    else if (c == '=')
      out += "%3D";
    else
      out += c;
  }
  return out;
}

alert_message generic(const std::vector<alert>& what, std::string_view relay, const secret& sign_with,
                      timestamp now) {
  json::array list;
  for (const alert& a : what) {
    list.emplace_back(json::object{{"name", json::string(a.name)},
                                   {"subject", json::string(a.subject)},
                                   {"status", json::string(name_of(a.state))},
                                   {"text", json::string(a.text)},
                                   {"since", time_or_null(a.since)},
                                   {"until", time_or_null(a.until)}});
  }
  const bool any = std::ranges::any_of(what, [](const alert& a) { return a.state != alert::what::resolved; });
  json::object body{{"relay", json::string(relay)},
                    {"status", any ? "firing" : "resolved"},
                    {"text", json::string(alert_text(what, relay))},
                    {"alerts", std::move(list)}};
  if (!sign_with.empty()) {
    // What was signed can be checked by its receiver: the time, a dot, the text.
    const std::string time = std::to_string(to_unix(now));
    const std::string text(view(body["text"].as_string()));
    body["timestamp"] = json::string(time);
    body["signature"] = json::string(to_base64(bytes_of(hmac_sha256(sign_with.reveal(), time + "." + text))));
  }
  return {{}, json::serialize(body)};
}

alert_message slack(const std::vector<alert>& what, std::string_view relay, const secret&, timestamp) {
  return {{}, json::serialize(json::object{{"text", json::string(alert_text(what, relay))}})};
}

// https://developer.work.weixin.qq.com/document/path/91770
alert_message wecom(const std::vector<alert>& what, std::string_view relay, const secret&, timestamp) {
  const std::string text(cut(alert_text(what, relay), max_wecom_text));
  return {{},
          json::serialize(json::object{{"msgtype", "text"}, {"text", {{"content", json::string(text)}}}})};
}

// https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot: what is signed is nothing, with a key of
// the time, a line feed and the secret.
alert_message feishu(const std::vector<alert>& what, std::string_view relay, const secret& sign_with,
                     timestamp now) {
  json::object body{{"msg_type", "text"}, {"content", {{"text", json::string(alert_text(what, relay))}}}};
  if (!sign_with.empty()) {
    const std::string time = std::to_string(to_unix(now));
    body["timestamp"] = json::string(time);
    body["sign"] = json::string(to_base64(bytes_of(hmac_sha256(time + "\n" + sign_with.reveal(), ""))));
  }
  return {{}, json::serialize(body)};
}

// https://open.dingtalk.com/document/robots/custom-robot-access: the signature stands in the query.
alert_message dingtalk(const std::vector<alert>& what, std::string_view relay, const secret& sign_with,
                       timestamp now) {
  alert_message out;
  const std::string text = alert_text(what, relay);
  out.body = json::serialize(json::object{{"msgtype", "text"}, {"text", {{"content", json::string(text)}}}});
  if (!sign_with.empty()) {
    const auto ms = std::chrono::floor<milliseconds>(now.time_since_epoch()).count();
    const std::string time = std::to_string(ms);
    const auto signature = hmac_sha256(sign_with.reveal(), time + "\n" + sign_with.reveal());
    out.query = "timestamp=" + time + "&sign=" + in_query(to_base64(bytes_of(signature)));
  }
  return out;
}

std::string none(std::string_view) {
  return {};
}

// They respond with 200 also to what they refuse: a number that is not 0, and words.
std::string refusal_in(std::string_view body) {
  const auto parsed = parse_lenient(body);
  const json::object* o = parsed ? parsed->if_object() : nullptr;
  if (o == nullptr) return {};
  for (const char* key : {"errcode", "code", "StatusCode"}) {
    const json::value* code = o->if_contains(key);
    if (code == nullptr || !code->is_int64() || code->get_int64() == 0) continue;
    const std::string_view words = first_text(*o, {"errmsg", "msg", "StatusMessage"});
    return "code " + std::to_string(code->get_int64()) + (words.empty() ? "" : ": " + for_log(words));
  }
  return {};
}

constexpr alert_format table[] = {{"generic", generic, none},
                                  {"slack", slack, none},
                                  {"wecom", wecom, refusal_in},
                                  {"feishu", feishu, refusal_in},
                                  {"dingtalk", dingtalk, refusal_in}};

}  // namespace

std::span<const alert_format> alert_formats() {
  return table;
}

const alert_format* find_alert_format(std::string_view name) {
  const auto found = std::ranges::find(table, name, &alert_format::name);
  return found == std::end(table) ? nullptr : &*found;
}

std::string alert_text(const std::vector<alert>& what, std::string_view relay) {
  std::string out = "luma-relay " + std::string(relay);
  for (const alert& a : what) {
    const std::string_view state = a.state == alert::what::resolved       ? "RESOLVED"
                                   : a.state == alert::what::still_firing ? "STILL"
                                                                          : "ALERT";
    out.append("\n").append(state).append(": ").append(a.text);
    out.append(" (since ").append(to_the_second(a.since));
    if (is_set(a.until)) out.append(", until ").append(to_the_second(a.until));
    out.append(" UTC)");
  }
  return std::string(cut(out, max_text));
}

}  // namespace relay
