#pragma once

// Tasks as the bytes clients read, kept until the task changes: a read of a job that has not changed
// is a copy. Bounded in bytes. Loop thread.

#include <memory>
#include <string>
#include <vector>

#include "common/base/lru.hpp"
#include "common/engine/dialect.hpp"

namespace relay {

class rendered_tasks {
 public:
  /// At most so many bytes; 0 keeps nothing.
  explicit rendered_tasks(std::size_t max_bytes) : kept_(max_bytes) {}

  /// What depends on the time is made anew each time. Errors: those of the form.
  result<std::string> get(const task_form& how, const task& t, timestamp now);

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
};

}  // namespace relay
