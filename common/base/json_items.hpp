#pragma once

// The items of one array of a JSON object, out of a text that comes in parts: a long list need not be in
// memory, and one item that is too deep or too long does not hide the others. Pure.

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/json.hpp"

namespace relay {

class json_items {
 public:
  /// `text` is one item as it was sent, not parsed yet. nullopt: it is longer than `max_item` bytes.
  using on_item = std::function<void(std::optional<std::string_view> text)>;

  /// `member`: the array's name in the object.
  json_items(std::string_view member, std::size_t max_item, on_item f);

  void feed(std::string_view part);
  /// After the last part: the object, with the array empty. nullopt: the text was no whole object, or what
  /// stands beside the items is longer than 64 KiB.
  std::optional<json::object> end() const;

 private:
  void take(char ch);
  void structural(char ch);
  void close();
  void keep(char ch);
  void item_ended();
  bool among_items() const { return in_items_ && depth_ == items_depth; }

  static constexpr int items_depth = 2;  // the object, and the array in it

  const std::string member_;
  const std::size_t max_item_;
  const on_item on_item_;
  int depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
  bool in_items_ = false;
  bool item_too_long_ = false;
  bool failed_ = false;
  std::string key_;   // the last string of the object itself, between its quotes
  std::string item_;  // the one that is coming in
  std::string rest_;  // everything else
};

}  // namespace relay
