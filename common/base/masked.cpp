#include "common/base/masked.hpp"

#include <algorithm>

#include "common/base/ascii.hpp"

namespace relay {

namespace {

// A text in a text in a text has its backslashes doubled each time.
constexpr std::size_t max_backslashes = 16;

// What stands at the front of a text, compared with the secret.
struct comparison {
  enum class verdict : std::uint8_t { different, same, too_short } what = verdict::different;
  std::size_t size = 0;  // of the text, when it is the secret
};

// "2f" for '/': the digits after "\\u00".
bool is_code_of(std::string_view digits, char c) {
  constexpr std::string_view hex = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  return digits.substr(0, 2) == "00" && lower(digits[2]) == hex[byte >> 4] &&
         lower(digits[3]) == hex[byte & 15];
}

comparison compare(std::string_view text, std::string_view secret) {
  using enum comparison::verdict;
  // As it is, then with escapes: a secret may have backslashes of its own.
  if (text.starts_with(secret)) return {same, secret.size()};
  if (secret.starts_with(text)) return {too_short};
  std::size_t at = 0;
  for (const char c : secret) {
    std::size_t next = at;
    while (next < text.size() && text[next] == '\\' && next - at < max_backslashes) ++next;
    if (next == text.size()) return {too_short};
    const bool escaped = next > at;
    // The code of the character comes first: its "u" may be what the secret has there, too.
    const bool may_be_code = escaped && text[next] == 'u';
    if (may_be_code && text.size() - next < 5) return {too_short};
    if (may_be_code && is_code_of(text.substr(next + 1, 4), c)) {
      at = next + 5;
    } else if (text[next] == c) {
      at = next + 1;
    } else if (escaped && c == '\\') {  // the secret has one itself
      at = next;
    } else {
      return {};
    }
  }
  return {same, at};
}

// The next place where the secret may begin.
std::size_t next_start(std::string_view text, std::size_t from, char first) {
  const char starts[] = {first, '\\'};
  return std::min(text.find_first_of(std::string_view(starts, 2), from), text.size());
}

// Moves what is safe from `text` to `out`; what is left ends in what may be the secret's beginning.
void mask(std::string_view& text, std::string_view secret, std::string& out) {
  while (!text.empty()) {
    const std::size_t start = next_start(text, 0, secret.front());
    out.append(text.substr(0, start));
    text.remove_prefix(start);
    if (text.empty()) return;
    const comparison c = compare(text, secret);
    if (c.what == comparison::verdict::too_short) return;
    if (c.what == comparison::verdict::same) {
      out.append("[secret]");
      text.remove_prefix(c.size);
    } else {
      out += text.front();
      text.remove_prefix(1);
    }
  }
}

}  // namespace

std::string masked(std::string_view text, std::string_view secret) {
  if (secret.size() < shortest_masked) return std::string(text);
  std::string out;
  out.reserve(text.size());
  // What is too short to be the secret at the end of the text is none.
  while (!text.empty()) {
    mask(text, secret, out);
    if (text.empty()) break;
    out += text.front();
    text.remove_prefix(1);
  }
  return out;
}

bool quotes(std::string_view text, std::string_view secret) {
  if (secret.size() < shortest_masked) return false;
  if (text.contains(secret)) return true;
  if (!text.contains('\\')) return false;
  for (std::size_t at = 0; (at = next_start(text, at, secret.front())) < text.size(); ++at) {
    if (compare(text.substr(at), secret).what == comparison::verdict::same) return true;
  }
  return false;
}

void masking_stream::feed(std::string_view part) {
  if (secret_.size() < shortest_masked) return f_(part);
  held_.append(part);
  std::string_view rest = held_;
  std::string ready;
  mask(rest, secret_, ready);
  if (!ready.empty()) f_(ready);
  held_.erase(0, held_.size() - rest.size());
}

void masking_stream::end() {
  if (!held_.empty()) f_(masked(held_, secret_));
  held_.clear();
}

}  // namespace relay
