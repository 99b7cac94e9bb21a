#pragma once

// A list of words that a family takes in its requests, for clients to choose from.

#include <span>
#include <string>
#include <string_view>

namespace relay {

struct word_list {
  std::string_view path;                    // of the upstream's own, as protocol::build_fetch makes them
  std::span<const std::string_view> usual;  // what is shown when no upstream tells
};

/// A JSON array of the usual words.
std::string usual_words(const word_list& l);
/// True if it is a JSON array of texts, with one at least.
bool is_word_list(std::string_view text);

}  // namespace relay
