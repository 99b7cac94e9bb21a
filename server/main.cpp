// luma-relay: the command line. Each subcommand is a function in server/cli.

#include <exception>
#include <iostream>

#include "server/cli/command_line.hpp"

int main(int argc, char** argv) {
  try {
    return relay::cli::run(argc, argv);
  } catch (const std::exception& e) {
    std::cerr << "luma-relay: " << e.what() << "\n";
    return 1;
  }
}
