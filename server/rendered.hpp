#pragma once

// Tasks as the bytes clients read, kept until the task changes: a read of a job that has not changed
// is a copy. Bounded in bytes. Loop thread.

#include <memory>
#include <string>
#include <vector>

#include "common/base/asked_again.hpp"
#include "common/base/lru.hpp"
#include "common/engine/dialect.hpp"

namespace relay {

class rendered_tasks {
 public:
  /// At most so many bytes; 0 keeps nothing.
  explicit rendered_tasks(std::size_t max_bytes) : kept_(max_bytes) {}

  /// At the end of `out`. What depends on the time is made anew each time. Errors: those of the form; then
  /// `out` is as it was.
  result<void> append(std::string& out, const task_form& how, const task& t, const showing& with);
  result<std::string> get(const task_form& how, const task& t, const showing& with) {
    std::string out;
    auto done = append(out, how, t, with);
    if (!done) return std::unexpected(std::move(done.error()));
    return out;
  }

 private:
  struct rendering {
    const task_form* how;
    std::string bytes;
  };
  struct entry {
    std::int64_t revision = 0;
    std::vector<rendering> forms;

    const std::string* find(const task_form& how) const;
    std::size_t bytes() const;
  };
  lru<entry> kept_;
  asked_again asked_again_{8'192};
};

}  // namespace relay
