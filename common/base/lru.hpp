#pragma once

// A map from text to values, bounded in bytes; the least recently used goes first. One thread.

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstddef>
#include <list>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/text_hash.hpp"

namespace relay {

template <class Value>
class lru {
 public:
  /// Values of at most so many bytes in all, their keys and places included; 0 keeps nothing.
  explicit lru(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  /// Null when it is not here. Valid until the next put().
  Value* find(std::string_view key) {
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return nullptr;
    newest_first_.splice(newest_first_.begin(), newest_first_, found->second);
    return &found->second->value;
  }

  /// Replaces what is there. `bytes`: memory of the value. What is larger than the whole is not kept.
  void put(std::string_view key, Value value, std::size_t bytes) {
    const std::size_t whole = bytes + key.size() + overhead;
    if (whole > max_bytes_) return erase(key);
    const auto found = by_key_.find(key);
    if (found != by_key_.end()) {
      newest_first_.splice(newest_first_.begin(), newest_first_, found->second);
      bytes_ -= found->second->bytes;
      found->second->value = std::move(value);
      found->second->bytes = whole;
    } else {
      newest_first_.push_front({std::string(key), std::move(value), whole});
      by_key_.emplace(newest_first_.front().key, newest_first_.begin());
    }
    bytes_ += whole;
    while (bytes_ > max_bytes_) erase(newest_first_.back().key);
  }

  template <class Function>
  void for_each(Function f) {
    for (entry& e : newest_first_) f(e.value);
  }

  void erase(std::string_view key) {
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return;
    const auto place = found->second;
    bytes_ -= place->bytes;
    by_key_.erase(found);
    newest_first_.erase(place);
  }

  void clear() {
    by_key_.clear();
    newest_first_.clear();
    bytes_ = 0;
  }

  std::size_t bytes() const { return bytes_; }
  std::size_t size() const { return by_key_.size(); }

  /// What an entry takes beside its key and value.
  static constexpr std::size_t overhead = 128;

 private:
  struct entry {
    const std::string key;
    Value value;
    std::size_t bytes;
  };
  const std::size_t max_bytes_;
  std::size_t bytes_ = 0;
  std::list<entry> newest_first_;
  // Keys point into the list. A flat map: a lookup reads one place in memory less.
  boost::unordered_flat_map<std::string_view, typename std::list<entry>::iterator, text_hash> by_key_;
};

}  // namespace relay
