#include "common/engine/account.hpp"

#include "common/base/ascii.hpp"

namespace relay {

bool valid_account_name(std::string_view name) {
  return name != "." && name != ".." && name.size() <= max_account_name && is_word(name, "._-@");
}

}  // namespace relay
