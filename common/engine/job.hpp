#pragma once

// What an upstream reports about a job, whichever protocol it speaks. A family's parsers make these values.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/json.hpp"
#include "common/base/time.hpp"

namespace relay {

enum class job_state : std::uint8_t { queued, running, completed, failed, unknown };

struct job {
  // At most 200 bytes, without control characters, and neither "." nor ".."; empty when there is no such id.
  // In a path it is escaped.
  std::string id;
  job_state state = job_state::unknown;
  std::string failure_reason;
  std::optional<int> progress;  // percent, 0 to 100
  bool has_result = true;       // something of the result can be fetched
  timestamp links_until;        // completed: the first of its addresses ends then; never: they do not say
  milliseconds links_for{0};    // the same, from now on; 0: nobody says
};

/// A job in an upstream's list.
struct listed_job {
  job reported;
  std::string reply;                    // the item, as a reply about the job would be
  timestamp created_at;                 // never: the upstream does not say
  std::string callback_url;             // echoed; empty: none
  std::optional<json::object> request;  // what the upstream shows of the request; nullopt: nothing
};

/// A page of it, newest first as far as is known.
struct listed_page {
  std::vector<listed_job> jobs;
  std::size_t items = 0;  // all of it, what is no job included
  /// Items that could not be read stand, if there are any, behind so many jobs.
  std::vector<std::size_t> odd;
  std::optional<bool> has_more;  // nullopt: the upstream does not say
};

}  // namespace relay
