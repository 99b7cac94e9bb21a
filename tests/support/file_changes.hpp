#pragma once

// Waits until something in a folder is written to (inotify), instead of looking again and again. A commit is
// visible a moment after its last write, and the moment makes no event: so each wait is short, and what it is
// for is looked at once more.

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>

namespace relay::test {

class file_changes {
 public:
  explicit file_changes(const std::string& folder) : fd_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    if (fd_ < 0 || ::inotify_add_watch(fd_, folder.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
      throw std::runtime_error("cannot watch " + folder);
  }
  ~file_changes() { ::close(fd_); }
  file_changes(const file_changes&) = delete;
  file_changes& operator=(const file_changes&) = delete;

  /// Returns after a change since the last call, when `other` (a file descriptor) can be read, after 50 ms,
  /// or at `end`. False: the time is over.
  bool wait_until(std::chrono::steady_clock::time_point end, int other = -1) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd both[] = {{fd_, POLLIN, 0}, {other, POLLIN, 0}};  // a negative one is ignored
    constexpr long long longest = 50;                        // ms
    ::poll(both, 2, static_cast<int>(std::min<long long>(left.count(), longest)));
    char events[4096];
    while (::read(fd_, events, sizeof events) > 0) {
    }
    return true;
  }

 private:
  int fd_;
};

}  // namespace relay::test
