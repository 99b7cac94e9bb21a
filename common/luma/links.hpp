#pragma once

// How long the addresses of a result work, as far as they say it themselves: presigned ones carry their time
// (S3's Signature Version 4 and 2, Google's, CloudFront's).

#include <optional>
#include <string_view>

#include "common/base/json.hpp"
#include "common/base/time.hpp"

namespace relay::luma {

/// What an address says of its own end.
struct link_end {
  timestamp at;           // never: it does not say
  milliseconds after{0};  // of its making, when it does not say when that was; 0: it does not say
};
link_end end_of_link(std::string_view url);

/// The earliest end of all addresses in a reply.
link_end end_of_links(const json::value& reply);

}  // namespace relay::luma
