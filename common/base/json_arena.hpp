#pragma once

// Memory for JSON that is needed for a moment: taken in large steps and given back at once. Values made in it
// must not outlive it, and neither must their copies, which live there too: what is kept is copied with a
// storage of its own, `json::object(o, json::storage_ptr())`.

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/storage_ptr.hpp>
#include <cstddef>

namespace relay {

class json_arena {
 public:
  json_arena() : memory_(first_, sizeof first_) {}
  json_arena(const json_arena&) = delete;
  json_arena& operator=(const json_arena&) = delete;

  boost::json::storage_ptr storage() { return &memory_; }

 private:
  alignas(std::max_align_t) unsigned char first_[4096];  // enough for most requests and replies
  boost::json::monotonic_resource memory_;
};

}  // namespace relay
