#pragma once

// An upstream's own words on their way to a client. Keys are masked before, where the reply is read. Pure.

#include <string>
#include <string_view>

namespace relay {

/// One line of at most 500 bytes, without control characters; addresses and names of private networks,
/// which are the upstream's internals, are replaced by "[internal]".
std::string upstream_words(std::string_view text);

}  // namespace relay
