#pragma once

// The command line as a client of the admin API: through the Unix socket of the relay that has the database,
// or with the same handlers here when none has it.

#include <boost/beast/http/verb.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/json.hpp"

namespace relay::cli {

using boost::beast::http::verb;

/// One request; `path` is below /admin/v1, and may have a query.
struct admin_request {
  verb method = verb::get;
  std::string path;
  json::object body{};
};

/// The body of the response. nullopt: it failed, why was printed on standard error, and `status` is the exit
/// status.
std::optional<std::string> call_for_text(const std::string& config_file, const admin_request& what,
                                         int& status);
/// The same as JSON.
std::optional<json::object> call_admin(const std::string& config_file, const admin_request& what,
                                       int& status);
/// The items of all pages; with `limit` above 0 so many at most.
std::optional<json::array> list_all(const std::string& config_file, const std::string& path, int& status,
                                    std::size_t limit = 0);

/// A segment of a path, or a value in a query.
std::string encoded(std::string_view text);
/// `?a=1&b=2` of those that are not empty.
std::string query_of(const std::vector<std::pair<std::string_view, std::string>>& values);
/// "/tokens/ACCOUNT/NAME" of "ACCOUNT/NAME" or "NAME".
std::string path_of_token(const std::string& name);

/// What others wrote, without what a terminal would take for orders.
std::string for_terminal(std::string_view text);

/// A number in a response; 0 when it is not there.
std::int64_t number_in(const json::object& response, std::string_view key);
/// What a response says of jobs that were cancelled, as sentences.
std::string cancelled_text(const json::object& response);

/// "NAME=NUMBER" and "NAME=default" each, as the API takes limits.
json::object limits_from(const std::vector<std::string>& texts);

}  // namespace relay::cli
