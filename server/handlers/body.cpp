#include "server/handlers/body.hpp"

#include "common/base/ascii.hpp"
#include "common/base/text.hpp"

namespace relay::handlers {
namespace {

// RFC 9110 §8.3.1: the type without its parameters; RFC 6839 §3.1: "+json".
bool is_json(std::string_view content_type) {
  const std::string type = lower(trim(content_type.substr(0, content_type.find(';'))));
  return type.empty() || type.ends_with("/json") || type.ends_with("+json");
}

std::unexpected<error> not_understood(std::string_view header, std::string_view value) {
  return fail(errc::unsupported_type, std::string(header) + ": " + for_log(value, 100) +
                                          " is not understood here; send JSON as it is, not compressed");
}

}  // namespace

result<json::value> parse_body(const call& c, json::storage_ptr memory) {
  std::string_view text = c.http.body;
  constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  auto parsed = parse_strict(text, std::move(memory));
  // Some clients say "Content-Encoding: utf-8": only what is no JSON is looked at.
  const std::string_view coding = c.http.header("Content-Encoding");
  if (!parsed && !coding.empty() && !iequals(trim(coding), "identity"))
    return not_understood("Content-Encoding", coding);
  const std::string_view type = c.http.header("Content-Type");
  if (!parsed && !is_json(type)) return not_understood("Content-Type", type);
  return parsed;
}

}  // namespace relay::handlers
