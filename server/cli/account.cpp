// luma-relay account …

#include <cstdio>
#include <iostream>

#include "common/base/text.hpp"
#include "server/cli/admin_client.hpp"
#include "server/cli/commands.hpp"

namespace relay::cli {
namespace {

std::string path_of(const std::string& account) {
  return "/accounts/" + encoded(account);
}

void add_if_said(json::object& request, std::string_view key, const std::optional<std::string>& value) {
  if (value) request[key] = json::string(*value);
}

json::object body_of(const account_options& o) {
  json::object out;
  add_if_said(out, "note", o.note);
  add_if_said(out, "contact", o.contact);
  if (o.weight) out["weight"] = *o.weight;
  // "all" is none that is named.
  const auto add_names = [&out](std::string_view key, const std::optional<std::vector<std::string>>& names) {
    if (!names) return;
    json::array list;
    for (const std::string& name : *names) {
      if (name != "all") list.emplace_back(json::string(name));
    }
    out[key] = std::move(list);
  };
  add_names("actions", o.actions);
  add_names("models", o.models);
  if (o.prepaid) out["prepaid"] = *o.prepaid;
  add_if_said(out, "group", o.group);
  if (!o.limits.empty()) out["limits"] = limits_from(o.limits);
  return out;
}

std::string texts_in(const json::object& a, std::string_view key, const char* none) {
  std::string out;
  const json::value* v = member(a, key);
  if (v != nullptr && v->is_array()) {
    for (const json::value& item : v->get_array())
      out.append(out.empty() ? "" : ", ").append(for_log(view(item.as_string())));
  }
  return out.empty() ? none : out;
}

std::string limits_in(const json::object& a) {
  std::string out;
  const json::value* v = member(a, "limits");
  if (v != nullptr && v->is_object()) {
    for (const auto& [name, value] : v->get_object())
      out.append(out.empty() ? "" : ", ").append(name).append("=").append(json::serialize(value));
  }
  return out.empty() ? "as configured" : out;
}

bool is_set_in(const json::object& a, std::string_view key) {
  const json::value* v = member(a, key);
  return v != nullptr && v->is_bool() && v->get_bool();
}

bool is_enabled(const json::object& a) {
  const json::value* v = member(a, "enabled");
  return v == nullptr || !v->is_bool() || v->get_bool();
}

}  // namespace

int account_create(const std::string& config_file, const std::string& name, const account_options& o) {
  int status = 0;
  json::object body = body_of(o);
  body["name"] = json::string(name);
  if (!call_admin(config_file, {verb::post, "/accounts", std::move(body)}, status)) return status;
  std::cerr << "Account \"" << name
            << "\" was created. It has no token yet: luma-relay token create --account " << name
            << " --name NAME\n";
  return 0;
}

int account_list(const std::string& config_file) {
  int status = 0;
  const auto list = list_all(config_file, "/accounts", status);
  if (!list) return status;
  if (list->empty()) {
    std::cerr << "There is no account yet; make one: luma-relay account create NAME\n";
    return 0;
  }
  std::printf("%-24s  %-8s  %6s  %9s  %7s  %-24s  %s\n", "NAME", "STATE", "TOKENS", "OPEN JOBS", "WAITING",
              "CREATED", "CONTACT");
  for (const json::value& item : *list) {
    const json::object& a = item.as_object();
    std::printf("%-24s  %-8s  %6lld  %9lld  %7lld  %-24s  %s\n", std::string(text_of(a, "name")).c_str(),
                is_enabled(a) ? "enabled" : "disabled", static_cast<long long>(number_in(a, "tokens")),
                static_cast<long long>(number_in(a, "open_jobs")),
                static_cast<long long>(number_in(a, "pending_jobs")),
                std::string(text_of(a, "created_at")).c_str(), for_log(text_of(a, "contact")).c_str());
  }
  return 0;
}

int account_show(const std::string& config_file, const std::string& name) {
  int status = 0;
  const auto response = call_admin(config_file, {verb::get, path_of(name)}, status);
  if (!response) return status;
  const json::object& a = *response;
  const auto line = [](const char* what, std::string_view value) {
    std::cout << what << (value.empty() ? "-" : for_log(value, 5'000)) << "\n";
  };
  line("name          ", text_of(a, "name"));
  line("state         ", is_enabled(a) ? "enabled" : "disabled");
  line("tokens        ", std::to_string(number_in(a, "tokens")));
  line("open jobs     ", std::to_string(number_in(a, "open_jobs")));
  line("of them wait  ", std::to_string(number_in(a, "pending_jobs")));
  line("weight        ", std::to_string(number_in(a, "weight")));
  const std::string currency(text_of(a, "currency"));
  const auto amount = [&](std::string_view key) { return std::string(text_of(a, key)) + " " + currency; };
  line("pays          ", is_set_in(a, "prepaid") ? "in advance: jobs are refused when nothing is left"
                                                 : "afterwards: its balance may go below zero");
  line("balance       ", amount("balance"));
  line("of it held    ", amount("held"));
  line("left          ", amount("left"));
  const std::string group(text_of(a, "group"));
  line("group         ",
       group + (is_set_in(a, "group_is_known") ? "" : " (not in the configuration: full price)"));
  line("limits        ", limits_in(a));
  line("kinds of jobs ", texts_in(a, "actions", "all"));
  line("models        ", texts_in(a, "models", "all"));
  line("created       ", text_of(a, "created_at"));
  line("contact       ", text_of(a, "contact"));
  line("note          ", text_of(a, "note"));
  return 0;
}

int account_set(const std::string& config_file, const std::string& name, const account_options& o) {
  if (!o.new_name && !o.note && !o.contact && !o.weight && !o.actions && !o.models && !o.prepaid &&
      !o.group && o.limits.empty()) {
    std::cerr
        << "luma-relay: account set changes nothing without an option; see luma-relay account set --help\n";
    return 2;
  }
  int status = 0;
  json::object body = body_of(o);
  add_if_said(body, "name", o.new_name);
  const auto response = call_admin(config_file, {verb::patch, path_of(name), std::move(body)}, status);
  if (!response) return status;
  std::cerr << "Account \"" << text_of(*response, "name") << "\" is changed.\n";
  return 0;
}

int account_enable(const std::string& config_file, const std::string& name) {
  int status = 0;
  if (!call_admin(config_file, {verb::post, path_of(name) + "/enable"}, status)) return status;
  std::cerr << "Account \"" << name << "\" is enabled; its tokens work again.\n";
  return 0;
}

int account_disable(const std::string& config_file, const std::string& name, bool keep_pending) {
  int status = 0;
  const admin_request request{verb::post, path_of(name) + "/disable", {{"keep_pending", keep_pending}}};
  const auto response = call_admin(config_file, request, status);
  if (!response) return status;
  std::cerr << "Account \"" << name << "\" is disabled; requests with its tokens are refused from now on. ";
  if (keep_pending) {
    std::cerr << "Its jobs that wait are still submitted.\n";
  } else {
    std::cerr << cancelled_text(*response) << " Those at an upstream go on.\n";
  }
  return 0;
}

int account_webhook_secret(const std::string& config_file, const std::string& name, bool rotate) {
  int status = 0;
  const std::string path = path_of(name) + "/webhook-secret";
  const auto response = rotate ? call_admin(config_file, {verb::post, path + "/rotate"}, status)
                               : call_admin(config_file, {verb::get, path}, status);
  if (!response) return status;
  std::cout << text_of(*response, "secret") << std::endl;
  std::cerr << (rotate ? "This is the new secret; callbacks are signed with it from now on.\n"
                       : "Callbacks for this account's jobs are signed with it (Standard Webhooks); hand it "
                         "to the account's owner.\n");
  return 0;
}

}  // namespace relay::cli
