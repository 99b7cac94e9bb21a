#pragma once

// What is the same for all clients and only an upstream knows: asked when a client asks, kept for a while.
// Many clients at once are one question. Loop thread.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/time.hpp"
#include "server/asio.hpp"
#include "server/upstream/upstreams.hpp"

namespace spdlog {
class logger;
}

namespace relay {

class upstream_facts {
 public:
  upstream_facts(asio::io_context& loop, const upstreams& all, spdlog::logger& log)
      : loop_(loop), upstreams_(all), log_(log) {}

  /// The body of a GET that an upstream answers with 200 and that `usable` accepts, at most an hour old; the
  /// last one there was when none answers now; nullopt when there was none. `path`: as protocol::build_fetch
  /// makes them. Asked are those whose protocol has such lists.
  awaitable<std::optional<std::string>> body_of(std::string path, bool (*usable)(std::string_view body));
  /// What all upstreams that tell it have left together, in cents, at most a minute old; nullopt when one of
  /// them cannot be asked now, or none tells it.
  awaitable<std::optional<double>> credits();

 private:
  struct answer {
    std::optional<std::string> body;
    std::chrono::steady_clock::time_point until;
    std::unique_ptr<steady_timer> asking;  // runs out when the question has ended; null: none is under way
  };
  using question = std::function<awaitable<std::optional<std::string>>()>;

  enum class on_failure : std::uint8_t { keep_the_last, forget };

  awaitable<std::optional<std::string>> keep(const std::string& name, std::chrono::seconds how_long,
                                             on_failure f, question ask);
  awaitable<std::optional<std::string>> first_body(std::string path, bool (*usable)(std::string_view));
  awaitable<std::optional<std::string>> sum_of_credits();

  asio::io_context& loop_;
  const upstreams& upstreams_;
  spdlog::logger& log_;
  std::map<std::string, answer> known_;  // one for each question there is
};

}  // namespace relay
