#include "common/base/masked.hpp"

#include <algorithm>

namespace relay {

std::string masked(std::string_view text, std::string_view secret) {
  std::string out;
  if (secret.size() < shortest_masked) return std::string(text);
  for (;;) {
    const auto at = text.find(secret);
    out.append(text.substr(0, at));
    if (at == std::string_view::npos) return out;
    out.append("[secret]");
    text.remove_prefix(at + secret.size());
  }
}

void masking_stream::feed(std::string_view part) {
  if (secret_.size() < shortest_masked) return f_(part);
  held_.append(part);
  held_ = masked(held_, secret_);
  // What the text ends with may be the secret's beginning: it waits for more.
  std::size_t keep = std::min(held_.size(), secret_.size() - 1);
  while (keep > 0 && !held_.ends_with(std::string_view(secret_).substr(0, keep))) --keep;
  const std::size_t ready = held_.size() - keep;
  if (ready > 0) f_(std::string_view(held_).substr(0, ready));
  held_.erase(0, ready);
}

void masking_stream::end() {
  if (!held_.empty()) f_(held_);
  held_.clear();
}

}  // namespace relay
