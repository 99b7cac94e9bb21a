#pragma once

// One process writes one database: an advisory lock (flock) on a file beside it, held as long as the object
// lives. The kernel frees it when the process dies, however it dies.

#include <string>
#include <utility>

#include "common/base/error.hpp"

namespace relay::sqlite {

class lock_file {
 public:
  /// Errors: conflict when another process holds it, storage_unavailable when the file cannot be made.
  static result<lock_file> acquire(const std::string& path);

  lock_file(lock_file&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  lock_file& operator=(lock_file&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~lock_file();

 private:
  explicit lock_file(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace relay::sqlite
