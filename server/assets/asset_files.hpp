#pragma once

// The folder of assets: files that clients uploaded, or that stood in their requests. The folder is the only
// record of them:
//
//   incoming/ID                 a file that is being received; emptied at start
//   OWNER/ID.png                a file; OWNER is token::id. Its time of change: when it was received
//   OWNER/ID.TASK               the job TASK was given its address
//
// All functions block: file thread, but for those of the start.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/digest.hpp"
#include "common/base/error.hpp"
#include "common/base/file_type.hpp"
#include "common/base/time.hpp"

namespace relay {

/// A file's own name: its id, 32 hexadecimal digits that cannot be guessed, and what it is.
struct asset_name {
  std::string id;
  file_type type = file_type::png;

  std::string text() const;  // "0123….png"
  friend bool operator==(const asset_name&, const asset_name&) = default;
};
std::optional<asset_name> parse_asset_name(std::string_view text);

/// A file descriptor, closed with it.
class owned_fd {
 public:
  owned_fd() = default;
  explicit owned_fd(int fd) : fd_(fd) {}
  owned_fd(owned_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  owned_fd& operator=(owned_fd&& other) noexcept;
  ~owned_fd();
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void close();

 private:
  int fd_ = -1;
};

/// A file that is being received. Removed with the object, unless it was moved to its place.
class incoming_file {
 public:
  /// `longest`: bytes. Errors: assets_full, conflict (one of this id is being received), storage_unavailable.
  static result<std::unique_ptr<incoming_file>> begin(const std::string& folder, std::string id,
                                                      std::int64_t longest);
  /// One that is looked at, and not kept: there is no room for it.
  static std::unique_ptr<incoming_file> unkept(std::string id, std::int64_t longest);
  ~incoming_file();
  incoming_file(const incoming_file&) = delete;
  incoming_file& operator=(const incoming_file&) = delete;

  /// Errors: body_too_large, assets_full, storage_unavailable.
  result<void> write(std::string_view bytes);
  /// The same, and nothing is written: it cannot be kept. Errors: body_too_large.
  result<void> look_at(std::string_view bytes);
  /// It is whole.
  void end();

  const std::string& id() const { return id_; }
  std::int64_t bytes() const { return bytes_; }
  /// After end(). nullopt: none that Luma takes; nothing of such a file is kept.
  const std::optional<file_type>& type() const { return type_; }
  /// After end(): `data:;sha256,…`, the text that stands for its bytes in a request.
  const std::string& stands_for() const { return stands_for_; }

  /// On disk from here on, with its name in OWNER's folder not yet synced. Errors: assets_full,
  /// storage_unavailable.
  result<void> move_to(const std::string& file);

 private:
  incoming_file(std::string id, std::string path, owned_fd fd, std::int64_t longest);

  const std::string id_, path_;
  owned_fd fd_;
  const std::int64_t longest_;
  std::int64_t bytes_ = 0;
  std::string first_;  // until it is known what it is
  bool unknown_ = false;
  bool moved_ = false;
  std::optional<file_type> type_;
  sha256_stream digest_;
  std::string stands_for_;
};

/// A stored file, as found at start.
struct stored_asset {
  std::int64_t owner = 0;
  asset_name name;
  std::int64_t bytes = 0;
  timestamp received_at;
  std::vector<std::string> tasks;
};

class asset_files {
 public:
  explicit asset_files(std::string folder) : folder_(std::move(folder)) {}

  /// Makes the folder, if it is not there, and empties incoming/. Errors: internal.
  result<void> open() const;
  /// What is in it. Errors: internal.
  result<std::vector<stored_asset>> scan() const;

  std::string incoming() const { return folder_ + "/incoming"; }
  std::string path_of(std::int64_t owner, const asset_name& name) const;
  /// A file that was received gets its place. Errors: assets_full, storage_unavailable.
  result<void> put(std::int64_t owner, incoming_file& file) const;
  /// The job has the address of this file. Errors: as put().
  result<void> mark(std::int64_t owner, const std::string& id, const std::string& task_id) const;
  void unmark(std::int64_t owner, const std::string& id, const std::string& task_id) const;
  void remove(std::int64_t owner, const asset_name& name) const;
  /// What was put, marked and removed stays so from here on. Errors: as put().
  result<void> sync(std::int64_t owner) const;
  /// Bytes that its disk has left; nullopt: it does not say.
  std::optional<std::int64_t> free_bytes() const;

 private:
  std::string folder_of(std::int64_t owner) const;
  void scan_owner(std::int64_t owner, std::vector<stored_asset>& out) const;

  const std::string folder_;
};

}  // namespace relay
