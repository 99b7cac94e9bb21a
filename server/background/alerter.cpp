#include "server/background/alerter.hpp"

#include <spdlog/logger.h>

#include <algorithm>

#include "common/base/backoff.hpp"
#include "common/base/text.hpp"
#include "server/clock.hpp"
#include "server/entropy.hpp"

namespace relay {
namespace {

constexpr milliseconds timeout{15'000};
constexpr milliseconds first_retry{5'000};
constexpr milliseconds longest_retry{300'000};
constexpr std::chrono::hours given_up_after{4};  // by then it is told again, if it still holds
constexpr std::size_t max_unsent = 100;
constexpr int most_refusals = 5;

std::string request_of(const web_address& to, const alert_message& m) {
  std::string target = to.target;
  if (!m.query.empty()) target.append(target.contains('?') ? "&" : "?").append(m.query);
  std::string out;
  out.append("POST ").append(target).append(" HTTP/1.1\r\nHost: ").append(to.at.authority());
  out.append("\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ")
      .append(std::to_string(m.body.size()));
  out.append("\r\nUser-Agent: luma-relay\r\nAccept: */*\r\nConnection: close\r\n\r\n").append(m.body);
  return out;
}

}  // namespace

alerter::alerter(asio::io_context& loop, deadlines& d, resolver& names, const alerts_config& c,
                 std::string relay, std::function<std::vector<condition>()> holds, spdlog::logger& log)
    : config_(c),
      relay_(std::move(relay)),
      holds_(std::move(holds)),
      log_(log),
      poster_(loop, d, names, true, timeout),
      book_({c.group, c.repeat, c.calm}),
      wake_(loop) {}

awaitable<> alerter::run() {
  if (config_.url.empty()) co_return;
  while (!stopped_) {
    const timestamp time = now();
    if (std::vector<alert> news = book_.observe(holds_(), time); !news.empty()) {
      unsent_.push_back({std::move(news), time});
      next_attempt_ = time;
      if (unsent_.size() > max_unsent) unsent_.pop_front();
    }
    if (!unsent_.empty() && time >= next_attempt_) co_await send_next(time);
    co_await wake_.wait(now(), never);
  }
}

// The oldest first: what is over must not be told before what began.
awaitable<> alerter::send_next(timestamp time) {
  message& m = unsent_.front();
  sending_ = true;
  const outcome done = co_await send(m.what);
  sending_ = false;
  if (done.why.empty()) {
    log_.info("alerts: {} delivered", m.what.size());
    unsent_.pop_front();
    next_attempt_ = now();
    co_return;
  }
  const auto parsed = parse_web_address(config_.url.reveal());
  const std::string host = parsed ? parsed->at.host : "?";
  m.refusals += done.is_final;
  // One that is never taken must not hold up the others for long.
  if (time > m.since + given_up_after || m.refusals >= most_refusals) {
    log_.error("alerts: {} does not take them ({}); given up: {}", host, done.why,
               for_log(alert_text(m.what, relay_), 1'000));
    unsent_.pop_front();
    co_return;
  }
  const milliseconds pause = backoff(m.attempts++, first_retry, longest_retry, random_share());
  next_attempt_ = now() + pause;
  log_.warn("alerts: {} does not take them ({}), trying again in {} s", host, done.why,
            pause.count() / 1'000);
}

// The address may hold a secret, and is not told.
awaitable<alerter::outcome> alerter::send(const std::vector<alert>& what) {
  const auto to = parse_web_address(config_.url.reveal());
  const alert_format* format = find_alert_format(config_.format);
  if (!to || format == nullptr) co_return outcome{"alerts.url is no address", true};
  const alert_message m = format->make(what, relay_, config_.sign_with, wall_clock());
  const std::string request = request_of(*to, m);
  outcome out;
  try {
    const web_poster::posted p = co_await poster_.post(*to, request, 0, false);
    const int status = p.what.status;
    if (!p.what.responded) {
      out.why = p.what.problem;
    } else if (status < 200 || status >= 300) {
      out.why = "status " + std::to_string(status);
      out.is_final = status >= 400 && status < 500 && status != 408 && status != 429;
    } else {
      out.why = format->refusal(p.what.body);
      out.is_final = true;
    }
  } catch (const std::exception& e) {
    out.why = e.what();
  }
  co_return out;
}

void alerter::stop() {
  stopped_ = true;
  wake_.notify();
}

}  // namespace relay
