#pragma once

// Tasks kept in memory for reading, the least recently used thrown out. Loop thread. It is filled after a
// commit and by reads, both on the loop thread, so it is never older than what a client was told.

#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/task.hpp"

namespace relay::sqlite {

class task_cache {
 public:
  explicit task_cache(std::size_t limit) : limit_(limit) {}

  /// Valid until the next put().
  const task* find(const std::string& id);
  /// Ignored when what is here has a newer revision.
  void put(const task& t);

 private:
  std::size_t limit_;
  std::list<task> newest_first_;
  std::unordered_map<std::string_view, std::list<task>::iterator> by_id_;  // keys point into the list
};

}  // namespace relay::sqlite
