#pragma once

// How a client speaks. A dialect is a struct of pure functions; the table in dialect.cpp holds them all. A
// reply is a superset: each known client finds in it what it reads.

#include "common/base/error.hpp"
#include "common/base/json.hpp"
#include "common/engine/task.hpp"

namespace relay {

struct task_view;

/// A create request, understood: official field names, unknown fields kept.
struct new_task {
  json::object request;
  std::string callback_url;
  std::vector<std::string> references;  // ids of generations it builds on, ours
};

struct dialect {
  dialect_id id;
  /// Errors: invalid_request (400), invalid_fields (422); both name every field that is wrong.
  result<new_task> (*parse_create)(const json::value& body, endpoint asked_at);
  /// The answer to a create.
  json::object (*render_created)(const task& t, timestamp now);
  /// The answer to a question about the task.
  json::object (*render)(const task& t, timestamp now);
};

const dialect& dialect_of(dialect_id id);

/// An item of the batch envelope's `data`.
json::object render_item(const task& t, timestamp now);

/// `ids` of POST /luma/tasks: at most `most` strings. Errors: invalid_request, invalid_fields.
result<std::vector<std::string>> parse_ids(const json::value& body, std::size_t most);

/// `{"code":"success","message":"","data":[…]}` around items that are rendered already.
std::string render_batch(const std::vector<std::string>& items);

/// Which of the two error bodies a route answers with.
enum class error_shape : std::uint8_t { official, envelope };
json::object render(const error& e, error_shape shape);

// Shared by the dialects.
namespace shared {

/// The fields that the web app's object always has, in its order.
json::object web_app_object(const task_view& v, precision created_at);
std::string_view official_state(task_state s);
std::string_view web_app_state(task_state s);
json::value text_or_null(std::string_view text);

}  // namespace shared

namespace dialects {
extern const dialect dream_machine;
extern const dialect luma;
}  // namespace dialects

}  // namespace relay
