#include "server/disk.hpp"

#include <fcntl.h>
#include <spdlog/logger.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>

namespace relay {
namespace {

std::string folder_of(const std::string& file) {
  const auto slash = file.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : file.substr(0, slash);
}

struct space {
  std::int64_t free = 0;
  std::int64_t total = 0;
};

space space_on(const std::string& folder) {
  struct statvfs v{};
  if (::statvfs(folder.c_str(), &v) != 0) return {};
  const auto block = static_cast<std::int64_t>(v.f_frsize);
  return {static_cast<std::int64_t>(v.f_bavail) * block, static_cast<std::int64_t>(v.f_blocks) * block};
}

}  // namespace

disk_limits disk_limits_for(const std::string& database, std::int64_t min_free_bytes,
                            std::int64_t ballast_bytes) {
  constexpr std::int64_t shortest_log = std::int64_t{1} << 20;
  constexpr std::int64_t longest_log = std::int64_t{100} << 20;
  disk_limits out{min_free_bytes, ballast_bytes, longest_log, space_on(folder_of(database)).total};
  if (out.total > 0) {
    out.min_free = std::min(out.min_free, out.total / 20);
    out.ballast = std::min(out.ballast, out.total / 50);
    out.log = std::clamp(out.total / 16, shortest_log, longest_log);
  }
  return out;
}

disk::disk(const std::string& database, const disk_limits& limits, spdlog::logger& log)
    : folder_(folder_of(database)),
      ballast_file_(database + ".ballast"),
      log_file_(database + "-wal"),
      limits_(limits),
      log_(log),
      has_ballast_(::access(ballast_file_.c_str(), F_OK) == 0) {}

void disk::begin() {
  ::unlink(ballast_file_.c_str());  // it may have been made with another size
  has_ballast_ = false;
  check(0);
}

void disk::check(std::int64_t to_come) {
  const space s = space_on(folder_);
  if (s.total == 0) return;  // nothing can be said of it
  free_ = s.free;
  // After it was deleted it takes more space to make it again, so that it does not go to and fro.
  if (limits_.ballast > 0 && !has_ballast_ &&
      free_ > limits_.min_free + (released_ ? 2 : 1) * limits_.ballast)
    take_ballast();
  // What is left of the log's length is as good as used. Without a watermark nothing is kept free.
  struct stat log{};
  const std::int64_t log_now = ::stat(log_file_.c_str(), &log) == 0 ? log.st_size : 0;
  log_growth_ = std::max<std::int64_t>(0, limits_.log - log_now);
  const std::int64_t needed = wanted(to_come);
  // Somewhat more than it takes to stop, so that it does not go to and fro.
  const bool low = free_ < (low_ ? needed + limits_.min_free / 8 : needed) || released_;
  if (low && !low_) {
    log_.error(
        "the disk of {} has {} MiB left, and what was taken may need {} MiB: new jobs are refused until "
        "there is "
        "more; free some, or set storage.keep_ended_ms",
        folder_, free_ >> 20, needed >> 20);
  } else if (!low && low_) {
    log_.warn("the disk of {} has {} MiB left: new jobs are accepted again", folder_, free_ >> 20);
  }
  low_ = low;
}

std::int64_t disk::wanted(std::int64_t to_come) const {
  return limits_.min_free == 0 ? 0 : limits_.min_free + to_come + log_growth_;
}

void disk::take_ballast() {
  const int fd = ::open(ballast_file_.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return;
  const bool done = ::posix_fallocate(fd, 0, limits_.ballast) == 0;
  ::close(fd);
  has_ballast_ = done;
  if (done) released_ = false;
  if (!done) ::unlink(ballast_file_.c_str());
}

bool disk::release() {
  if (!has_ballast_.exchange(false)) return false;
  released_ = true;
  ::unlink(ballast_file_.c_str());
  log_.error("the disk is full: the ballast {} was deleted to finish what is in flight; free some space",
             ballast_file_);
  return true;
}

std::string_view disk::refusal(std::int64_t to_come) const {
  const bool measured = free_ > 0;
  if (!low_ && !released_ && (!measured || free_ >= wanted(to_come))) return {};
  return "The relay's disk is nearly full: no new jobs are taken until there is room again; those that are "
         "there go "
         "on. Nothing was recorded or submitted";
}

}  // namespace relay
