#include "server/http/message.hpp"

#include <boost/beast/http/status.hpp>
#include <charconv>
#include <chrono>
#include <cstdio>

namespace relay::http {

std::string_view request::header(std::string_view name) const {
  const header_field* found = headers->find(name);
  return found != nullptr ? found->value : std::string_view{};
}

void reply::add_header(std::string_view name, std::string_view value) {
  extra_.append(name).append(": ");
  for (const char c : value) {
    if (c != '\r' && c != '\n' && c != '\0') extra_ += c;
  }
  extra_.append("\r\n");
}

reply json_reply(int status, const json::object& body) {
  reply r;
  r.status = status;
  r.body = json::serialize(body);
  return r;
}

std::string_view reason_phrase(int status) {
  const auto phrase =
      boost::beast::http::obsolete_reason(boost::beast::http::int_to_status(static_cast<unsigned>(status)));
  return phrase.empty() ? std::string_view("Unknown") : std::string_view(phrase.data(), phrase.size());
}

void serialise_head(const reply& r, const reply_frame& frame, std::string_view date, std::string& out) {
  char number[20];
  const auto append_number = [&](std::uint64_t n) {
    const auto end = std::to_chars(number, number + sizeof number, n).ptr;
    out.append(number, end);
  };
  out.reserve(out.size() + r.extra_headers().size() + 320);
  out.append("HTTP/1.1 ");
  append_number(static_cast<std::uint64_t>(r.status));
  out.append(" ").append(reason_phrase(r.status));
  out.append("\r\nDate: ").append(date);
  out.append("\r\nServer: luma-relay\r\n");
  if (r.stream) {
    out.append("Content-Type: ").append(r.content_type).append("\r\n");
    if (r.stream_bytes) {
      out.append("Content-Length: ");
      append_number(*r.stream_bytes);
      out.append("\r\n");
    } else if (!frame.http_1_0) {
      out.append("Transfer-Encoding: chunked\r\n");
    }
  } else if (r.status != 204 && r.status != 304) {
    if (!r.body.empty()) out.append("Content-Type: ").append(r.content_type).append("\r\n");
    out.append("Content-Length: ");
    append_number(r.body.size());
    out.append("\r\n");
  }
  // A proxy that keeps "processing" would lie for us.
  out.append("Cache-Control: no-store\r\nX-Request-Id: ").append(frame.request_id).append("\r\n");
  if (!frame.keep_alive) {
    out.append("Connection: close\r\n");
  } else if (frame.http_1_0) {
    out.append("Connection: keep-alive\r\n");
  }
  out.append(r.extra_headers()).append("\r\n");
}

std::string_view body_after_head(const reply& r, const reply_frame& frame) {
  return frame.head_only || r.status == 204 || r.status == 304 ? std::string_view{}
                                                               : std::string_view(r.body);
}

std::string http_date(std::int64_t unix_seconds) {
  static constexpr const char* days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                           "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::chrono::sys_seconds t{std::chrono::seconds(unix_seconds)};
  const auto day = std::chrono::floor<std::chrono::days>(t);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{t - day};
  char text[40];
  std::snprintf(text, sizeof text, "%s, %02u %s %04d %02d:%02d:%02d GMT",
                days[std::chrono::weekday{day}.c_encoding()], static_cast<unsigned>(date.day()),
                months[static_cast<unsigned>(date.month()) - 1], static_cast<int>(date.year()),
                static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()));
  return text;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned value = 0;
    if (i + 2 >= text.size() ||
        std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16).ptr != text.data() + i + 3) {
      return std::nullopt;
    }
    if (value < 0x20 || value == 0x7f) return std::nullopt;
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

std::optional<std::string> query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const auto amp = query.find('&');
    const std::string_view part = query.substr(0, amp);
    const auto equals = part.find('=');
    if (part.substr(0, equals) == name) {
      return percent_decode(equals == std::string_view::npos ? std::string_view{} : part.substr(equals + 1));
    }
    if (amp == std::string_view::npos) break;
    query.remove_prefix(amp + 1);
  }
  return std::nullopt;
}

}  // namespace relay::http
