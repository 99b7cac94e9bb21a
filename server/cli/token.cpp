// luma-relay token …

#include <cstdio>
#include <iostream>

#include "server/cli/admin_client.hpp"
#include "server/cli/commands.hpp"

namespace relay::cli {

int token_create(const std::string& config_file, const token_options& o) {
  int status = 0;
  json::array addresses;
  for (const std::string& a : o.addresses) addresses.emplace_back(json::string(a));
  json::object body{{"name", json::string(o.name)},
                    {"expires_in_s", o.expires_in_s},
                    {"addresses", std::move(addresses)},
                    {"limits", limits_from(o.limits)}};
  if (!o.account.empty()) body["account"] = json::string(o.account);
  const auto response = call_admin(config_file, {verb::post, "/tokens", std::move(body)}, status);
  if (!response) return status;
  std::cout << text_of(*response, "token") << std::endl;
  std::cerr << "Token \"" << o.name << "\" of the account \"" << text_of(*response, "account")
            << "\" was created. It is shown this once: only its hash is stored.\n";
  if (const auto ends = text_of(*response, "expires_at"); !ends.empty())
    std::cerr << "It expires at " << ends << ".\n";
  return 0;
}

int token_set(const std::string& config_file, const std::string& name, const token_change_options& o) {
  if (!o.new_name && !o.expires_in_s && !o.addresses && o.limits.empty()) {
    std::cerr << "luma-relay: token set changes nothing without an option; see luma-relay token set --help\n";
    return 2;
  }
  json::object request;
  if (o.new_name) request["name"] = json::string(*o.new_name);
  if (o.expires_in_s) request["expires_in_s"] = *o.expires_in_s;
  if (o.addresses) {
    json::array addresses;
    for (const std::string& a : *o.addresses) {
      if (a != "any") addresses.emplace_back(json::string(a));
    }
    request["addresses"] = std::move(addresses);
  }
  if (!o.limits.empty()) request["limits"] = limits_from(o.limits);
  int status = 0;
  const auto response =
      call_admin(config_file, {verb::patch, path_of_token(name), std::move(request)}, status);
  if (!response) return status;
  std::cerr << "Token \"" << text_of(*response, "name") << "\" is changed.";
  if (const auto ends = text_of(*response, "expires_at"); !ends.empty())
    std::cerr << " It expires at " << ends << ".";
  std::cerr << "\n";
  return 0;
}

int token_list(const std::string& config_file, const std::string& account) {
  int status = 0;
  const auto list = list_all(config_file, "/tokens" + query_of({{"account", account}}), status);
  if (!list) return status;
  if (list->empty()) {
    std::cerr << "There is no token yet; make one: luma-relay token create --name NAME\n";
    return 0;
  }
  std::printf("%-24s  %-24s  %-6s  %-24s  %-10s  %-24s  %-24s  %s\n", "NAME", "ACCOUNT", "ENDING", "CREATED",
              "LAST USED", "EXPIRES", "REVOKED", "OLD SECRET WORKS UNTIL");
  for (const json::value& item : *list) {
    const json::object& t = item.as_object();
    const auto text = [&t](std::string_view key) { return std::string(text_of(t, key)); };
    const auto or_dash = [&text](std::string_view key) { return text(key).empty() ? "-" : text(key); };
    // The ellipsis is three bytes and one column.
    std::printf("%-24s  %-24s  %-8s  %-24s  %-10s  %-24s  %-24s  %s\n", text("name").c_str(),
                text("account").c_str(), ("…" + text("hint")).c_str(), text("created_at").c_str(),
                or_dash("last_used").c_str(), or_dash("expires_at").c_str(), or_dash("revoked_at").c_str(),
                or_dash("old_ends_at").c_str());
  }
  return 0;
}

int token_revoke(const std::string& config_file, const std::string& name, bool keep_pending) {
  int status = 0;
  const admin_request request{verb::post, path_of_token(name) + "/revoke", {{"keep_pending", keep_pending}}};
  const auto response = call_admin(config_file, request, status);
  if (!response) return status;
  std::cerr << "Token \"" << name << "\" is revoked; requests with it are refused from now on. ";
  if (keep_pending) {
    std::cerr << "What it created and that waits is still submitted.\n";
  } else {
    std::cerr << cancelled_text(*response) << " Those at an upstream go on.\n";
  }
  return 0;
}

int token_rotate(const std::string& config_file, const std::string& name, std::int64_t grace_s) {
  int status = 0;
  const admin_request request{verb::post, path_of_token(name) + "/rotate", {{"grace_s", grace_s}}};
  const auto response = call_admin(config_file, request, status);
  if (!response) return status;
  std::cout << text_of(*response, "token") << std::endl;
  std::cerr << "This is the new secret of \"" << name << "\", shown this once. The old one "
            << (grace_s > 0 ? "works until " + std::string(text_of(*response, "old_ends_at")) : "has ended")
            << ".\n";
  if (const auto before = text_of(*response, "ended_before"); !before.empty())
    std::cerr << "The one before that, which was to work until " << before << ", has ended now.\n";
  return 0;
}

}  // namespace relay::cli
