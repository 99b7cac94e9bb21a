#pragma once

// A family of jobs as tables, and all families the program knows. Names in rows on disk and in the
// configuration are looked up here and nowhere else.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/engine/dialect.hpp"
#include "common/engine/protocol.hpp"

namespace relay {

struct family {
  std::string_view name;
  std::span<const action* const> actions;
  std::span<const dialect* const> dialects;
  std::span<const protocol* const> protocols;
};

/// Null when there is no such name.
class catalogue {
 public:
  catalogue(std::initializer_list<const family*> families) : families_(families) {}

  const action* find_action(std::string_view platform, std::string_view name) const;
  /// The first that some family has under this name.
  const action* find_action(std::string_view name) const;
  bool has_action(std::string_view name) const { return find_action(name) != nullptr; }
  /// The names of all families' actions.
  std::vector<std::string> actions() const;
  /// The same, with commas between.
  std::string action_names() const;
  const dialect* find_dialect(std::string_view name) const;
  std::vector<const dialect*> dialects_that_create() const;
  const protocol* find_protocol(std::string_view name) const;
  std::vector<std::string_view> protocol_names() const;
  /// The longest deadline that any action has of its own.
  milliseconds longest_job_deadline() const;

 private:
  std::vector<const family*> families_;
};

}  // namespace relay
