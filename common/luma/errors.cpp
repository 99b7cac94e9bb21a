// Errors in every shape a client of Luma looks for.

#include "common/luma/dialects.hpp"

namespace relay::luma {
namespace {

// The words OpenAI-compatible front ends know.
std::string_view type_of(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 402:
      return "insufficient_quota";
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

json::object inner_error(const error& e) {
  return {{"message", json::string(e.message.text)},
          {"type", json::string(type_of(e.http_status()))},
          {"code", json::string(info(e.code).code)}};
}

}  // namespace

json::object render_official_error(const error& e) {
  // `message` beside the two: the official Node SDK makes its exception's text of it.
  return {{"detail", detail_of(e)}, {"message", json::string(e.message.text)}, {"error", inner_error(e)}};
}

json::object render_envelope_error(const error& e) {
  return {{"code", json::string(info(e.code).code)},
          {"message", json::string(e.message.text)},
          {"data", nullptr},
          {"error", inner_error(e)}};
}

}  // namespace relay::luma
