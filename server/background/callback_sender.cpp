#include "server/background/callback_sender.hpp"

#include <algorithm>

#include "common/base/fault_point.hpp"
#include "common/engine/callbacks.hpp"
#include "common/engine/dialect.hpp"
#include "common/engine/webhook_signature.hpp"
#include "server/await_store.hpp"
#include "server/clock.hpp"

namespace relay {
namespace {

constexpr int max_retry_after = 3'600;

}  // namespace

callback_sender::callback_sender(asio::io_context& loop, deadlines& d, resolver& names, store& s,
                                 const callbacks_config& c)
    : deadlines_(d), store_(s), poster_(loop, d, names, c.allow_private_addresses, c.timeout) {}

awaitable<callback_sender::sent> callback_sender::send(const task& t) {
  sent out;
  const int number = t.callbacks_done;
  const auto to = parse_web_address(t.callback_url);
  if (!to) {
    out.event = event::delivery_failed{"not an address that can be called", true, {}, number};
    co_return out;
  }
  const std::string request = co_await make_request(t, *to);
  fault_point("callback pending, not sent");
  const web_poster::posted p = co_await poster_.post(*to, request, t.owner, true);
  const exchange& x = p.what;
  // An address that may not be called will not become one that may.
  if (p.forbidden) {
    out.event = event::delivery_failed{x.problem, true, {}, number};
    co_return out;
  }
  // Cut off by ourselves, or too busy to look the name up: it says nothing of the host.
  if (!x.responded && (deadlines_.expiring() || !p.tried)) co_return out;
  // The host's own word. 410: it wants no more of them (Standard Webhooks).
  out.tried = true;
  out.responded = x.responded;
  if (!x.responded) {
    out.event = event::delivery_failed{x.problem, false, {}, number};
  } else if (x.status >= 200 && x.status < 300) {
    out.event = event::delivered{number};
  } else {
    const milliseconds later(1000 * std::min(x.retry_after_seconds, max_retry_after));
    out.event = event::delivery_failed{"status " + std::to_string(x.status), x.status == 410, later, number};
  }
  co_return out;
}

// The whole request, as one buffer.
awaitable<std::string> callback_sender::make_request(const task& t, const web_address& to) {
  const auto owner = co_await from_store(store_, &store::account_by_id, t.owner);
  if (!owner) throw std::runtime_error(owner.error().log.text);
  const timestamp time = wall_clock();  // the receiver compares it with its own
  // The body is what a GET of the task would show, in the dialect of the create.
  const auto rendered = t.dialect->shown->render(task_in_callback(t), time);
  if (!rendered) throw std::runtime_error(rendered.error().log.text);
  const std::string& body = *rendered;
  const std::string id = message_id(t);
  std::string out;
  out.reserve(body.size() + 640);
  out.append("POST ").append(to.target).append(" HTTP/1.1\r\nHost: ").append(to.at.authority());
  out.append("\r\nContent-Type: application/json\r\nContent-Length: ").append(std::to_string(body.size()));
  out.append("\r\nUser-Agent: luma-relay\r\nAccept: */*\r\nConnection: close\r\nwebhook-id: ").append(id);
  out.append("\r\nwebhook-timestamp: ").append(std::to_string(to_unix(time)));
  if (*owner && !(*owner)->webhook.empty()) {
    out.append("\r\nwebhook-signature: ")
        .append(webhook_signature((*owner)->webhook, id, to_unix(time), body));
  }
  if (!t.traceparent.empty()) out.append("\r\ntraceparent: ").append(t.traceparent);
  out.append("\r\n\r\n").append(body);
  co_return out;
}

}  // namespace relay
