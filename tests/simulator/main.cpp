// luma-sim: the simulated upstream as a program.

#include <CLI/CLI.hpp>
#include <boost/asio/signal_set.hpp>
#include <iostream>
#include <thread>

#include "tests/simulator/simulator.hpp"

int main(int argc, char** argv) {
  relay::sim::options o;
  o.listen = "127.0.0.1:9000";
  std::int64_t queued = o.queued_for.count();
  std::int64_t dreams = o.dreams_for.count();
  std::int64_t list_lag = 0;
  CLI::App app{
      "A simulated Luma upstream for trying luma-relay: creates cost nothing, videos are two frames long"};
  app.add_option("--listen", o.listen, "Address and port")->capture_default_str();
  app.add_option("--public-url", o.public_url,
                 "Where its files are fetched, when that is not where it listens");
  app.add_option("--key", o.key, "The key it accepts")->capture_default_str();
  app.add_option("--protocol", o.protocol,
                 "luma: the official API; agents: the newer one; station: a station's /luma/generations")
      ->check(CLI::IsMember({"luma", "station", "agents"}))
      ->capture_default_str();
  app.add_option("--queued-ms", queued, "How long a job is queued")
      ->check(CLI::Range(0, 86'400'000))
      ->capture_default_str();
  app.add_option("--dreaming-ms", dreams, "How long it is dreaming")
      ->check(CLI::Range(0, 86'400'000))
      ->capture_default_str();
  app.add_option("--list-lag-ms", list_lag, "How long after its creation a job is in the list")
      ->check(CLI::Range(0, 86'400'000))
      ->capture_default_str();
  app.add_flag("--silent", o.silent, "Call no callback URLs");
  std::int64_t links = 0;
  app.add_option("--links-s", links, "How long the addresses of its files say they work; 0: without end")
      ->check(CLI::Range(0, 86'400))
      ->capture_default_str();
  app.add_flag("--limits", o.limits, "Enforce the official limits: 10 jobs at once, 20 creates a minute");
  app.add_flag("--step-per-poll", o.by_polls, "Jobs move on with each question, not with time");
  CLI11_PARSE(app, argc, argv);
  o.links_for = std::chrono::seconds(links);
  o.list_lag = relay::milliseconds(list_lag);
  o.queued_for = relay::milliseconds(queued);
  o.dreams_for = relay::milliseconds(dreams);
  if (!relay::parse_listen(o.listen)) {
    std::cerr << "luma-sim: --listen " << relay::parse_listen(o.listen).error().message.text << "\n";
    return 2;
  }
  try {
    relay::sim::simulator sim(o);
    relay::asio::io_context signals_loop;
    relay::asio::signal_set signals(signals_loop, SIGINT, SIGTERM);
    signals.async_wait([&sim](boost::system::error_code, int) { sim.stop(); });
    std::thread signals_thread([&signals_loop] { signals_loop.run(); });
    std::cout << "luma-sim: a simulated Luma upstream at " << sim.url() << ", key " << o.key
              << "\nWhat it was asked: GET /_sim/log\n"
              << std::flush;
    sim.run();
    signals_loop.stop();
    signals_thread.join();
  } catch (const std::exception& e) {
    std::cerr << "luma-sim: " << e.what() << "\n";
    return 1;
  }
  return 0;
}
