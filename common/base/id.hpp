#pragma once

// Ids of ours: UUID version 7 (RFC 9562 §5.7), made before the first byte goes upstream. They begin with the
// time, so that new rows land at the end of their index.

#include <array>
#include <string>
#include <string_view>

#include "common/base/time.hpp"

namespace relay {

/// Random bytes an id is made from; the caller's generator is the system's.
using id_entropy = std::array<unsigned char, 10>;

/// 36 characters, lower case.
std::string make_id(timestamp now, const id_entropy& random);

/// True for any UUID in the 8-4-4-4-12 form, either case.
bool is_uuid(std::string_view text);

/// Lower-cases an id in the UUID form (some clients change the case); other text is returned as it is.
std::string normalise_id(std::string_view text);

}  // namespace relay
