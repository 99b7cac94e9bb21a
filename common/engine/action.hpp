#pragma once

// A kind of job, as the engine knows it: a name and a deadline. What a request for it may say, and how it is
// sent and shown, stands in the table of its family (luma/actions.hpp).

#include <string_view>

#include "common/base/json.hpp"
#include "common/base/time.hpp"

namespace relay {

struct job_traits;
struct model_names;

/// A row of a family's table; lives as long as the program, and is known by its address.
struct action {
  std::string_view platform;  // name of the family; stored beside the name
  std::string_view name;      // as stored, unique within the family
  /// How long an accepted job may take when the configuration does not say (poll.job_deadline_ms).
  milliseconds job_deadline{3'600'000};
  /// What of a stored request its price depends on; null: nothing but the kind of job. See price.hpp.
  job_traits (*describe)(const json::object& request, const action& a, const model_names& names) = nullptr;
  /// Names, in a stored request that names none, the model that describe() says; null: there are no models.
  void (*settle_model)(json::object& request, const action& a, const model_names& names) = nullptr;
  /// What a client sends for it, as JSON Schema 2020-12; null: it is not described.
  json::object (*request_schema)(const action& a) = nullptr;
};

}  // namespace relay
