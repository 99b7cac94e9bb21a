#pragma once

// All families of jobs that the program knows. A new one is a line in families.cpp.

#include "common/engine/family.hpp"

namespace relay {

const catalogue& families();

}  // namespace relay
