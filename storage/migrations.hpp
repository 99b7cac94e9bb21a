#pragma once

// The schema, as numbered steps. A step is never changed once released; a new one is added.

#include <span>

namespace relay {

struct migration {
  int number;                      // stored in PRAGMA user_version, from 1
  const char* sql;                 // run in one transaction, without a look at references between tables
  bool checks_references = false;  // before the commit: it has made a table anew that others refer to
};

std::span<const migration> migrations();

}  // namespace relay
