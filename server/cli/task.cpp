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
      std::cout << indent << for_terminal(view(m.key())) << ":";
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
    std::cout << for_terminal(json::serialize(v)) << "\n";
  }
}

std::string path_of(const std::string& id) {
  return "/jobs/" + encoded(id);
}

int simple(const std::string& config_file, const std::string& path, const char* done) {
  int status = 0;
  const auto response = call_admin(config_file, {verb::post, path}, status);
  if (!response) return status;
  std::cerr << "Task " << text_of(*response, "id") << " " << done << "\n";
  return 0;
}

}  // namespace

int task_list(const std::string& config_file, const task_list_options& o) {
  int status = 0;
  const std::string path = "/jobs" + query_of({{"state", o.state},
                                               {"account", o.account},
                                               {"token", o.token},
                                               {"upstream", o.upstream},
                                               {"action", o.action},
                                               {"since", o.since},
                                               {"until", o.until},
                                               {"text", o.text}});
  const auto list = list_all(config_file, path, status, static_cast<std::size_t>(o.limit));
  if (!list) return status;
  if (list->empty()) {
    std::cerr << "There is no such task.\n";
    return 0;
  }
  std::printf("%-36s  %-10s  %-16s  %-12s  %-24s  %s\n", "ID", "STATE", "ACCOUNT", "UPSTREAM", "CREATED",
              "WHY");
  for (const json::value& item : *list) {
    const json::object& t = item.as_object();
    // What clients and upstreams wrote must not write to the terminal.
    const auto text = [&t](std::string_view key) { return for_terminal(text_of(t, key)); };
    std::printf("%-36s  %-10s  %-16s  %-12s  %-24s  %s\n", text("id").c_str(), text("state").c_str(),
                text("account").c_str(), text("upstream").empty() ? "-" : text("upstream").c_str(),
                text("created_at").c_str(), text("why").c_str());
  }
  return 0;
}

int task_show(const std::string& config_file, const std::string& id, bool as_json) {
  int status = 0;
  auto t = call_admin(config_file, {verb::get, path_of(id)}, status);
  if (!t) return status;
  if (as_json) {
    std::cout << json::serialize(*t) << "\n";
    return 0;
  }
  std::cout << for_terminal(text_of(*t, "why")) << "\n\n";
  if (const json::value* story = member(*t, "story"); story != nullptr && story->is_array()) {
    for (const json::value& line : story->get_array())
      std::cout << text_of(line.as_object(), "at") << "  " << for_terminal(text_of(line.as_object(), "text"))
                << "\n";
    std::cout << "\n";
  }
  t->erase("story");
  print(*t, "");
  return 0;
}

int task_release(const std::string& config_file, const std::string& id) {
  if (!id.empty())
    return simple(config_file, path_of(id) + "/release", "is released; it is submitted in its turn.");
  int status = 0;
  const auto response = call_admin(config_file, {verb::post, "/releases"}, status);
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
  const auto response = call_admin(config_file, {verb::post, path_of(id) + "/cancel"}, status);
  if (!response) return status;
  const auto state = text_of(*response, "state");
  std::cerr << "Task " << text_of(*response, "id")
            << (state == "submitting"  ? " is being submitted now; it ends unless the upstream takes it.\n"
                : state == "ambiguous" ? " was submitted, and the response was lost; it ends unless the "
                                         "upstream is found to have it.\n"
                                       : " is cancelled; it will not be submitted.\n");
  return 0;
}

int task_cancel_all_pending(const std::string& config_file, const std::string& account,
                            const std::string& token) {
  int status = 0;
  json::object body;
  if (!account.empty()) body["account"] = json::string(account);
  if (!token.empty()) body["token"] = json::string(token);
  if (body.empty()) body["all"] = true;
  const auto response = call_admin(config_file, {verb::post, "/cancellations", std::move(body)}, status);
  if (!response) return status;
  std::cerr << cancelled_text(*response) << "\n";
  return 0;
}

int task_retry_callback(const std::string& config_file, const std::string& id) {
  return simple(config_file, "/callbacks/" + encoded(id) + "/retry", "will have its callback sent now.");
}

int callback_list(const std::string& config_file, const std::string& account) {
  int status = 0;
  const auto list = list_all(config_file, "/callbacks" + query_of({{"account", account}}), status);
  if (!list) return status;
  if (list->empty()) {
    std::cerr << "Every callback was delivered, or is about to be sent.\n";
    return 0;
  }
  std::printf("%-36s  %-16s  %-10s  %8s  %-24s  %-32s  %s\n", "JOB", "ACCOUNT", "STATE", "ATTEMPTS", "NEXT",
              "LAST PROBLEM", "URL");
  for (const json::value& item : *list) {
    const json::object& c = item.as_object();
    const auto text = [&c](std::string_view key) { return for_log(text_of(c, key)); };
    const std::string next = text("next_at");
    std::printf("%-36s  %-16s  %-10s  %8lld  %-24s  %-32s  %s\n", text("job").c_str(),
                text("account").c_str(), text("state").c_str(),
                static_cast<long long>(number_in(c, "attempts")), next.empty() ? "-" : next.c_str(),
                text("last_problem").c_str(), text("url").c_str());
  }
  return 0;
}

}  // namespace relay::cli
