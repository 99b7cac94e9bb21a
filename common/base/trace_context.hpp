#pragma once

// The `traceparent` header field of W3C Trace Context
// (https://www.w3.org/TR/trace-context/#traceparent-header). Pure.

#include <string_view>

namespace relay {

/// True for "00-<32 hex digits>-<16 hex digits>-<2 hex digits>" in lower case, of which neither id is all
/// zeros. Of other versions nothing is known: they are not passed on.
bool valid_traceparent(std::string_view text);

}  // namespace relay
