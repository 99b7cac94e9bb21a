#pragma once

// Where pages of a customer's list began: the rows behind an offset, so that SQLite need not walk over all
// that a page skips. A list is newest first and grows at its head: a place stays true when what has come
// since is counted. Each deletion makes all places void. One thread.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/lru.hpp"

namespace relay::sqlite {

class page_places {
 public:
  /// A row of the list, as it was when `newest` was its head.
  struct place {
    std::int64_t offset = 0;
    std::int64_t row = 0;
    std::int64_t newest = 0;
  };

  /// `deletions`: how many there have been so far. Those at or before the offset, the nearest first.
  std::vector<place> before(std::int64_t owner, std::int64_t offset, std::int64_t deletions) {
    std::vector<place> out;
    const known* k = kept_.find(key(owner));
    if (k == nullptr || k->deletions != deletions) return out;
    std::ranges::copy_if(k->places, std::back_inserter(out),
                         [offset](const place& p) { return p.offset <= offset; });
    std::ranges::sort(out, std::greater{}, &place::offset);
    if (out.size() > max_tried) out.resize(max_tried);
    return out;
  }

  void add(std::int64_t owner, const place& p, std::int64_t deletions) {
    const known* k = kept_.find(key(owner));
    known next = k != nullptr && k->deletions == deletions ? *k : known{deletions, {}};
    std::erase_if(next.places, [&p](const place& other) { return other.offset == p.offset; });
    if (next.places.size() >= max_places) next.places.erase(next.places.begin());
    next.places.push_back(p);
    const std::size_t bytes = sizeof(known) + next.places.capacity() * sizeof(place);
    kept_.put(key(owner), std::move(next), bytes);
  }

 private:
  static constexpr std::size_t max_places = 32;  // of one customer
  static constexpr std::size_t max_tried = 3;
  static constexpr std::size_t max_bytes = std::size_t{1} << 20;

  struct known {
    std::int64_t deletions = 0;
    std::vector<place> places;  // the oldest first
  };
  static std::string key(std::int64_t owner) { return std::to_string(owner); }

  lru<known> kept_{max_bytes};
};

}  // namespace relay::sqlite
