// luma-relay-faulty CONFIG: `luma-relay serve` that ends itself, as kill -9 does, when it passes the place
// named by RELAY_FAULT: "NUMBER PLACE" for the NUMBER-th pass.

#include <sys/prctl.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string>

#include "common/base/fault_point.hpp"
#include "server/cli/commands.hpp"

namespace {

std::string place;
std::atomic<int> passes_left = 0;

void on_pass(const char* at) {
  if (place == at && --passes_left == 0) std::raise(SIGKILL);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "luma-relay-faulty CONFIG, with RELAY_FAULT=\"NUMBER PLACE\"\n";
    return 2;
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // it does not outlive the test that started it
  if (const char* fault = std::getenv("RELAY_FAULT")) {
    const std::string text(fault);
    const auto space = text.find(' ');
    passes_left = std::stoi(text.substr(0, space));
    place = text.substr(space + 1);
    relay::on_fault_point = on_pass;
  }
  return relay::cli::serve(argv[1]);
}
