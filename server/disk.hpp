#pragma once

// Free space on the database's disk (rule F1). Below a watermark, which grows with the jobs that were taken,
// new ones are refused, so that those can be finished; a ballast file is given up when the disk is full all
// the same. Both come back by themselves.

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

namespace spdlog {
class logger;
}

namespace relay {

/// What the relay keeps to on the disk that its database is on; bytes.
struct disk_limits {
  std::int64_t min_free = 0;  // of the disk, beside what is still to come
  std::int64_t ballast = 0;
  std::int64_t log = 0;    // the database's log is emptied before it grows longer
  std::int64_t total = 0;  // the disk; 0: nothing can be said of it
};
/// Those of the configuration; of a small disk at most a twentieth is kept free, a fiftieth is ballast, and a
/// sixteenth is log.
disk_limits disk_limits_for(const std::string& database, std::int64_t min_free_bytes,
                            std::int64_t ballast_bytes);

class disk {
 public:
  /// Changes nothing: a ballast that is there is known, and can be released.
  disk(const std::string& database, const disk_limits& limits, spdlog::logger& log);
  /// The database is ours: the ballast is made, and space is watched from here on.
  void begin();
  /// Loop thread, several times a second: measures, and makes the ballast again when there is space.
  /// `to_come`: bytes that the jobs which were taken may still write until they end.
  void check(std::int64_t to_come);
  /// Empty: new jobs are accepted; else the text for clients. With the `to_come` of now: thousands of jobs
  /// may have been taken since the last check.
  std::string_view refusal(std::int64_t to_come) const;
  std::int64_t free_bytes() const { return free_; }
  /// What must be free for new jobs to be accepted; 0: nothing.
  std::int64_t wanted(std::int64_t to_come) const;
  /// Any thread: gives up the ballast. True: there was one.
  bool release();

 private:
  void take_ballast();

  const std::string folder_;
  const std::string ballast_file_;
  const std::string log_file_;
  const disk_limits limits_;
  spdlog::logger& log_;
  std::int64_t free_ = 0;
  std::int64_t log_growth_ = 0;  // until the log is as long as it gets
  bool low_ = false;
  std::atomic<bool> has_ballast_{false};
  std::atomic<bool> released_{false};  // given up, and not yet back
};

}  // namespace relay
