// RELAY_FUZZ=NAME fuzz_tests [libFuzzer options] [CORPUS]. Without a name, or with one that is none: the
// names.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/targets.hpp"

namespace {

const relay::fuzz::target* chosen = nullptr;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const char* name = std::getenv("RELAY_FUZZ");
  for (const auto& t : relay::fuzz::targets()) {
    if (name != nullptr && t.name == name) chosen = &t;
  }
  if (chosen != nullptr) return 0;
  for (const auto& t : relay::fuzz::targets())
    std::printf("%.*s\n", static_cast<int>(t.name.size()), t.name.data());
  std::exit(name == nullptr ? 0 : 2);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  chosen->run({reinterpret_cast<const char*>(data), size});
  return 0;
}
