#pragma once

// A kind of job, as the engine knows it: a name and a deadline. What a request for it may say, and how it is
// sent and shown, stands in the table of its family (luma/actions.hpp).

#include <string_view>

#include "common/base/time.hpp"

namespace relay {

/// A row of a family's table; lives as long as the program, and is known by its address.
struct action {
  std::string_view platform;  // name of the family; stored beside the name
  std::string_view name;      // as stored, unique within the family
  /// How long an accepted job may take when the configuration does not say (poll.job_deadline_ms).
  milliseconds job_deadline{3'600'000};
};

}  // namespace relay
