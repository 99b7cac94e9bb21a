#include "common/engine/upstream_words.hpp"

#include "common/base/addresses.hpp"
#include "common/base/ascii.hpp"
#include "common/base/text.hpp"
#include "common/engine/address_policy.hpp"

namespace relay {
namespace {

constexpr std::size_t most = 500;
constexpr std::string_view borders = " \t\r\n\"'`,;()<>{}=|";

// "10.0.0.3:8000", "[::1]:80", "db.internal", "localhost".
bool is_internal_host(std::string_view host) {
  if (const auto colon = host.rfind(':'); colon != host.npos && host.find(':') == colon)
    host = host.substr(0, colon);
  if (parse_ip(host)) return is_private_host(host) && host.size() > 3;
  const std::string name = lower(host);
  return name == "localhost" || (name.contains('.') && is_word(name, "-._") && is_private_host(name));
}

// A word such as http://user:word@10.0.0.3:8000/x, redis://db.internal, app/10.0.0.3:8000.
bool is_internal(std::string_view word) {
  while (word.ends_with('.') || word.ends_with(':')) word.remove_suffix(1);
  if (const auto scheme = word.find("://"); scheme != word.npos) {
    std::string_view host = word.substr(scheme + 3);
    host = host.substr(0, host.find_first_of("/?#"));
    host = host.substr(host.find('@') == host.npos ? 0 : host.rfind('@') + 1);
    const auto colon = host.rfind(':');
    return is_private_host(host.substr(0, host.find(':') == colon ? colon : host.npos));
  }
  while (!word.empty()) {
    const auto slash = std::min(word.find('/'), word.size());
    if (is_internal_host(word.substr(0, slash))) return true;
    word.remove_prefix(std::min(slash + 1, word.size()));
  }
  return false;
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
    if (is_internal(word)) {
      out += "[internal]";
      out += word.substr(word.find_last_not_of(".:") + 1);
    } else {
      out += word;
    }
    if (end < text.size()) out += spaces.contains(text[end]) ? ' ' : text[end];
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return for_log(out, most);
}

}  // namespace relay
