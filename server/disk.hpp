#pragma once

// Free space on the database's disk (rule F1). Below a watermark new jobs are refused, so that those in
// flight can be finished; a ballast file is given up when the disk is full all the same. Both come back by
// themselves.

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

namespace spdlog {
class logger;
}

namespace relay {

class disk {
 public:
  /// On a small disk the watermark is at most a twentieth of it, the ballast at most a fiftieth.
  disk(const std::string& database, std::int64_t min_free_bytes, std::int64_t ballast_bytes,
       spdlog::logger& log);

  /// Loop thread, about once a second: measures, and makes the ballast again when there is space.
  void check();
  /// Empty: new jobs are accepted; else the text for clients.
  std::string_view refusal() const;
  std::int64_t free_bytes() const { return free_; }
  /// Any thread: gives up the ballast. True: there was one.
  bool release();

 private:
  void take_ballast();

  const std::string folder_;
  const std::string ballast_file_;
  std::int64_t min_free_;
  std::int64_t ballast_;
  spdlog::logger& log_;
  std::int64_t free_ = 0;
  bool low_ = false;
  std::atomic<bool> has_ballast_{false};
  std::atomic<bool> released_{false};  // given up, and not yet back
};

}  // namespace relay
