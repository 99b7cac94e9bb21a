#pragma once

// The subcommands of luma-relay. Each returns the exit status: 0 done, 1 failed, 2 the command line or the
// configuration is wrong.

#include <string>

namespace relay::cli {

int serve(const std::string& config_file);
int check_config(const std::string& config_file);
int print_example();
int print_reference();
int token_create(const std::string& config_file, const std::string& name);
int token_list(const std::string& config_file);
int token_revoke(const std::string& config_file, const std::string& name);

}  // namespace relay::cli
