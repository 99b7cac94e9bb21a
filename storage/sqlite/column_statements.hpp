#pragma once

// Prepared statements on tasks, one for each set of columns that they write. Store thread.

#include <string>
#include <unordered_map>

#include "storage/sqlite/columns.hpp"
#include "storage/sqlite/db.hpp"

namespace relay::sqlite {

class column_statements {
 public:
  column_statements(db& d, std::string (*sql)(column_set)) : db_(d), sql_(sql) {}

  /// Valid until the next call.
  statement& of(column_set columns) {
    auto found = kept_.find(columns);
    if (found == kept_.end()) {
      // A few sets are written all the time; what is rare may be prepared again.
      if (kept_.size() >= max_kept) kept_.clear();
      found = kept_.emplace(columns, db_.prepare(sql_(columns).c_str())).first;
    }
    return found->second;
  }

 private:
  static constexpr std::size_t max_kept = 64;

  db& db_;
  std::string (*sql_)(column_set);
  std::unordered_map<column_set, statement> kept_;
};

}  // namespace relay::sqlite
