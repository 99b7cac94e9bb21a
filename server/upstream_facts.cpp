#include "server/upstream_facts.hpp"

#include <spdlog/logger.h>

#include <charconv>

#include "common/base/text.hpp"

namespace relay {
namespace {

constexpr std::chrono::seconds list_age{3'600};
constexpr std::chrono::seconds credits_age{60};
constexpr std::chrono::seconds failure_age{
    30};  // no question meanwhile: it is down, or does not know the path

}  // namespace

awaitable<std::optional<std::string>> upstream_facts::keep(const std::string& name,
                                                           std::chrono::seconds how_long, on_failure f,
                                                           question ask) {
  answer& a = known_[name];  // a map's places stay where they are
  if (a.asking) {
    co_await a.asking->async_wait(as_result);
    co_return a.body;
  }
  if (steady_clock::now() < a.until) co_return a.body;
  a.asking = std::make_unique<steady_timer>(loop_.get_executor(), steady_clock::time_point::max());
  struct end_of_question {
    answer& of;
    ~end_of_question() { of.asking.reset(); }  // which ends the others' waiting
  } end{a};
  std::optional<std::string> fresh = co_await ask();
  a.until = steady_clock::now() + (fresh ? how_long : failure_age);
  if (fresh || f == on_failure::forget) a.body = std::move(fresh);
  co_return a.body;
}

awaitable<std::optional<std::string>> upstream_facts::body_of(std::string path,
                                                              bool (*usable)(std::string_view)) {
  question ask = [this, path, usable] { return first_body(path, usable); };
  co_return co_await keep(path, list_age, on_failure::keep_the_last, std::move(ask));
}

awaitable<std::optional<std::string>> upstream_facts::first_body(std::string path,
                                                                 bool (*usable)(std::string_view)) {
  for (const auto& u : upstreams_.all()) {
    if (!u->configured()) continue;
    if (!u->speaks().lists_words) continue;
    exchange x = co_await u->fetch(path);
    if (x.responded && x.status == 200 && usable(x.body)) co_return std::move(x.body);
    log_.warn("{} does not answer GET {}: {}; clients get what is known here", u->name(), path,
              x.responded ? "status " + std::to_string(x.status) : x.problem);
  }
  co_return std::nullopt;
}

awaitable<std::optional<double>> upstream_facts::credits() {
  question ask = [this] { return sum_of_credits(); };
  const std::string name = "credits";
  const auto text = co_await keep(name, credits_age, on_failure::forget, std::move(ask));
  if (!text) co_return std::nullopt;
  double sum = 0;
  std::from_chars(text->data(), text->data() + text->size(), sum);
  co_return sum;
}

awaitable<std::optional<std::string>> upstream_facts::sum_of_credits() {
  double sum = 0;
  bool any = false;
  for (const auto& u : upstreams_.all()) {
    if (!u->configured()) continue;
    const protocol& p = u->speaks();
    if (p.credits_path.empty()) continue;
    const std::string path(p.credits_path);
    const exchange x = co_await u->fetch(path);
    const auto cents = x.responded && x.status == 200 ? p.parse_credits(x.body) : std::nullopt;
    if (!cents) {
      log_.warn("{} does not tell its credits: {}; clients are not told a sum", u->name(),
                x.responded ? "status " + std::to_string(x.status) : x.problem);
      co_return std::nullopt;
    }
    sum += *cents;
    any = true;
  }
  if (!any) co_return std::nullopt;
  co_return std::to_string(sum);
}

}  // namespace relay
