#include "common/base/json_items.hpp"

#include <utility>

namespace relay {
namespace {

constexpr std::size_t max_rest = 64 * 1024;
constexpr std::size_t max_key = 256;

bool is_space(char ch) {
  return ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n';
}

}  // namespace

json_items::json_items(std::string_view member, std::size_t max_item, on_item f)
    : member_(member), max_item_(max_item), on_item_(std::move(f)) {}

void json_items::feed(std::string_view part) {
  for (const char ch : part) {
    if (failed_) return;
    take(ch);
  }
}

// Only strings, brackets and commas matter here: what an item holds is for its own parser.
void json_items::take(char ch) {
  if (in_string_) {
    keep(ch);
    if (depth_ == 1 && ch != '"' && key_.size() < max_key) key_ += ch;
    const bool was_escaped = std::exchange(escaped_, false);
    if (was_escaped) return;
    escaped_ = ch == '\\';
    in_string_ = ch != '"';
    return;
  }
  structural(ch);
}

void json_items::structural(char ch) {
  switch (ch) {
    case '"':
      in_string_ = true;
      if (depth_ == 1) key_.clear();
      keep(ch);
      break;
    case '{':
    case '[':
      keep(ch);
      ++depth_;
      if (ch == '[' && depth_ == items_depth && key_ == member_) in_items_ = true;
      break;
    case '}':
    case ']':
      close();
      keep(ch);
      break;
    case ',':
      if (among_items())
        item_ended();
      else
        keep(ch);
      break;
    default:
      if (!is_space(ch)) keep(ch);
      break;
  }
}

void json_items::close() {
  if (among_items()) {
    // `[]` and a comma before the end make no item.
    if (!item_.empty() || item_too_long_) item_ended();
    in_items_ = false;
  }
  if (--depth_ < 0) failed_ = true;
}

void json_items::keep(char ch) {
  if (in_items_) {
    if (item_.size() < max_item_)
      item_ += ch;
    else
      item_too_long_ = true;
    return;
  }
  if (rest_.size() == max_rest) failed_ = true;
  if (!failed_) rest_ += ch;
}

void json_items::item_ended() {
  on_item_(item_too_long_ ? std::nullopt : std::optional<std::string_view>(item_));
  item_.clear();
  item_too_long_ = false;
}

std::optional<json::object> json_items::end() const {
  if (failed_ || depth_ != 0 || in_string_) return std::nullopt;
  auto v = parse_lenient(rest_);
  if (!v || !v->is_object()) return std::nullopt;
  return std::move(v->get_object());
}

}  // namespace relay
