// luma-relay restore FILE

#include "storage/sqlite/restore.hpp"

#include <sys/stat.h>

#include <iostream>

#include "server/cli/commands.hpp"
#include "server/cli/config_file.hpp"
#include "server/clock.hpp"

namespace relay::cli {

int restore(const std::string& config_file, const std::string& from) {
  const auto database = database_path(config_file);
  if (!database) return 2;
  ::umask(0077);
  const auto done = sqlite::restore(from, *database, now().time_since_epoch().count());
  if (!done) {
    std::cerr << "luma-relay: nothing was restored: " << done.error().log.text << "\n";
    return 1;
  }
  std::cerr << *database << " is a copy of " << from << " now.\n";
  if (!done->put_aside.empty()) std::cerr << "What was there is kept as " << done->put_aside << ".\n";
  std::cerr
      << "Accounts, tokens and balances are as they were then: what was revoked since works again, until "
         "it is revoked again.\n";
  if (done->held > 0) {
    std::cerr << "Jobs that waited in it to be submitted: " << done->held
              << ". They may have been submitted since, so they are held.\nWhere an upstream has a list, the "
                 "relay looks there, and follows what it finds. See the others with\n`luma-relay task list "
                 "--state held`; `task release` lets them go out, `task cancel-pending` ends them.\n";
  }
  return 0;
}

}  // namespace relay::cli
