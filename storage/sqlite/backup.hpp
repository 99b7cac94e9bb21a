#pragma once

// A copy of the database while it is in use, by any process (SQLite's online backup API).

#include <string>

#include "common/base/error.hpp"

namespace relay::sqlite {

/// Copies the database at `path` to the new file `to`, as of one moment, checks the copy and brings it to
/// disk before it gets its name. Errors: conflict when `to` exists, storage_unavailable, disk_full.
result<void> backup(const std::string& path, const std::string& to);

}  // namespace relay::sqlite
