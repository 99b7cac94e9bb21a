#include "server/cli/admin_client.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <charconv>
#include <iostream>

#include "common/families.hpp"
#include "server/admin.hpp"
#include "server/admin_commands.hpp"
#include "server/cli/config_file.hpp"
#include "server/log.hpp"
#include "storage/sqlite/sqlite_store.hpp"

namespace relay::cli {
namespace {

std::optional<json::object> ask_server(const std::string& database, const json::object& request) {
  asio::io_context loop;
  asio::local::stream_protocol::socket s(loop);
  boost::system::error_code ec;
  try {
    const socket_address at(admin_socket_path(database));
    s.connect(at.endpoint(), ec);
  } catch (const boost::system::system_error& e) {
    ec = e.code();
  }
  if (ec) return std::nullopt;  // no relay listens
  const std::string line = json::serialize(request) + "\n";
  asio::write(s, asio::buffer(line), ec);
  std::string response;
  if (!ec) asio::read_until(s, asio::dynamic_buffer(response), '\n', ec);
  const auto value = parse_lenient(response);
  if (!value || !value->is_object())
    return json::object{{"ok", false},
                        {"message",
                         "the server did not respond on its admin socket; the command may have been done all "
                         "the same: look before you repeat it"}};
  return value->get_object();
}

json::object run_here(const config& settings, const json::object& request) {
  asio::io_context loop;
  store_hooks hooks;
  hooks.post = [&loop](std::move_only_function<void()> f) { asio::post(loop, std::move(f)); };
  sqlite_options options;
  options.path = settings.storage.path;
  auto opened = open_sqlite_store(options, families(), std::move(hooks));
  if (!opened) return {{"ok", false}, {"message", json::string(opened.error().log.text)}};
  store& s = **opened;
  account_registry registry;
  const auto log = silent_logger();
  const billing prices(settings);
  task_changes changes(loop, s, {}, prices, *log);
  const admin_context in{loop, s, changes, registry, prices};
  json::object response;
  // Parameters, not captures: a coroutine outlives the lambda it came from.
  constexpr auto run = [](admin_context on, json::object what, json::object& into) -> awaitable<> {
    into = co_await run_admin_command(on, std::move(what));
  };
  asio::co_spawn(loop.get_executor(), run(in, request, response), asio::detached);
  loop.run();
  s.close();
  return response;
}

}  // namespace

std::optional<json::object> ask(const std::string& config_file, const json::object& request, int& status) {
  const auto settings = read_config_of_database(config_file);
  if (!settings) {
    status = 2;
    return std::nullopt;
  }
  const std::string& database = settings->storage.path;
  ::umask(0077);
  auto response = ask_server(database, request);
  const bool is_new = !response && ::access(database.c_str(), F_OK) != 0;
  const auto command = text_of(request, "command");
  if (is_new && command != "token-create" && command != "account-create") {
    std::cerr << "luma-relay: there is no database " << database
              << "; is this the right --config, and the right folder?\n";
    status = 1;
    return std::nullopt;
  }
  if (!response) response = run_here(*settings, request);
  const json::value* ok = member(*response, "ok");
  if (ok != nullptr && ok->is_bool() && ok->get_bool()) {
    if (is_new)
      std::cerr << "The database " << database
                << " is new; a relay uses it only with the same storage.path.\n";
    return response;
  }
  std::cerr << "luma-relay: " << text_of(*response, "message") << "\n";
  status = 1;
  return std::nullopt;
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

json::object limits_said(const std::vector<std::string>& texts) {
  json::object out;
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    const std::string value = equals == text.npos ? "" : text.substr(equals + 1);
    std::int64_t number = 0;
    const auto read = std::from_chars(value.data(), value.data() + value.size(), number);
    const bool is_number = read.ec == std::errc{} && read.ptr == value.data() + value.size();
    // What is neither is refused by the command, which knows what is allowed.
    out[text.substr(0, equals)] = value == "default" ? json::value(nullptr)
                                  : is_number        ? json::value(number)
                                                     : json::value(json::string(value));
  }
  return out;
}

}  // namespace relay::cli
