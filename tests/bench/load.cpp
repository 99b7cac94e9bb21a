// bench_load: an HTTP/1.1 load generator for loopback, cheap enough to share two cores with what it measures.
// Prints one line of JSON. Exit code 1 if it could not run; what the server did wrong is counted in the line.

#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "tests/bench/load_generator.hpp"
#include "tests/bench/load_hold.hpp"

namespace relay::bench {
namespace {

struct arguments {
  std::string to;
  load_options load;
  request_list::options requests;
  std::string order = "turn";
  bool hold = false;
};

void declare(CLI::App& app, arguments& a) {
  app.add_option("--to", a.to, "IPv4 address and port of the server")->required();
  app.add_option("--requests", a.requests.file, "A request a line: METHOD TARGET [BODY], BODY may be @FILE")
      ->required();
  app.add_option("--header", a.requests.headers, "\"Name: value\", for all requests; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--order", a.order, "Of the requests")
      ->check(CLI::IsMember({"turn", "random"}))
      ->capture_default_str();
  app.add_option("--seed", a.requests.seed, "Of the random order")->capture_default_str();
  app.add_option("--connections", a.load.connections, "Kept open all the time")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  app.add_option("--seconds", a.load.seconds, "That are counted; with --hold: of idleness")
      ->capture_default_str();
  app.add_option("--warm-up", a.load.warm_up_seconds, "Seconds before, not counted")->capture_default_str();
  app.add_option("--rate", a.load.rate,
                 "Open loop: so many requests a second, timed from their planned moment");
  app.add_option("--count", a.load.count, "Ends after so many requests; --seconds is then a limit");
  app.add_option("--grace", a.load.grace_seconds, "Seconds for what is under way at the end")
      ->capture_default_str();
  app.add_flag("--hold", a.hold, "Open the connections, one request on each, and keep them idle");
}

void resolve(arguments& a) {
  const auto colon = a.to.rfind(':');
  in_addr address{};
  const int port = colon == a.to.npos ? 0 : std::atoi(a.to.c_str() + colon + 1);
  if (port <= 0 || port > 65'535 || inet_pton(AF_INET, a.to.substr(0, colon).c_str(), &address) != 1)
    throw std::runtime_error("--to must be an IPv4 address and a port, such as 127.0.0.1:8080.");
  a.load.address = address.s_addr;
  a.load.port = htons(static_cast<std::uint16_t>(port));
  a.requests.host = a.to;
  a.requests.random = a.order == "random";
}

void raise_limit_of_files() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

void print(const load_result& r) {
  const auto us = [&](double share) { return static_cast<double>(r.latency.percentile(share)) / 1000; };
  std::printf("{\"requests\":%llu,\"seconds\":%.3f,\"per_second\":%.1f,",
              static_cast<unsigned long long>(r.responses), r.seconds,
              r.seconds > 0 ? static_cast<double>(r.responses) / r.seconds : 0);
  std::printf("\"p50_us\":%.1f,\"p99_us\":%.1f,\"p99_9_us\":%.1f,\"max_us\":%.1f,\"timed\":%llu,", us(0.5),
              us(0.99), us(0.999), static_cast<double>(r.latency.max()) / 1000,
              static_cast<unsigned long long>(r.latency.total()));
  std::printf("\"all_requests\":%llu,\"all_seconds\":%.3f,\"status\":{",
              static_cast<unsigned long long>(r.all_responses), r.all_seconds);
  for (std::size_t i = 1; i < r.by_class.size(); ++i)
    std::printf("%s\"%zuxx\":%llu", i > 1 ? "," : "", i, static_cast<unsigned long long>(r.by_class[i]));
  std::printf(
      "},\"non_2xx\":%llu,\"first_non_2xx\":%d,\"errors\":%llu,\"first_error\":\"%s\",\"bytes\":%llu}\n",
      static_cast<unsigned long long>(r.all_responses - r.by_class[2]), r.first_bad_status,
      static_cast<unsigned long long>(r.errors), r.first_error.c_str(),
      static_cast<unsigned long long>(r.bytes));
}

void hold(const arguments& a, request_list& requests) {
  held_connections held;
  for (std::size_t i = 0; i < a.load.connections; ++i)
    held.open_one(a.load.address, a.load.port, requests.next());
  std::printf("{\"ready\":true,\"connections\":%zu}\n", held.size());
  std::fflush(stdout);
  ::poll(nullptr, 0, static_cast<int>(a.load.seconds * 1000));
  std::printf("{\"idle\":%zu}\n", held.still_idle());
}

int run(int argc, char** argv) {
  CLI::App app("An HTTP/1.1 load generator for loopback");
  arguments a;
  declare(app, a);
  CLI11_PARSE(app, argc, argv);
  resolve(a);
  raise_limit_of_files();
  request_list requests(a.requests);
  if (a.hold)
    hold(a, requests);
  else
    print(load_generator(a.load, requests).run());
  return 0;
}

}  // namespace
}  // namespace relay::bench

int main(int argc, char** argv) {
  try {
    return relay::bench::run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bench_load: %s\n", e.what());
    return 1;
  }
}
