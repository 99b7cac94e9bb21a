#pragma once

// A disk that forgets: a SQLite VFS over the real one that remembers, for each file, what was there at its
// last sync. `power_cut` leaves in another folder what a power cut at this moment would: everything that was
// synced, and of what was written since as much as chance lets through. Any thread.

#include <cstdint>
#include <string>

namespace relay::test {

class forgetful_vfs {
 public:
  /// Becomes SQLite's default VFS as long as it lives; one at a time.
  forgetful_vfs();
  ~forgetful_vfs();
  forgetful_vfs(const forgetful_vfs&) = delete;
  forgetful_vfs& operator=(const forgetful_vfs&) = delete;

  /// The database at `path` and its log, as they would be found in `folder` after a cut now. `seed` decides
  /// what of the unsynced writes has reached the disk by chance: sectors of 512 bytes, in any order.
  static void power_cut(const std::string& path, const std::string& folder, std::uint32_t seed);
  /// Syncs asked for so far.
  static std::int64_t syncs();
};

}  // namespace relay::test
