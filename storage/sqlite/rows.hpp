#pragma once

// Walking through the rows of a statement.

#include <optional>
#include <utility>
#include <vector>

#include "storage/sqlite/db.hpp"

namespace relay::sqlite {

/// Calls `f` with the statement at each row. Errors: those of db.hpp.
template <class Function>
result<void> each_row(statement& s, Function f) {
  for (;;) {
    auto row = s.step();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return {};
    f(s);
  }
}

/// `read` of the first row; nullopt: there is none.
template <class Read>
auto first_row(statement& s, Read read) -> result<std::optional<decltype(read(s))>> {
  const auto row = s.step();
  if (!row) return std::unexpected(row.error());
  if (!*row) return std::nullopt;
  return read(s);
}

/// `read` of each row.
template <class Read>
auto all_rows(statement& s, Read read) -> result<std::vector<decltype(read(s))>> {
  std::vector<decltype(read(s))> out;
  auto walked = each_row(s, [&](const statement& row) { out.push_back(read(row)); });
  if (!walked) return std::unexpected(std::move(walked.error()));
  return out;
}

}  // namespace relay::sqlite
