// luma-relay task …

#include <cstdio>
#include <iostream>

#include "common/base/text.hpp"
#include "server/cli/admin_client.hpp"
#include "server/cli/commands.hpp"
#include "server/log.hpp"

namespace relay::cli {
namespace {

// Two spaces a level: what a person reads.
void print(const json::value& v, const std::string& indent) {
  if (const json::object* o = v.if_object()) {
    for (const auto& m : *o) {
      std::cout << indent << view(m.key()) << ":";
      if (m.value().is_object() && !m.value().get_object().empty()) {
        std::cout << "\n";
        print(m.value(), indent + "  ");
      } else {
        std::cout << " ";
        print(m.value(), indent);
      }
    }
    return;
  }
  if (v.is_string()) {
    std::cout << for_log(view(v.get_string()), 100'000) << "\n";
  } else if (v.is_null()) {
    std::cout << "-\n";
  } else {
    std::cout << json::serialize(v) << "\n";
  }
}

int simple(const std::string& config_file, const char* command, const std::string& id, const char* done) {
  int status = 0;
  if (!ask(config_file, {{"command", json::string(command)}, {"id", json::string(id)}}, status))
    return status;
  std::cerr << "Task " << id << " " << done << "\n";
  return 0;
}

}  // namespace

int task_list(const std::string& config_file, const task_list_options& o) {
  int status = 0;
  const auto response = ask(config_file,
                            {{"command", "task-list"},
                             {"state", json::string(o.state)},
                             {"account", json::string(o.account)},
                             {"token", json::string(o.token)},
                             {"limit", o.limit}},
                            status);
  if (!response) return status;
  const json::value* list = member(*response, "tasks");
  if (list == nullptr || !list->is_array() || list->get_array().empty()) {
    std::cerr << "There is no such task.\n";
    return 0;
  }
  std::printf("%-36s  %-10s  %-16s  %-12s  %-24s  %s\n", "ID", "STATE", "ACCOUNT", "UPSTREAM", "CREATED",
              "WHY");
  for (const json::value& item : list->get_array()) {
    const json::object& t = item.as_object();
    // What clients and upstreams wrote must not write to the terminal.
    const auto text = [&t](std::string_view key) { return for_log(text_of(t, key)); };
    std::printf("%-36s  %-10s  %-16s  %-12s  %-24s  %s\n", text("id").c_str(), text("state").c_str(),
                text("account").c_str(), text("upstream").empty() ? "-" : text("upstream").c_str(),
                text("created_at").c_str(),
                text(text_of(t, "fail_reason").empty() ? "why" : "fail_reason").c_str());
  }
  return 0;
}

int task_show(const std::string& config_file, const std::string& id, bool as_json) {
  int status = 0;
  const auto response = ask(config_file, {{"command", "task-show"}, {"id", json::string(id)}}, status);
  if (!response) return status;
  const json::value* t = member(*response, "task");
  if (t == nullptr) return 1;
  if (as_json) {
    std::cout << json::serialize(*t) << "\n";
  } else {
    std::cout << for_log(text_of(t->as_object(), "why"), 10'000) << "\n\n";
    print(*t, "");
  }
  return 0;
}

int task_release(const std::string& config_file, const std::string& id) {
  if (!id.empty())
    return simple(config_file, "task-release", id, "is released; it is submitted in its turn.");
  int status = 0;
  const auto response = ask(config_file, {{"command", "task-release-all"}}, status);
  if (!response) return status;
  const std::int64_t released = number_in(*response, "released");
  if (released == 0) {
    std::cerr << "No job is held.\n";
  } else {
    std::cerr << "Released: " << released << (released == 1 ? " job" : " jobs")
              << ", to be submitted in their turn.\n";
  }
  return 0;
}

int task_cancel_pending(const std::string& config_file, const std::string& id) {
  int status = 0;
  const auto response =
      ask(config_file, {{"command", "task-cancel-pending"}, {"id", json::string(id)}}, status);
  if (!response) return status;
  const auto state = text_of(*response, "state");
  std::cerr << "Task " << id
            << (state == "submitting"  ? " is being submitted now; it ends unless the upstream takes it.\n"
                : state == "ambiguous" ? " was submitted, and the response was lost; it ends unless the "
                                         "upstream is found to have it.\n"
                                       : " is cancelled; it will not be submitted.\n");
  return 0;
}

int task_cancel_all_pending(const std::string& config_file, const std::string& account,
                            const std::string& token) {
  int status = 0;
  const auto response = ask(config_file,
                            {{"command", "task-cancel-all-pending"},
                             {"account", json::string(account)},
                             {"token", json::string(token)}},
                            status);
  if (!response) return status;
  std::cerr << cancelled_text(*response) << "\n";
  return 0;
}

int task_retry_callback(const std::string& config_file, const std::string& id) {
  return simple(config_file, "task-retry-callback", id, "will have its callback sent now.");
}

}  // namespace relay::cli
