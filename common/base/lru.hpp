#pragma once

// A bounded map from text to values; the least recently used goes first. One thread.

#include <cstddef>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace relay {

template <class Value>
class lru {
 public:
  /// At most `limit` values; 0 keeps nothing.
  explicit lru(std::size_t limit) : limit_(limit) {}

  /// Null when it is not here. Valid until the next put().
  Value* find(std::string_view key) {
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return nullptr;
    newest_first_.splice(newest_first_.begin(), newest_first_, found->second);
    return &found->second->second;
  }

  /// Replaces what is there.
  void put(std::string_view key, Value value) {
    if (limit_ == 0) return;
    if (Value* old = find(key)) {
      *old = std::move(value);
      return;
    }
    newest_first_.emplace_front(std::string(key), std::move(value));
    by_key_.emplace(newest_first_.front().first, newest_first_.begin());
    if (newest_first_.size() <= limit_) return;
    by_key_.erase(newest_first_.back().first);
    newest_first_.pop_back();
  }

  template <class Function>
  void for_each(Function f) {
    for (auto& [key, value] : newest_first_) f(value);
  }

  void erase(std::string_view key) {
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return;
    const auto place = found->second;
    by_key_.erase(found);
    newest_first_.erase(place);
  }

 private:
  using entry = std::pair<const std::string, Value>;
  std::size_t limit_;
  std::list<entry> newest_first_;
  std::unordered_map<std::string_view, typename std::list<entry>::iterator>
      by_key_;  // keys point into the list
};

}  // namespace relay
