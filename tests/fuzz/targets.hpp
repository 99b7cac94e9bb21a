#pragma once

// What is fuzzed: pure functions over hostile bytes, each with what must hold whatever they are. A broken
// promise is an abort. libFuzzer runs one target at a time (fuzz_tests); the kept inputs of all run as tests.

#include <span>
#include <string_view>

namespace relay::fuzz {

struct target {
  std::string_view name;  // and its folder under corpus/
  void (*run)(std::string_view input);
};

std::span<const target> targets();

}  // namespace relay::fuzz
