#pragma once

// What operators say of models: other names for them, and which one a job gets whose client named none.

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace relay {

struct model_names {
  std::vector<std::pair<std::string, std::string>> aliases;   // a client's name, the model's own
  std::vector<std::pair<std::string, std::string>> defaults;  // an action's name, the model

  /// The model's own name; a name that is no alias is one.
  std::string_view own(std::string_view name) const { return find(aliases, name).value_or(name); }
  std::string_view default_for(std::string_view action, std::string_view otherwise) const {
    return find(defaults, action).value_or(otherwise);
  }

 private:
  static std::optional<std::string_view> find(const std::vector<std::pair<std::string, std::string>>& in,
                                              std::string_view name) {
    const auto found = std::ranges::find(in, name, &std::pair<std::string, std::string>::first);
    return found != in.end() ? std::optional<std::string_view>(found->second) : std::nullopt;
  }
};

}  // namespace relay
