// luma-relay upstream …, luma-relay reload

#include <cstdio>
#include <iostream>

#include "common/families.hpp"
#include "server/cli/admin_client.hpp"
#include "server/cli/commands.hpp"
#include "server/cli/config_file.hpp"
#include "server/settings.hpp"
#include "server/upstream/check_upstream.hpp"
#include "server/upstream/upstreams.hpp"

namespace relay::cli {
namespace {

// "3 of 10", "3 of 10 (learned)", "3".
std::string jobs_text(const json::object& u) {
  std::string out = std::to_string(number_in(u, "open_jobs"));
  const std::int64_t configured = number_in(u, "max_concurrent");
  const std::int64_t learned = number_in(u, "learned_concurrent");
  if (configured > 0) return out + " of " + std::to_string(configured);
  if (learned > 0) return out + " of " + std::to_string(learned) + " (learned)";
  return out;
}

std::string rate_text(const json::object& u) {
  const std::int64_t configured = number_in(u, "creates_per_minute");
  const std::int64_t learned = number_in(u, "learned_per_minute");
  if (configured > 0) return std::to_string(configured);
  return learned > 0 ? std::to_string(learned) + " (learned)" : "-";
}

std::string problem_text(const json::object& u) {
  std::string out;
  if (const auto until = text_of(u, "until"); !until.empty()) out = "no jobs until " + std::string(until);
  if (const auto problem = text_of(u, "problem"); !problem.empty())
    out.append(out.empty() ? "" : "; ").append(text_of(u, "problem_at")).append(" ").append(problem);
  return out.empty() ? "-" : out;
}

void print_row(const std::string& name, const std::string& state, const std::string& jobs,
               const std::string& rate, const std::string& rest) {
  std::printf("%-24s  %-14s  %-18s  %-14s  %s\n", name.c_str(), state.c_str(), jobs.c_str(), rate.c_str(),
              rest.c_str());
}

bool is_meant(std::string_view one, std::string_view name) {
  if (name.empty()) return true;
  if (name.ends_with('/')) return one == name.substr(0, name.size() - 1);
  return one == name || (one.starts_with(name) && one.substr(name.size()).starts_with('/'));
}

// How many were asked, and how many cannot be used.
struct probed {
  int asked = 0;
  int unusable = 0;
};

awaitable<> probe(const upstreams& all, std::string name, probed& into) {
  for (const auto& u : all.all()) {
    if (!is_meant(u->name(), name)) continue;
    if (into.asked++ == 0) std::printf("%-24s  %-8s  %-8s  %s\n", "NAME", "PROTOCOL", "TOOK", "FOUND");
    const relay::upstream_check c = co_await check_upstream(*u);
    into.unusable += !c.usable;
    const std::string took = std::to_string(c.took.count()) + " ms";
    std::printf("%-24s  %-8s  %-8s  %s\n", u->name().c_str(), std::string(u->speaks().name).c_str(),
                took.c_str(), c.found.c_str());
  }
}

}  // namespace

int upstream_list(const std::string& config_file, bool as_json) {
  int status = 0;
  const auto response = call_admin(config_file, {verb::get, "/upstreams"}, status);
  if (!response) return status;
  const json::value* list = member(*response, "items");
  if (as_json) {
    std::cout << json::serialize(*list) << "\n";
    return 0;
  }
  print_row("NAME", "STATE", "OPEN JOBS", "PER MINUTE", "LAST PROBLEM");
  for (const json::value& item : list->get_array()) {
    const json::object& u = item.as_object();
    print_row(std::string(text_of(u, "name")), std::string(text_of(u, "state")), jobs_text(u), rate_text(u),
              problem_text(u));
  }
  return 0;
}

int probe_upstreams(const config& settings, const std::string& name) {
  asio::io_context loop;
  deadlines times(loop);
  resolver names(loop, servers_of(settings.dns));
  upstreams all(loop, times, names);
  auto plan = all.prepare(settings, families());
  if (!plan) {
    std::cerr << "luma-relay: " << plan.error().log.text << "\n";
    return 2;
  }
  all.take_over(std::move(*plan));
  probed found;
  auto sweeping = times.run();
  asio::co_spawn(loop.get_executor(), std::move(sweeping), asio::detached);
  auto work = probe(all, name, found);
  std::exception_ptr failed;
  asio::co_spawn(loop.get_executor(), std::move(work), [&](std::exception_ptr e) {
    failed = std::move(e);
    loop.stop();
  });
  loop.run();
  if (failed) std::rethrow_exception(failed);
  if (found.asked == 0) {
    std::cerr << "luma-relay: there is no upstream \"" << name << "\" in the configuration\n";
    return 1;
  }
  return found.unusable > 0 ? 1 : 0;
}

int upstream_check(const std::string& config_file, const std::string& name) {
  const auto settings = read_config(config_file);
  return settings ? probe_upstreams(*settings, name) : 2;
}

int upstream_mode(const std::string& config_file, const std::string& command, const std::string& name) {
  int status = 0;
  // "NAME/KEY"; "NAME/" is the key without a name.
  const auto slash = name.find('/');
  admin_request request{verb::post, "/upstreams/" + encoded(name.substr(0, slash)) + "/" + command};
  if (slash != name.npos) request.body["key"] = json::string(name.substr(slash + 1));
  const auto response = call_admin(config_file, request, status);
  if (!response) return status;
  for (const json::value& one : member(*response, "changed")->get_array()) {
    std::cerr << view(one.get_string());
    if (command == "resume")
      std::cerr << " takes jobs again.\n";
    else if (command == "pause")
      std::cerr << " gets no more jobs until it is resumed, also after a restart.\n";
    else
      std::cerr << " gets no new jobs, also after a restart; resume it to take that back.\n";
  }
  const std::int64_t open = number_in(*response, "open_jobs");
  if (command != "resume" && open > 0)
    std::cerr << (open == 1 ? "1 job that it has is" : std::to_string(open) + " jobs that it has are")
              << " polled to the end.\n";
  return 0;
}

int reload(const std::string& config_file) {
  int status = 0;
  const auto response = call_admin(config_file, {verb::post, "/reload"}, status);
  if (!response) return status;
  const json::array& changes = member(*response, "changes")->get_array();
  if (changes.empty()) std::cerr << "The configuration is as it was.\n";
  for (const json::value& line : changes) std::cerr << view(line.get_string()) << "\n";
  return 0;
}

}  // namespace relay::cli
