#pragma once

namespace relay::cli {

/// Parses the command line and runs its subcommand. The exit status: 0 done, 1 failed, 2 the command line or
/// the configuration is wrong.
int run(int argc, char** argv);

}  // namespace relay::cli
