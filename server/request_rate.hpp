#pragma once

// Requests in a minute, of an account and of a token. Loop thread.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/handler_context.hpp"

namespace relay {

/// `counts`: the request counts, if it is let through. Where there is a limit, the header fields that most
/// clients of this kind know are added. Errors: rate_limited (RFC 6585 §4).
result<void> within_request_limit(const handler_context& in, const caller& by, bool counts,
                                  std::vector<std::pair<std::string_view, std::string>>& headers);

}  // namespace relay
