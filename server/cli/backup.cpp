// luma-relay backup FILE

#include "storage/sqlite/backup.hpp"

#include <sys/stat.h>

#include <iostream>

#include "server/cli/commands.hpp"
#include "server/cli/config_file.hpp"
#include "storage/sqlite/database_file.hpp"

namespace relay::cli {

int backup(const std::string& config_file, const std::string& to) {
  const auto database = database_path(config_file);
  if (!database) return 2;
  ::umask(0077);
  auto done = sqlite::check_is_ours(*database);
  if (done) done = sqlite::backup(*database, to);
  if (!done) {
    std::cerr << "luma-relay: no backup was made: " << done.error().log.text << "\n";
    return 1;
  }
  std::cerr << to << " is a checked copy of " << *database
            << ". To go back to it: stop the relay, then `luma-relay restore " << to << "`.\n";
  return 0;
}

}  // namespace relay::cli
