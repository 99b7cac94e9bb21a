#include "server/assets/asset_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>

#include "common/base/id.hpp"

namespace relay {
namespace {

namespace fs = std::filesystem;

// What the operating system said; with no space left it is the client's matter too.
std::unexpected<error> failed(std::string_view what, const std::string& path) {
  const int why = errno;
  error e;
  const bool full = why == ENOSPC || why == EDQUOT;
  e.code = full ? errc::assets_full : errc::storage_unavailable;
  e.message.text = full ? "The relay has no room for files now; nothing was submitted. Try again later"
                        : "The relay could not store a file; nothing was submitted";
  e.log.text = std::string(what) + " " + path + ": " + std::strerror(why);
  e.retry_after_seconds = full ? 60 : 30;
  return std::unexpected(std::move(e));
}

bool is_id(std::string_view text) {
  return text.size() == 32 &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::optional<std::int64_t> owner_from(const std::string& folder) {
  if (folder.empty() || folder.size() > 18 ||
      !std::ranges::all_of(folder, [](char c) { return c >= '0' && c <= '9'; }))
    return std::nullopt;
  return std::stoll(folder);
}

result<void> sync_folder(const std::string& path) {
  const owned_fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return failed("cannot sync", path);
  return {};
}

result<void> make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return failed("cannot make", path);
  return {};
}

}  // namespace

owned_fd& owned_fd::operator=(owned_fd&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}
owned_fd::~owned_fd() {
  close();
}
void owned_fd::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

std::string asset_name::text() const {
  return id + "." + std::string(suffix_of(type));
}

std::optional<asset_name> parse_asset_name(std::string_view text) {
  const auto dot = text.find('.');
  if (dot == text.npos || !is_id(text.substr(0, dot))) return std::nullopt;
  const auto type = type_from_suffix(text.substr(dot + 1));
  if (!type) return std::nullopt;
  return asset_name{std::string(text.substr(0, dot)), *type};
}

// ---- a file that is being received

result<std::unique_ptr<incoming_file>> incoming_file::begin(const std::string& folder, std::string id,
                                                            std::int64_t longest) {
  std::string path = folder + "/" + id;
  owned_fd fd(::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
  if (!fd && errno == EEXIST) return fail(errc::conflict, "This file is being uploaded already");
  if (!fd) return failed("cannot make", path);
  return std::unique_ptr<incoming_file>(
      new incoming_file(std::move(id), std::move(path), std::move(fd), longest));
}

incoming_file::incoming_file(std::string id, std::string path, owned_fd fd, std::int64_t longest)
    : id_(std::move(id)), path_(std::move(path)), fd_(std::move(fd)), longest_(longest) {}

std::unique_ptr<incoming_file> incoming_file::unkept(std::string id, std::int64_t longest) {
  auto out = std::unique_ptr<incoming_file>(new incoming_file(std::move(id), {}, owned_fd(), longest));
  out->moved_ = true;  // there is nothing to remove
  return out;
}

incoming_file::~incoming_file() {
  if (!moved_) ::unlink(path_.c_str());
}

result<void> incoming_file::write(std::string_view bytes) {
  const bool was_known = type_.has_value();
  if (auto seen = look_at(bytes); !seen) return seen;
  if (!type_) return {};
  // Nothing is written before it is known what it is.
  std::string_view rest = was_known ? bytes : std::string_view(first_);
  while (!rest.empty()) {
    const ssize_t n = ::write(fd_.get(), rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("cannot write", path_);
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  std::string().swap(first_);
  return {};
}

result<void> incoming_file::look_at(std::string_view bytes) {
  bytes_ += static_cast<std::int64_t>(bytes.size());
  if (bytes_ > longest_) {
    return fail(errc::body_too_large, "body: holds a file of more than the " + std::to_string(longest_) +
                                          " bytes that are allowed");
  }
  digest_.feed(bytes);
  if (type_ || unknown_) return {};
  first_.append(bytes);
  if (first_.size() < file_type_bytes) return {};
  type_ = type_of(first_);
  unknown_ = !type_;
  return {};
}

// No file of a type that is taken is shorter than what its type shows in.
void incoming_file::end() {
  stands_for_ = "data:;sha256," + hex_of(digest_.finish());
}

result<void> incoming_file::move_to(const std::string& file) {
  if (::fdatasync(fd_.get()) != 0) return failed("cannot sync", path_);
  fd_.close();
  if (::rename(path_.c_str(), file.c_str()) != 0) return failed("cannot make", file);
  moved_ = true;
  return {};
}

// ---- the folder

result<void> asset_files::open() const {
  for (const std::string& path : {folder_, incoming()}) {
    if (auto made = make_folder(path); !made) return made;
  }
  // What another process left half received.
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(incoming(), ec)) {
    if (is_id(entry.path().filename().string())) fs::remove(entry.path(), ec);
  }
  if (::access(incoming().c_str(), R_OK | W_OK | X_OK) != 0) return failed("cannot use", incoming());
  return {};
}

result<std::vector<stored_asset>> asset_files::scan() const {
  std::vector<stored_asset> out;
  try {
    for (const auto& folder : fs::directory_iterator(folder_)) {
      const auto owner = owner_from(folder.path().filename().string());
      if (owner) scan_owner(*owner, out);
    }
  } catch (const fs::filesystem_error& e) {
    return fail(errc::internal, std::string("cannot read the files of clients: ") + e.what());
  }
  return out;
}

void asset_files::scan_owner(std::int64_t owner, std::vector<stored_asset>& out) const {
  std::map<std::string, std::vector<std::string>> tasks;
  const auto first = out.size();
  for (const auto& entry : fs::directory_iterator(folder_of(owner))) {
    const std::string name = entry.path().filename().string();
    if (const auto asset = parse_asset_name(name)) {
      struct stat info{};
      if (::stat(entry.path().c_str(), &info) != 0) continue;
      const timestamp at{std::chrono::duration_cast<timestamp::duration>(
          std::chrono::seconds(info.st_mtim.tv_sec) + std::chrono::nanoseconds(info.st_mtim.tv_nsec))};
      out.push_back({owner, *asset, info.st_size, at, {}});
    } else if (name.size() > 33 && name[32] == '.' && is_uuid(std::string_view(name).substr(33))) {
      tasks[name.substr(0, 32)].push_back(name.substr(33));
    }
  }
  for (auto i = first; i < out.size(); ++i) {
    if (const auto found = tasks.find(out[i].name.id); found != tasks.end()) {
      out[i].tasks = std::move(found->second);
      tasks.erase(found);
    }
  }
  for (const auto& [id, of] : tasks) {  // their file is gone
    for (const std::string& task : of) unmark(owner, id, task);
  }
}

std::string asset_files::folder_of(std::int64_t owner) const {
  return folder_ + "/" + std::to_string(owner);
}

std::string asset_files::path_of(std::int64_t owner, const asset_name& name) const {
  return folder_of(owner) + "/" + name.text();
}

result<void> asset_files::put(std::int64_t owner, incoming_file& file) const {
  const std::string folder = folder_of(owner);
  if (auto made = make_folder(folder); !made) return made;
  return file.move_to(path_of(owner, {file.id(), *file.type()}));
}

result<void> asset_files::mark(std::int64_t owner, const std::string& id, const std::string& task_id) const {
  const std::string path = folder_of(owner) + "/" + id + "." + task_id;
  const owned_fd fd(::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  if (!fd) return failed("cannot make", path);
  return {};
}

void asset_files::unmark(std::int64_t owner, const std::string& id, const std::string& task_id) const {
  ::unlink((folder_of(owner) + "/" + id + "." + task_id).c_str());
}

void asset_files::remove(std::int64_t owner, const asset_name& name) const {
  ::unlink(path_of(owner, name).c_str());
}

result<void> asset_files::sync(std::int64_t owner) const {
  auto synced = sync_folder(folder_of(owner));
  return synced ? sync_folder(folder_) : synced;
}

std::optional<std::int64_t> asset_files::free_bytes() const {
  struct statvfs v{};
  if (::statvfs(folder_.c_str(), &v) != 0) return std::nullopt;
  return static_cast<std::int64_t>(v.f_bavail) * static_cast<std::int64_t>(v.f_frsize);
}

}  // namespace relay
