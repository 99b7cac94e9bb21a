#pragma once

// The SQLite engine of store.hpp: one connection that writes, on the store thread; one that only reads, on
// the loop thread. Every write and every checkpoint is on the one connection, because SQLite before 3.51.3
// can lose the log when two do it at the same moment.

#include <memory>
#include <string>

#include "storage/store.hpp"

namespace relay {

struct sqlite_options {
  std::string path;
  std::size_t queue_limit = 10'000;  // writes that may wait
  std::size_t cache_tasks = 10'000;  // 0: no cache
  std::string synchronous = "FULL";  // anything less loses acknowledged jobs, as its test shows
};

/// Takes the lock file `<path>.lock`, opens, migrates, checks. Errors: conflict (another process has it),
/// storage_unavailable.
result<std::unique_ptr<store>> open_sqlite_store(const sqlite_options& options, store_hooks hooks);

}  // namespace relay
