// Every input that is kept, through its target: what was found once is not found again.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/fuzz/targets.hpp"

namespace relay::fuzz {
namespace {

class corpus : public ::testing::TestWithParam<target> {};
INSTANTIATE_TEST_SUITE_P(fuzz, corpus, ::testing::ValuesIn(targets().begin(), targets().end()),
                         [](const auto& i) { return std::string(i.param.name); });

TEST_P(corpus, holds_its_promises) {
  std::size_t inputs = 0;
  for (const auto& file :
       std::filesystem::directory_iterator(std::string(CORPUS_DIR) + "/" + std::string(GetParam().name))) {
    std::ifstream in(file.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    SCOPED_TRACE(file.path().filename().string());
    GetParam().run(bytes);
    ++inputs;
  }
  GetParam().run("");
  EXPECT_GE(inputs, 5u);
}

}  // namespace
}  // namespace relay::fuzz
