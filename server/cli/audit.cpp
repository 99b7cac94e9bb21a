// luma-relay admin-token …, luma-relay audit …

#include <cstdio>
#include <iostream>

#include "common/base/text.hpp"
#include "server/cli/admin_client.hpp"
#include "server/cli/commands.hpp"

namespace relay::cli {

int admin_token_create(const std::string& config_file, const std::string& name, const std::string& role,
                       std::int64_t expires_in_s) {
  int status = 0;
  const auto response = call_admin(
      config_file,
      {verb::post,
       "/admin-tokens",
       {{"name", json::string(name)}, {"role", json::string(role)}, {"expires_in_s", expires_in_s}}},
      status);
  if (!response) return status;
  std::cout << text_of(*response, "token") << std::endl;
  std::cerr << "Admin token \"" << name << "\" with the role " << role
            << " was created. It is shown this once: only its hash is stored.\n";
  if (const auto ends = text_of(*response, "expires_at"); !ends.empty())
    std::cerr << "It expires at " << ends << ".\n";
  return 0;
}

int admin_token_list(const std::string& config_file) {
  int status = 0;
  const auto response = call_admin(config_file, {verb::get, "/admin-tokens"}, status);
  if (!response) return status;
  const json::array& list = response->at("items").as_array();
  if (list.empty()) {
    std::cerr
        << "There is no admin token; make one: luma-relay admin-token create --name NAME --role viewer\n";
    return 0;
  }
  std::printf("%-24s  %-8s  %-6s  %-24s  %-24s  %s\n", "NAME", "ROLE", "ENDING", "CREATED", "EXPIRES",
              "REVOKED");
  for (const json::value& item : list) {
    const json::object& t = item.as_object();
    const auto or_dash = [&t](std::string_view key) {
      const std::string text(text_of(t, key));
      return text.empty() ? std::string("-") : text;
    };
    // The ellipsis is three bytes and one column.
    std::printf("%-24s  %-8s  %-8s  %-24s  %-24s  %s\n", or_dash("name").c_str(), or_dash("role").c_str(),
                ("…" + or_dash("hint")).c_str(), or_dash("created_at").c_str(), or_dash("expires_at").c_str(),
                or_dash("revoked_at").c_str());
  }
  return 0;
}

int admin_token_revoke(const std::string& config_file, const std::string& name) {
  int status = 0;
  if (!call_admin(config_file, {verb::post, "/admin-tokens/" + encoded(name) + "/revoke"}, status))
    return status;
  std::cerr << "Admin token \"" << name << "\" is revoked; requests with it are refused from now on.\n";
  return 0;
}

int audit_list(const std::string& config_file, std::int64_t limit, bool as_json) {
  int status = 0;
  const auto response = call_admin(config_file, {verb::get, "/audit?limit=" + std::to_string(limit)}, status);
  if (!response) return status;
  const json::array& rows = response->at("items").as_array();
  if (as_json) {
    std::cout << json::serialize(rows) << "\n";
    return 0;
  }
  if (rows.empty()) {
    std::cerr << "Nothing was changed yet.\n";
    return 0;
  }
  std::printf("%-8s  %-24s  %-16s  %-22s  %-28s  %s\n", "ID", "AT", "MADE BY", "OPERATION", "TARGET",
              "AFTER");
  for (const json::value& item : rows) {
    const json::object& r = item.as_object();
    const auto text = [&r](std::string_view key) { return for_log(text_of(r, key)); };
    const json::value* after = member(r, "after");
    std::printf("%-8lld  %-24s  %-16s  %-22s  %-28s  %s\n", static_cast<long long>(number_in(r, "id")),
                text("at").c_str(), text("made_by").c_str(), text("operation").c_str(),
                text("target").c_str(),
                after == nullptr ? "-" : for_terminal(cut(json::serialize(*after), 400)).c_str());
  }
  return 0;
}

}  // namespace relay::cli
