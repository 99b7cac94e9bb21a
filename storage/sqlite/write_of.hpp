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

/// A write that ends in a value, which `done` gets as it is on disk.
template <class T>
class write_of : public write {
 public:
  write_of(write_statements& s, T value, completion<T> done)
      : s_(s), value_(std::move(value)), done_(std::move(done)) {}

  std::size_t bytes() const override { return sizeof(*this); }
  void finish(result<void> outcome) final {
    if (!outcome) {
      refused(outcome.error());
      return done_(std::unexpected(std::move(outcome.error())));
    }
    committed();
    done_(std::move(value_));
  }

 protected:
  /// Loop thread, before `done`.
  virtual void committed() {}
  virtual void refused(const error&) {}

  write_statements& s_;
  T value_;

 private:
  completion<T> done_;
};

}  // namespace relay::sqlite
