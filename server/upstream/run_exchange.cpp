#include "server/upstream/run_exchange.hpp"

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <charconv>

#include "common/base/fault_point.hpp"

namespace relay {
namespace beast_http = boost::beast::http;
namespace {

constexpr std::size_t max_answer_head = 64 * 1024;  // a head, or what stands between two chunks
constexpr std::size_t read_step = 8 * 1024;

int retry_after_of(std::string_view value) {
  int seconds = 0;
  const auto [end, ec] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  return ec == std::errc{} && end == value.data() + value.size() && seconds > 0 ? seconds : 0;
}

}  // namespace

std::string words(const boost::system::error_code& ec, bool timed_out) {
  return timed_out ? "timed out" : ec.message();
}

awaitable<exchange> run_exchange(connection& c, const std::string& request, exchange_limits limits,
                                 bool& reusable) {
  exchange out;
  const auto until = steady_clock::now() + limits.total;
  c.arm(std::min(limits.first_byte, limits.total));
  out.sent_any = true;  // from here on it is not known how far they got
  fault_point("before the first byte to a peer");
  std::string_view rest = request;
  if (on_fault_point != nullptr) {  // a test may end the process between the halves
    const auto half = co_await c.write(rest.substr(0, rest.size() / 2));
    if (!half.first) rest.remove_prefix(rest.size() / 2);
    fault_point("half sent to a peer");
  }
  const auto sent = co_await c.write(rest);
  if (sent.first) {
    out.problem = "the request was cut off while it was sent: " + words(sent.first, c.timed_out());
    co_return out;
  }

  fault_point("sent to a peer, no answer");
  std::string& in = c.read_buffer;
  in.clear();
  const auto fresh_parser = [&limits] {
    auto p = std::make_unique<beast_http::response_parser<beast_http::string_body>>();
    p->eager(true);
    p->header_limit(max_answer_head);
    p->body_limit(limits.answer_bytes);
    return p;
  };
  auto parser = fresh_parser();
  bool first = true;
  for (;;) {
    const std::size_t have = in.size();
    in.resize_and_overwrite(have + read_step, [](char*, std::size_t size) { return size; });
    const auto got = co_await c.read_some(asio::buffer(in.data() + have, read_step));
    in.resize(have + (got.first ? 0 : got.second));
    boost::system::error_code ec;
    if (got.first) {
      const bool at_end = got.first == asio::error::eof;
      if (at_end && parser->got_some()) parser->put_eof(ec);
      if (!at_end || ec || !parser->is_done()) {
        out.problem = "the answer was cut off: " + words(got.first, c.timed_out());
        co_return out;
      }
    } else if (first) {
      first = false;
      c.arm(std::max<steady_clock::duration>(until - steady_clock::now(), std::chrono::milliseconds(1)));
    }
    std::size_t used = 0;
    while (used < in.size() && !parser->is_done() && !ec) {
      used += parser->put(asio::buffer(in.data() + used, in.size() - used), ec);
      if (parser->is_done() && parser->get().result_int() / 100 == 1) {  // an interim answer says nothing
        parser = fresh_parser();
      }
    }
    in.erase(0, used);
    if (limits.status_is_enough && parser->is_header_done() && parser->get().result_int() / 100 != 1) break;
    if (ec && ec != beast_http::error::need_more) {
      out.problem = "the answer is not valid HTTP: " + ec.message();
      co_return out;
    }
    if (parser->is_done()) break;
    if (in.size() > max_answer_head || c.timed_out()) {
      out.problem = c.timed_out() ? "the answer did not end in time" : "the answer's head is too long";
      co_return out;
    }
  }
  c.disarm();
  const bool ends_itself = parser->is_done() && !parser->need_eof() && parser->keep_alive();
  auto& message = parser->get();
  out.answered = true;
  out.status = static_cast<int>(message.result_int());
  const auto retry = message.find(beast_http::field::retry_after);
  if (retry != message.end())
    out.retry_after_seconds = retry_after_of({retry->value().data(), retry->value().size()});
  reusable = ends_itself && in.empty();
  out.body = std::move(message.body());
  co_return out;
}

}  // namespace relay
