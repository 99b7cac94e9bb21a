#pragma once

// Tasks as the bytes clients read, kept until the task changes: a question about a job that has not changed
// is answered with a copy. Loop thread.

#include <array>
#include <memory>
#include <string>

#include "common/base/lru.hpp"
#include "common/engine/task.hpp"

namespace relay {

enum class rendering : std::uint8_t { official, web_app, item };

class rendered_tasks {
 public:
  /// At most this many tasks; 0 keeps nothing.
  explicit rendered_tasks(std::size_t tasks) : kept_(tasks) {}

  /// JSON. What depends on the time, the progress of a job that dreams, is made anew each time.
  std::string get(rendering how, const task& t, timestamp now);

 private:
  struct entry {
    std::int64_t revision = 0;
    std::array<std::string, 3> bytes;
  };
  lru<entry> kept_;
};

}  // namespace relay
