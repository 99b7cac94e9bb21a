#pragma once

// The header fields of one head, as views into its bytes, in their order. Names are compared without case
// (RFC 9110 §5.1).

#include <boost/container/small_vector.hpp>
#include <string_view>

#include "common/base/ascii.hpp"

namespace relay::http {

struct header_field {
  std::string_view name;
  std::string_view value;  // without white space around it
};

class header_fields {
 public:
  void add(std::string_view name, std::string_view value) { all_.push_back({name, value}); }

  /// The first of this name; null: there is none.
  const header_field* find(std::string_view name) const {
    for (const header_field& f : all_) {
      if (iequals(f.name, name)) return &f;
    }
    return nullptr;
  }
  std::size_t count(std::string_view name) const {
    std::size_t out = 0;
    for (const header_field& f : all_) out += iequals(f.name, name);
    return out;
  }
  std::size_t size() const { return all_.size(); }
  auto begin() const { return all_.begin(); }
  auto end() const { return all_.end(); }

 private:
  boost::container::small_vector<header_field, 12> all_;
};

}  // namespace relay::http
