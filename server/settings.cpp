#include "server/settings.hpp"

#include <algorithm>

namespace relay {

policy policy_of(const config& c) {
  policy p;
  p.submit_deadline = c.submit.deadline;
  p.submit_retry = c.submit.retry;
  p.submit_retry_max = c.submit.retry_max;
  p.poll_interval = c.poll.interval;
  p.poll_retry_max = c.poll.retry_max;
  p.job_deadline = c.poll.job_deadline;
  p.late_interval = c.poll.late_interval;
  p.late_for = c.poll.late_for;
  p.not_found_for = c.poll.not_found_for;
  p.not_found_limit = static_cast<int>(c.poll.not_found_limit);
  p.ambiguous = c.submit.on_ambiguous == "fail"       ? on_ambiguous::fail
                : c.submit.on_ambiguous == "resubmit" ? on_ambiguous::resubmit
                                                      : on_ambiguous::prove;
  p.settle = c.submit.settle;
  p.reconcile_for = c.submit.reconcile_deadline;
  p.reconcile_retry = std::min(p.reconcile_retry, std::max(c.submit.settle / 4, milliseconds(10)));
  p.callback_retries = c.callbacks.retry_after;
  p.remove_at_upstream = c.poll.delete_at_upstream;
  return p;
}

name_servers servers_of(const dns_config& c) {
  name_servers out;
  for (const std::string& text : c.servers) {
    const auto at = parse_name_server(text);
    out.emplace_back(asio::ip::make_address(at->host), at->port);
  }
  return out;
}

customer_limits usual_limits(const config& c) {
  return {c.limits.pending_per_account, c.limits.open_per_account, c.limits.creates_per_minute_per_account,
          c.limits.requests_per_minute_per_account, c.server.max_batch_ids};
}

http::session_limits limits_of(const server_config& c) {
  http::session_limits l;
  l.head.head_bytes = static_cast<std::size_t>(c.max_header_bytes);
  l.body_bytes = static_cast<std::uint64_t>(c.max_body_bytes);
  l.header = c.header_timeout;
  l.body = c.body_timeout;
  l.write = c.write_timeout;
  l.idle = c.idle_timeout;
  return l;
}

}  // namespace relay
