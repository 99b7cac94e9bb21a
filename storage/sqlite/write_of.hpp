#pragma once

// What the store's writes have in common.

#include <utility>

#include "storage/sqlite/writes.hpp"

namespace relay::sqlite {

/// Steps a statement that returns no rows.
inline result<void> run(statement& s) {
  auto row = s.step();
  if (!row) return std::unexpected(std::move(row.error()));
  return {};
}

/// A write of one value, which `done` gets as it is on disk.
template <class T>
class write_of : public write {
 public:
  write_of(write_statements& s, T value, written<T> done)
      : s_(s), value_(std::move(value)), done_(std::move(done)) {}

  void finish(result<void> outcome) final {
    if (!outcome) return done_(std::unexpected(std::move(outcome.error())));
    committed();
    done_(std::move(value_));
  }

 protected:
  virtual void committed() {}

  write_statements& s_;
  T value_;

 private:
  written<T> done_;
};

}  // namespace relay::sqlite
