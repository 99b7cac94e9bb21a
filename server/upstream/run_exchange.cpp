#include "server/upstream/run_exchange.hpp"

#include <algorithm>
#include <boost/beast/http/parser.hpp>
#include <charconv>
#include <optional>

#include "common/base/fault_point.hpp"
#include "server/clock.hpp"

namespace relay {
namespace beast_http = boost::beast::http;
namespace {

constexpr std::size_t max_response_head = 64 * 1024;  // a head, or what stands between two chunks
constexpr std::size_t read_step = 8 * 1024;
constexpr std::size_t max_kept = 16 * 1024 * 1024;  // of a body; exchange_limits are below it, without a sink
// What a peer said before it cut the request off is here, or comes at once.
constexpr auto last_words = std::chrono::seconds(1);

// Seconds, or a date (RFC 9110 §10.2.3).
int retry_after_of(std::string_view value) {
  if (const auto date = from_http_date(value)) {
    constexpr std::chrono::seconds longest = std::chrono::hours(24);
    const auto left = std::chrono::ceil<std::chrono::seconds>(*date - wall_clock());
    return static_cast<int>(std::clamp(left, std::chrono::seconds(0), longest).count());
  }
  int seconds = 0;
  const auto [end, ec] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  return ec == std::errc{} && end == value.data() + value.size() && seconds > 0 ? seconds : 0;
}

}  // namespace

std::string describe(const boost::system::error_code& ec, bool timed_out) {
  return timed_out ? "timed out" : ec.message();
}

namespace {

// A body that goes to a sink as it comes, or is kept. Never reserves what a peer merely declares.
struct taken_body {
  struct value_type {
    std::string kept;
    const body_sink* sink = nullptr;  // null: everything is kept
  };

  class reader {
   public:
    template <bool IsRequest, class Fields>
    reader(beast_http::header<IsRequest, Fields>& head, value_type& into)
        : status_([&head] { return head.result_int(); }), into_(into) {}

    // Called when the head is there.
    void init(const boost::optional<std::uint64_t>&, boost::system::error_code& ec) {
      ec = {};
      to_sink_ = into_.sink != nullptr && *into_.sink && status_() == 200;
    }

    template <class Buffers>
    std::size_t put(const Buffers& buffers, boost::system::error_code& ec) {
      ec = {};
      std::size_t size = 0;
      for (auto at = asio::buffer_sequence_begin(buffers); at != asio::buffer_sequence_end(buffers); ++at) {
        const asio::const_buffer part = *at;
        const std::string_view bytes(static_cast<const char*>(part.data()), part.size());
        if (to_sink_)
          (*into_.sink)(bytes);
        else
          into_.kept.append(bytes.substr(0, max_kept - std::min(max_kept, into_.kept.size())));
        size += part.size();
      }
      return size;
    }
    void finish(boost::system::error_code& ec) { ec = {}; }

   private:
    std::function<unsigned()> status_;
    value_type& into_;
    bool to_sink_ = false;
  };
};

using parser = beast_http::response_parser<taken_body>;

// A response as it comes in.
class incoming {
 public:
  incoming(const exchange_limits& limits, const body_sink& sink) : limits_(limits), sink_(sink) {
    start_over();
  }

  /// Gives the parser what has been read; what it used is erased. Empty: so far it is valid.
  std::string parse(std::string& bytes) {
    boost::system::error_code ec;
    std::size_t used = 0;
    while (used < bytes.size() && !parser_->is_done() && !ec) {
      used += parser_->put(asio::buffer(bytes.data() + used, bytes.size() - used), ec);
      if (parser_->is_done() && is_interim()) start_over();
    }
    bytes.erase(0, used);
    if (whole()) return {};
    too_large_ = ec == beast_http::error::body_limit;
    if (too_large_) return "its body is longer than " + std::to_string(limits_.response_bytes) + " bytes";
    if (ec && ec != beast_http::error::need_more) return "the response is not valid HTTP: " + ec.message();
    return bytes.size() > max_response_head ? "the head of the response is too long" : "";
  }

  /// The peer has ended the connection. False: before the response was whole.
  bool finish() {
    boost::system::error_code ec;
    if (parser_->got_some()) parser_->put_eof(ec);
    return !ec && parser_->is_done();
  }

  /// Nothing more has to be read.
  bool whole() const {
    return parser_->is_done() || (limits_.status_is_enough && parser_->is_header_done() && !is_interim());
  }
  /// Its end is in its own framing, not the end of the connection.
  bool ends_itself() const { return parser_->is_done() && !parser_->need_eof() && parser_->keep_alive(); }

  bool too_large() const { return too_large_; }

  void move_to(exchange& out) {
    auto& message = parser_->get();
    out.responded = true;
    out.status = static_cast<int>(message.result_int());
    const auto retry = message.find(beast_http::field::retry_after);
    if (retry != message.end())
      out.retry_after_seconds = retry_after_of({retry->value().data(), retry->value().size()});
    out.body = std::move(message.body().kept);
  }

 private:
  // An interim response (1xx) says nothing.
  bool is_interim() const { return parser_->get().result_int() / 100 == 1; }
  void start_over() {
    parser_.emplace();
    parser_->get().body().sink = &sink_;
    parser_->eager(true);
    parser_->header_limit(max_response_head);
    parser_->body_limit(limits_.response_bytes);
  }

  const exchange_limits& limits_;
  const body_sink& sink_;
  std::optional<parser> parser_;
  bool too_large_ = false;
};

// Empty: the whole request was sent.
awaitable<std::string> send_request(connection& c, std::string_view rest) {
  fault_point("before the first byte to a peer");
  if (on_fault_point != nullptr) {  // a test may end the process between the halves
    const auto half = co_await c.write(rest.substr(0, rest.size() / 2));
    if (!half.first) rest.remove_prefix(rest.size() / 2);
    fault_point("half sent to a peer");
  }
  const auto sent = co_await c.write(rest);
  if (sent.first)
    co_return "the request was cut off while it was sent: " + describe(sent.first, c.timed_out());
  fault_point("sent to a peer, no response");
  co_return std::string{};
}

// Reads until the response is whole. Empty: it is.
awaitable<std::string> read_response(connection& c, incoming& response, steady_clock::time_point until) {
  std::string& in = c.read_buffer;
  in.clear();
  for (bool first = true; !response.whole(); first = false) {
    // 1. Read some.
    const std::size_t have = in.size();
    in.resize_and_overwrite(have + read_step, [](char*, std::size_t size) { return size; });
    const auto got = co_await c.read_some(asio::buffer(in.data() + have, read_step));
    in.resize(have + (got.first ? 0 : got.second));
    if (got.first) {
      if (got.first == asio::error::eof && response.finish()) break;
      co_return "the response was cut off: " + describe(got.first, c.timed_out());
    }
    // 2. The first byte is here: the rest has the time that is left.
    if (first)
      c.arm(std::max<steady_clock::duration>(until - steady_clock::now(), std::chrono::milliseconds(1)));
    // 3. Parse it.
    std::string problem = response.parse(in);
    if (problem.empty() && !response.whole() && c.timed_out()) problem = "the response did not end in time";
    if (!problem.empty()) co_return problem;
  }
  co_return std::string{};
}

}  // namespace

awaitable<exchange> run_exchange(connection& c, const std::string& request, exchange_limits limits,
                                 bool& reusable, body_sink sink) {
  exchange out;
  const auto until = steady_clock::now() + limits.total;
  c.arm(std::min(limits.first_byte, limits.total));
  out.sent_any = true;  // from here on it is not known how far they got
  incoming response(limits, sink);
  const std::string not_sent = co_await send_request(c, request);
  if (!not_sent.empty() && !c.timed_out()) c.arm(last_words);
  out.problem = co_await read_response(c, response, until);
  out.timed_out = c.timed_out();
  out.too_large = response.too_large();
  if (!out.problem.empty()) {
    if (!not_sent.empty()) out.problem = not_sent;
    co_return out;
  }
  c.disarm();
  reusable = not_sent.empty() && response.ends_itself() && c.read_buffer.empty();
  response.move_to(out);
  co_return out;
}

}  // namespace relay
