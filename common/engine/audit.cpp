#include "common/engine/audit.hpp"

namespace relay {

std::string_view name_of(admin_role r) {
  switch (r) {
    case admin_role::viewer:
      return "viewer";
    case admin_role::operator_:
      return "operator";
    case admin_role::owner:
      return "owner";
  }
  return "viewer";
}

std::optional<admin_role> admin_role_from(std::string_view name) {
  for (const admin_role r : all_admin_roles) {
    if (name_of(r) == name) return r;
  }
  return std::nullopt;
}

}  // namespace relay
