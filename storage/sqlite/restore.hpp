#pragma once

// A backup in the place of the database, while no relay has it.

#include <string>

#include "common/base/error.hpp"

namespace relay::sqlite {

struct restored {
  std::string put_aside;  // the database that was there; empty: there was none
  std::int64_t held = 0;  // jobs that wait in the copy, or were being submitted
};

/// Puts a copy of `from` at `path`. What waits in it, or was being submitted, is held: it may have been
/// submitted since the copy was made. What was at `path` is renamed. Errors: conflict (a relay has the
/// database); storage_unavailable: `from` is not a whole database of ours, or a file cannot be made.
result<restored> restore(const std::string& from, const std::string& path, std::int64_t now);

}  // namespace relay::sqlite
