#include "common/engine/upstream_words.hpp"

#include "common/base/addresses.hpp"
#include "common/base/ascii.hpp"
#include "common/base/text.hpp"
#include "common/base/url.hpp"
#include "common/engine/address_policy.hpp"

namespace relay {
namespace {

constexpr std::size_t most = 500;
constexpr std::string_view borders = " \t\r\n\"'`,;()<>[]{}=|";

std::string_view without_port(std::string_view host) {
  const auto colon = host.rfind(':');
  const bool has_port = colon != host.npos && host.find(':') == colon;
  return has_port ? host.substr(0, colon) : host;
}

// A word such as http://10.0.0.3:8000/x, 10.0.0.3:8000, localhost:9, db.internal.
bool is_internal(std::string_view word) {
  while (word.ends_with('.') || word.ends_with(':')) word.remove_suffix(1);
  if (word.contains("://")) {
    const auto to = parse_base_url(word.substr(0, word.find_first_of("?#")));
    return to && is_private_host(to->host);
  }
  const std::string_view host = without_port(word.substr(0, word.find('/')));
  if (parse_ip(host)) return is_private_host(host) && host.size() > 3;
  const std::string name = lower(host);
  return name == "localhost" || (name.contains('.') && is_word(name, "-.") && is_private_host(name));
}

}  // namespace

std::string upstream_words(std::string_view text) {
  constexpr std::string_view spaces = " \t\r\n";
  const auto first = text.find_first_not_of(spaces);
  if (first == text.npos) return {};
  text = text.substr(first, text.find_last_not_of(spaces) - first + 1);
  text = text.substr(0, 4 * most);
  std::string out;
  while (!text.empty()) {
    const auto end = std::min(text.find_first_of(borders), text.size());
    const std::string_view word = text.substr(0, end);
    out += is_internal(word) ? std::string_view("[internal]") : word;
    if (end < text.size()) out += spaces.contains(text[end]) ? ' ' : text[end];
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return for_log(out, most);
}

}  // namespace relay
