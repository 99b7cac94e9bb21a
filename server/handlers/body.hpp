#pragma once

// The JSON that a client sends, under whatever Content-Type: some stations document text/plain.

#include "common/base/json.hpp"
#include "server/route.hpp"

namespace relay::handlers {

/// A byte order mark is skipped. Errors: unsupported_type, naming the type, for a compressed body and for one
/// that is no JSON and says so; those of parse_strict().
result<json::value> parse_body(const call& c, json::storage_ptr memory);

}  // namespace relay::handlers
