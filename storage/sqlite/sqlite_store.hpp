#pragma once

// The SQLite engine of store.hpp. One connection writes, on the store thread; one reads single tasks, on the
// loop thread; two read the rest, on threads of their own, so that an operator's long search delays no
// client. Every write and every checkpoint is on the one connection, because SQLite before 3.51.3 can lose
// the log when two do it at the same moment (rule F3).

#include <memory>
#include <string>

#include "common/engine/family.hpp"
#include "storage/store.hpp"

namespace relay {

struct sqlite_options {
  std::string path;
  std::size_t queue_bytes = 64 * 1024 * 1024;               // of writes that may wait
  std::size_t cache_bytes = 32 * 1024 * 1024;               // of tasks in memory; 0: no cache
  std::size_t log_bytes = std::size_t{100} << 20;           // the log is emptied when it is so long
  std::int64_t whole_check_bytes = std::int64_t{64} << 20;  // a larger file is checked while it is served
  std::string synchronous = "FULL";  // anything less loses acknowledged jobs, as its test shows
};

/// Locks the file, checks that it is a whole database of ours (of a large one what a start needs; the rest
/// later, and damage found then ends all writes), keeps a copy beside it (`<path>.schema-N`) if
/// its schema is an older one, and brings it up to date; makes an empty one where there is nothing. Errors:
/// conflict (another process has it), storage_unavailable, disk_full. `names` outlives the store.
result<std::unique_ptr<store>> open_sqlite_store(const sqlite_options& options, const catalogue& names,
                                                 store_hooks hooks);

}  // namespace relay
