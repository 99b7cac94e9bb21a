#pragma once

// Luma as one family of jobs: its tables, for the program's catalogue.

#include "common/engine/family.hpp"

namespace relay::luma {

extern const relay::family family;

}  // namespace relay::luma
