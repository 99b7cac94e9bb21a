#pragma once

// A table of routes and the search in it. A pattern is a path in which up to two segments, as "{id}", match
// any one segment; fixed paths win over it. Pure.

#include <algorithm>
#include <span>
#include <string>
#include <string_view>

#include "server/http/message.hpp"

namespace relay::http {

/// What the search ends in.
struct route_match {
  enum class kind : std::uint8_t { found, no_path, no_method } what = kind::no_path;
  std::size_t index = 0;  // into the table, when found
  std::string_view id;    // what the first name in "{…}" matched; points into the path
  std::string_view key;   // the same for the second
  std::string allow;      // for `Allow`: methods of this path, when it exists and no row was found
};

struct route_pattern {
  constexpr route_pattern(verb m, std::string_view p)
      : method(m), pattern(p), fixed(p.find('{')), slashes(std::ranges::count(p, '/')) {}

  verb method;
  std::string_view pattern;
  std::size_t fixed;       // bytes before its first "{"; npos: all of it
  std::ptrdiff_t slashes;  // as many as each path that matches it has
};

/// HEAD is served where GET is.
route_match find_route(std::span<const route_pattern> table, verb method, std::string_view path);

}  // namespace relay::http
