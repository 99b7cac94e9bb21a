#pragma once

// Whether an upstream can be used, by one call that changes nothing and costs nothing. Loop thread.

#include <string>

#include "server/upstream/upstream.hpp"

namespace relay {

struct upstream_check {
  bool usable = false;
  std::string found;  // one line for a person
  milliseconds took{0};
};

awaitable<upstream_check> check_upstream(upstream& at);

}  // namespace relay
