// What most tests of the server include: precompiled once.
#include <gtest/gtest.h>

#include "server/pch.hpp"
