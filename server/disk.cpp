#include "server/disk.hpp"

#include <fcntl.h>
#include <spdlog/logger.h>
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

disk::disk(const std::string& database, std::int64_t min_free_bytes, std::int64_t ballast_bytes,
           spdlog::logger& log)
    : folder_(folder_of(database)),
      ballast_file_(database + ".ballast"),
      min_free_(min_free_bytes),
      ballast_(ballast_bytes),
      log_(log) {
  if (const space s = space_on(folder_); s.total > 0) {
    min_free_ = std::min(min_free_, s.total / 20);
    ballast_ = std::min(ballast_, s.total / 50);
  }
  ::unlink(ballast_file_.c_str());
  check();
}

void disk::check() {
  const space s = space_on(folder_);
  if (s.total == 0) return;  // nothing can be said of it
  free_ = s.free;
  // After it was deleted it takes more space to make it again, so that it does not go to and fro.
  if (ballast_ > 0 && !has_ballast_ && free_ > min_free_ + (released_ ? 2 : 1) * ballast_) take_ballast();
  // Somewhat more than it takes to stop, so that it does not go to and fro.
  const bool low = free_ < (low_ ? min_free_ + min_free_ / 8 : min_free_) || released_;
  if (low && !low_) {
    log_.error(
        "the disk of {} has {} MiB left: new jobs are refused until there is more; free some, or set "
        "storage.keep_ended_ms",
        folder_, free_ >> 20);
  } else if (!low && low_) {
    log_.warn("the disk of {} has {} MiB left: new jobs are accepted again", folder_, free_ >> 20);
  }
  low_ = low;
}

void disk::take_ballast() {
  const int fd = ::open(ballast_file_.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return;
  const bool done = ::posix_fallocate(fd, 0, ballast_) == 0;
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

std::string_view disk::refusal() const {
  if (!low_ && !released_) return {};
  return "The relay's disk is nearly full: no new jobs are taken until there is room again; those that are "
         "there go "
         "on. Nothing was recorded or submitted";
}

}  // namespace relay
