#pragma once

// A copy of the database while it is in use, by any process (SQLite's online backup API).

#include <string>

#include "common/base/error.hpp"

namespace relay::sqlite {

/// What becomes of a file that has the copy's name already.
enum class replace : bool { no, yes };

/// Copies the database at `path` to the new file `to`, as of one moment, checks the copy and brings it to
/// disk before it gets its name. Errors: conflict when `to` exists and must stay, storage_unavailable,
/// disk_full.
result<void> backup(const std::string& path, const std::string& to, replace existing = replace::no);

}  // namespace relay::sqlite
