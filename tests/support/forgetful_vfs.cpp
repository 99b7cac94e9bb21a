#include "tests/support/forgetful_vfs.hpp"

#include <sqlite3.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <random>
#include <stdexcept>
#include <vector>

namespace relay::test {
namespace {

constexpr std::size_t sector = 512;

// One file: what is synced, and what was written since, in order.
struct image {
  std::string durable;
  struct change {
    std::int64_t at;  // -1: cut to `size`
    std::string bytes;
    std::int64_t size;
  };
  std::vector<change> since;
};

std::mutex mutex;                     // guards the two below
std::map<std::string, image> images;  // by path
std::int64_t synced = 0;
sqlite3_vfs* real = nullptr;

void apply(std::string& to, const image::change& c) {
  if (c.at < 0) {
    to.resize(static_cast<std::size_t>(c.size));
    return;
  }
  const auto end = static_cast<std::size_t>(c.at) + c.bytes.size();
  if (to.size() < end) to.resize(end);
  std::memcpy(to.data() + c.at, c.bytes.data(), c.bytes.size());
}

struct file {
  sqlite3_file base;
  bool kept;  // the database and its log; other files are passed through
  char path[512];
  sqlite3_file* inner() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

file* of(sqlite3_file* f) {
  return reinterpret_cast<file*>(f);
}
sqlite3_file* inner(sqlite3_file* f) {
  return of(f)->inner();
}

int x_close(sqlite3_file* f) {
  return inner(f)->pMethods->xClose(inner(f));
}
int x_read(sqlite3_file* f, void* to, int n, sqlite3_int64 at) {
  return inner(f)->pMethods->xRead(inner(f), to, n, at);
}
int x_write(sqlite3_file* f, const void* from, int n, sqlite3_int64 at) {
  if (of(f)->kept) {
    const std::lock_guard lock(mutex);
    images[of(f)->path].since.push_back(
        {at, std::string(static_cast<const char*>(from), static_cast<std::size_t>(n)), 0});
  }
  return inner(f)->pMethods->xWrite(inner(f), from, n, at);
}
int x_truncate(sqlite3_file* f, sqlite3_int64 size) {
  if (of(f)->kept) {
    const std::lock_guard lock(mutex);
    images[of(f)->path].since.push_back({-1, {}, size});
  }
  return inner(f)->pMethods->xTruncate(inner(f), size);
}
int x_sync(sqlite3_file* f, int flags) {
  // What a cut leaves is kept here: the real disk is not waited for.
  if (!of(f)->kept) return inner(f)->pMethods->xSync(inner(f), flags);
  {
    const std::lock_guard lock(mutex);
    image& i = images[of(f)->path];
    for (const image::change& c : i.since) apply(i.durable, c);
    i.since.clear();
    ++synced;
  }
  return SQLITE_OK;
}
int x_file_size(sqlite3_file* f, sqlite3_int64* size) {
  return inner(f)->pMethods->xFileSize(inner(f), size);
}
int x_lock(sqlite3_file* f, int level) {
  return inner(f)->pMethods->xLock(inner(f), level);
}
int x_unlock(sqlite3_file* f, int level) {
  return inner(f)->pMethods->xUnlock(inner(f), level);
}
int x_check(sqlite3_file* f, int* out) {
  return inner(f)->pMethods->xCheckReservedLock(inner(f), out);
}
int x_control(sqlite3_file* f, int op, void* arg) {
  return inner(f)->pMethods->xFileControl(inner(f), op, arg);
}
int x_sector(sqlite3_file* f) {
  return inner(f)->pMethods->xSectorSize(inner(f));
}
int x_device(sqlite3_file*) {
  return 0;  // no promise: neither atomic writes nor power-safe overwrite
}
int x_shm_map(sqlite3_file* f, int page, int size, int extend, void volatile** out) {
  return inner(f)->pMethods->xShmMap(inner(f), page, size, extend, out);
}
int x_shm_lock(sqlite3_file* f, int offset, int n, int flags) {
  return inner(f)->pMethods->xShmLock(inner(f), offset, n, flags);
}
void x_shm_barrier(sqlite3_file* f) {
  inner(f)->pMethods->xShmBarrier(inner(f));
}
int x_shm_unmap(sqlite3_file* f, int remove) {
  return inner(f)->pMethods->xShmUnmap(inner(f), remove);
}

const sqlite3_io_methods methods = {2,           x_close,   x_read,     x_write,       x_truncate,  x_sync,
                                    x_file_size, x_lock,    x_unlock,   x_check,       x_control,   x_sector,
                                    x_device,    x_shm_map, x_shm_lock, x_shm_barrier, x_shm_unmap, nullptr,
                                    nullptr};

int x_open(sqlite3_vfs*, const char* name, sqlite3_file* f, int flags, int* out) {
  file* mine = of(f);
  std::memset(mine, 0, sizeof *mine);
  const int code = real->xOpen(real, name, mine->inner(), flags, out);
  mine->base.pMethods = mine->inner()->pMethods != nullptr ? &methods : nullptr;
  mine->kept = name != nullptr && (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) != 0;
  if (code == SQLITE_OK && mine->kept) {
    std::strncpy(mine->path, name, sizeof mine->path - 1);
    // What stood under another name until now was synced before it was renamed.
    const std::lock_guard lock(mutex);
    if (!images.contains(name)) {
      std::ifstream in(name, std::ios::binary);
      images[name].durable.assign(std::istreambuf_iterator<char>(in), {});
    }
  }
  return code;
}
int x_delete(sqlite3_vfs*, const char* name, int sync) {
  {
    const std::lock_guard lock(mutex);
    images.erase(name);
  }
  return real->xDelete(real, name, sync);
}

sqlite3_vfs vfs;

}  // namespace

forgetful_vfs::forgetful_vfs() {
  real = sqlite3_vfs_find(nullptr);
  images.clear();
  synced = 0;
  vfs = *real;
  vfs.zName = "forgetful";
  vfs.szOsFile = static_cast<int>(sizeof(file)) + real->szOsFile;
  vfs.pNext = nullptr;
  vfs.xOpen = x_open;
  vfs.xDelete = x_delete;
  if (sqlite3_vfs_register(&vfs, 1) != SQLITE_OK) throw std::runtime_error("cannot register the VFS");
}

forgetful_vfs::~forgetful_vfs() {
  sqlite3_vfs_unregister(&vfs);
  sqlite3_vfs_register(real, 1);
}

void forgetful_vfs::power_cut(const std::string& path, const std::string& folder, std::uint32_t seed) {
  std::minstd_rand random(seed + 1);
  const std::uint32_t share = random() % 3;  // nothing, half, all of it has reached the disk by chance
  std::map<std::string, image> left;
  {
    const std::lock_guard lock(mutex);
    for (const std::string& name : {path, path + "-wal"}) {
      if (const auto found = images.find(name); found != images.end()) left[name] = found->second;
    }
  }
  for (auto& [name, i] : left) {
    std::string content = i.durable;
    for (const image::change& c : i.since) {
      if (c.at < 0) {
        if (random() % 2 == 0) apply(content, c);
        continue;
      }
      for (std::size_t from = 0; from < c.bytes.size(); from += sector) {
        if (random() % 2 >= share) continue;
        apply(content, {c.at + static_cast<std::int64_t>(from), c.bytes.substr(from, sector), 0});
      }
    }
    std::ofstream out(folder + "/" + std::filesystem::path(name).filename().string(), std::ios::binary);
    out.write(content.data(), static_cast<std::streamsize>(content.size()));
  }
}

std::int64_t forgetful_vfs::syncs() {
  const std::lock_guard lock(mutex);
  return synced;
}

}  // namespace relay::test
