#pragma once

// The newest tasks of the customers that asked for their list of late: the first page is made of memory.
// Follows every insert. Loop thread.

#include <deque>
#include <optional>
#include <string>

#include "common/base/lru.hpp"
#include "storage/store.hpp"

namespace relay::sqlite {

class newest_ids {
 public:
  explicit newest_ids(std::size_t max_bytes) : kept_(max_bytes) {}

  /// nullopt: not all of it is known.
  std::optional<task_page> page(std::int64_t owner, page_request wanted) {
    known* k = kept_.find(key(owner));
    if (k == nullptr) return std::nullopt;
    const auto size = std::ssize(k->ids);
    if (!k->all && wanted.offset + wanted.limit >= size) return std::nullopt;
    task_page out;
    const auto end = std::min(wanted.offset + wanted.limit, size);
    for (auto i = wanted.offset; i < end; ++i) out.ids.push_back(k->ids[static_cast<std::size_t>(i)]);
    out.has_more = end < size || !k->all;
    return out;
  }

  /// What to read for a page, so that the next ones are known too.
  static page_request to_read(page_request wanted) {
    const bool within = wanted.offset + wanted.limit < max_ids;
    return within ? page_request{max_ids, 0} : wanted;
  }
  /// The page out of what was read for it.
  static task_page cut(task_page read, page_request wanted) {
    const page_request what = to_read(wanted);
    if (what.limit == wanted.limit && what.offset == wanted.offset) return read;
    const auto size = std::ssize(read.ids);
    const auto end = std::min(wanted.offset + wanted.limit, size);
    task_page out;
    out.has_more = end < size || read.has_more;
    if (wanted.offset < end) out.ids.assign(read.ids.begin() + wanted.offset, read.ids.begin() + end);
    return out;
  }

  /// A first page that was read. `inserts_before`: inserts() when the reading began; if there have been more
  /// since, it may lack the newest.
  void learn(std::int64_t owner, const task_page& first, std::uint64_t inserts_before) {
    if (inserts_before != inserts_ || std::ssize(first.ids) > max_ids) return;
    put(owner, {{first.ids.begin(), first.ids.end()}, !first.has_more});
  }

  /// A new task is on disk.
  void inserted(std::int64_t owner, const std::string& id) {
    ++inserts_;
    const std::string k = key(owner);
    const known* found = kept_.find(k);
    if (found == nullptr) return;
    known next = std::move(*kept_.find(k));
    next.ids.push_front(id);
    if (std::ssize(next.ids) > max_ids) {
      next.ids.pop_back();
      next.all = false;
    }
    put(owner, std::move(next));
  }
  std::uint64_t inserts() const { return inserts_; }

  /// Tasks were deleted.
  void clear() {
    ++inserts_;  // what is being read now is not learned
    kept_.clear();
  }

 private:
  static constexpr std::int64_t max_ids = 128;  // of one customer

  struct known {
    std::deque<std::string> ids;  // newest first
    bool all = false;             // there are no others
  };
  static std::string key(std::int64_t owner) { return std::to_string(owner); }
  void put(std::int64_t owner, known k) {
    const std::size_t bytes = sizeof(known) + 512 + k.ids.size() * (sizeof(std::string) + 40);
    kept_.put(key(owner), std::move(k), bytes);
  }

  lru<known> kept_;
  std::uint64_t inserts_ = 0;
};

}  // namespace relay::sqlite
