#include "storage/sqlite/lock_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace relay::sqlite {

result<lock_file> lock_file::acquire(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0)
    return fail(errc::storage_unavailable, "cannot make the lock file " + path + ": " + std::strerror(errno));
  lock_file lock(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return fail(errc::conflict,
                "another luma-relay uses this database (it holds " + path + "); stop it first");
  }
  return lock;
}

lock_file::~lock_file() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace relay::sqlite
