#include "server/cli/admin_client.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <charconv>
#include <iostream>

#include "common/families.hpp"
#include "server/admin/admin_api.hpp"
#include "server/admin/admin_socket.hpp"
#include "server/cli/config_file.hpp"
#include "server/log.hpp"
#include "storage/sqlite/sqlite_store.hpp"

namespace relay::cli {
namespace {

namespace beast_http = boost::beast::http;

// Of a relay, or of the handlers here.
struct raw_response {
  int status = 0;
  std::string body;
  bool was_lost = false;  // whether it was carried out is not known
};

std::string body_text(const admin_request& what) {
  return what.body.empty() ? std::string() : json::serialize(what.body);
}

// nullopt: no relay listens.
std::optional<raw_response> send_to_relay(const std::string& database, const admin_request& what) {
  asio::io_context loop;
  asio::local::stream_protocol::socket s(loop);
  boost::system::error_code ec;
  try {
    const socket_address at(admin_socket_path(database));
    s.connect(at.endpoint(), ec);
  } catch (const boost::system::system_error& e) {
    ec = e.code();
  }
  if (ec) return std::nullopt;
  beast_http::request<beast_http::string_body> request(what.method, std::string(admin_prefix) + what.path,
                                                       11);
  request.set(beast_http::field::host, "localhost");
  request.set(beast_http::field::connection, "close");
  request.set(beast_http::field::content_type, "application/json");
  request.body() = body_text(what);
  request.prepare_payload();
  beast_http::write(s, request, ec);
  beast_http::response_parser<beast_http::string_body> response;
  response.body_limit(boost::none);
  boost::beast::flat_buffer buffer;
  if (!ec) beast_http::read(s, buffer, response, ec);
  if (ec) return raw_response{0, {}, true};
  return raw_response{static_cast<int>(response.get().result_int()), std::move(response.get().body())};
}

raw_response run_here(const config& settings, const admin_request& what) {
  asio::io_context loop;
  store_hooks hooks;
  hooks.post = [&loop](std::move_only_function<void()> f) { asio::post(loop, std::move(f)); };
  sqlite_options options;
  options.path = settings.storage.path;
  auto opened = open_sqlite_store(options, families(), std::move(hooks));
  if (!opened) return {503, json::serialize(json::object{{"detail", json::string(opened.error().log.text)}})};
  store& s = **opened;
  account_registry registry;
  admin_tokens operators;
  const auto log = silent_logger();
  const billing prices(settings);
  task_changes changes(loop, s, {}, prices, *log);
  admin_api api(admin_context{loop, settings, s, changes, registry, operators, prices, *log});

  const std::string path = std::string(admin_prefix) + what.path.substr(0, what.path.find('?'));
  const auto question = what.path.find('?');
  const std::string query = question == what.path.npos ? std::string() : what.path.substr(question + 1);
  const std::string body = body_text(what);
  const http::header_fields headers;
  http::request request;
  request.method = what.method;
  const auto method = beast_http::to_string(what.method);
  request.method_name = {method.data(), method.size()};
  request.target = path;
  request.path = path;
  request.query = query;
  request.body = body;
  request.headers = &headers;
  request.id = "command-line";
  http::reply reply;
  // Parameters, not captures: a coroutine outlives the lambda it came from.
  constexpr auto run = [](admin_api& on, http::request& r, http::reply& into) -> awaitable<> {
    into = co_await on.handle(r, true);
  };
  asio::co_spawn(loop.get_executor(), run(api, request, reply), asio::detached);
  loop.run();
  s.close();
  return {reply.status, std::move(reply.body)};
}

// What makes a new database worth having.
bool makes_something(const admin_request& what) {
  return what.method == verb::post &&
         (what.path == "/tokens" || what.path == "/accounts" || what.path == "/admin-tokens");
}

std::string reason_of(const raw_response& r) {
  if (r.was_lost)
    return "the relay did not respond on its admin socket; the command may have been done all the same: look "
           "before you repeat it";
  const auto value = parse_lenient(r.body);
  const std::string detail =
      value && value->is_object() ? std::string(text_of(value->get_object(), "detail")) : std::string();
  return detail.empty() ? "the relay responded with status " + std::to_string(r.status) : detail;
}

}  // namespace

std::optional<std::string> call_for_text(const std::string& config_file, const admin_request& what,
                                         int& status) {
  const auto settings = read_config_of_database(config_file);
  if (!settings) {
    status = 2;
    return std::nullopt;
  }
  if (what.path.contains("//") || what.path.ends_with('/')) {
    std::cerr << "luma-relay: a name or an id is empty\n";
    status = 2;
    return std::nullopt;
  }
  const std::string& database = settings->storage.path;
  ::umask(0077);
  auto response = send_to_relay(database, what);
  const bool is_new = !response && ::access(database.c_str(), F_OK) != 0;
  if (is_new && !makes_something(what)) {
    std::cerr << "luma-relay: there is no database " << database
              << "; is this the right --config, and the right folder?\n";
    status = 1;
    return std::nullopt;
  }
  if (!response) response = run_here(*settings, what);
  if (response->was_lost || response->status >= 300) {
    std::cerr << "luma-relay: " << reason_of(*response) << "\n";
    status = 1;
    return std::nullopt;
  }
  if (is_new)
    std::cerr << "The database " << database << " is new; a relay uses it only with the same storage.path.\n";
  return std::move(response->body);
}

std::optional<json::object> call_admin(const std::string& config_file, const admin_request& what,
                                       int& status) {
  const auto text = call_for_text(config_file, what, status);
  if (!text) return std::nullopt;
  auto value = parse_lenient(*text);
  if (value && value->is_object()) return std::move(value->get_object());
  std::cerr << "luma-relay: the relay's response cannot be read; it may be of another version\n";
  status = 1;
  return std::nullopt;
}

std::optional<json::array> list_all(const std::string& config_file, const std::string& path, int& status,
                                    std::size_t limit) {
  constexpr std::size_t page_items = 1'000;
  json::array out;
  for (std::string cursor;;) {
    const std::size_t wanted = limit == 0 ? page_items : std::min(page_items, limit - out.size());
    const char joint = path.contains('?') ? '&' : '?';
    const auto page = call_admin(config_file,
                                 {verb::get, path + joint + "limit=" + std::to_string(wanted) +
                                                 (cursor.empty() ? "" : "&cursor=" + cursor)},
                                 status);
    if (!page) return std::nullopt;
    const json::value* items = member(*page, "items");
    if (items != nullptr && items->is_array())
      out.insert(out.end(), items->get_array().begin(), items->get_array().end());
    cursor = text_of(*page, "next");
    if (cursor.empty() || (limit > 0 && out.size() >= limit)) return out;
  }
}

std::string encoded(std::string_view text) {
  static constexpr char hex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                          c == '-' || c == '.' || c == '_' || c == '~';
    if (is_plain)
      out += c;
    else
      out.append("%").append(1, hex[byte >> 4]).append(1, hex[byte & 15]);
  }
  return out;
}

std::string query_of(const std::vector<std::pair<std::string_view, std::string>>& values) {
  std::string out;
  for (const auto& [name, value] : values) {
    if (!value.empty()) out.append(out.empty() ? "?" : "&").append(name).append("=").append(encoded(value));
  }
  return out;
}

std::string path_of_token(const std::string& name) {
  const auto slash = name.find('/');
  const std::string account = slash == name.npos ? "*" : encoded(name.substr(0, slash));
  return "/tokens/" + account + "/" + encoded(slash == name.npos ? name : name.substr(slash + 1));
}

std::string for_terminal(std::string_view text) {
  std::string out = as_utf8(text);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto c = static_cast<unsigned char>(out[i]);
    const bool is_c1 = c == 0xc2 && i + 1 < out.size() && static_cast<unsigned char>(out[i + 1]) < 0xa0;
    if (c < 0x20 || c == 0x7f) out[i] = '?';
    if (is_c1) out.replace(i, 2, "?");
  }
  return out;
}

std::int64_t number_in(const json::object& response, std::string_view key) {
  const json::value* v = member(response, key);
  return v != nullptr && v->is_int64() ? v->get_int64() : 0;
}

std::string cancelled_text(const json::object& response) {
  const std::int64_t waited = number_in(response, "cancelled");
  std::string out = waited == 0 ? "No job waited to be submitted."
                    : waited == 1
                        ? "1 job that waited to be submitted is cancelled."
                        : std::to_string(waited) + " jobs that waited to be submitted are cancelled.";
  if (const std::int64_t n = number_in(response, "submitting"); n == 1) {
    out += " 1 job is being submitted now; it ends unless the upstream takes it.";
  } else if (n > 1) {
    out += " " + std::to_string(n) + " jobs are being submitted now; each ends unless the upstream takes it.";
  }
  return out;
}

json::object limits_from(const std::vector<std::string>& texts) {
  json::object out;
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    const std::string value = equals == text.npos ? "" : text.substr(equals + 1);
    std::int64_t number = 0;
    const auto read = std::from_chars(value.data(), value.data() + value.size(), number);
    const bool is_number = read.ec == std::errc{} && read.ptr == value.data() + value.size();
    // What is neither is refused by the API, which knows what is allowed.
    out[text.substr(0, equals)] = value == "default" ? json::value(nullptr)
                                  : is_number        ? json::value(number)
                                                     : json::value(json::string(value));
  }
  return out;
}

}  // namespace relay::cli
