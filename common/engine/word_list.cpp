#include "common/engine/word_list.hpp"

#include <algorithm>

#include "common/base/json_text.hpp"

namespace relay {

std::string usual_words(const word_list& l) {
  std::string out = "[";
  for (const std::string_view word : l.usual) {
    if (out.size() > 1) out += ',';
    append_json(out, word);
  }
  return out + "]";
}

bool is_word_list(std::string_view text) {
  const auto v = parse_lenient(text);
  if (!v || !v->is_array() || v->get_array().empty()) return false;
  return std::ranges::all_of(v->get_array(), [](const json::value& word) { return word.is_string(); });
}

}  // namespace relay
