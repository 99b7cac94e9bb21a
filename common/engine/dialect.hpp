#pragma once

// How a client speaks, as a row of functions: what its request asks for, and how a task is shown to it. A
// family has a table of these; handlers go through it and know no field. All functions are pure.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"
#include "common/base/json.hpp"
#include "common/engine/task.hpp"

namespace relay {

/// Another task of the same owner that a request builds on.
struct reference {
  std::string id;     // ours
  std::string where;  // in the request, for error texts

  friend bool operator==(const reference&, const reference&) = default;
};

/// A file in a create request: its address, or its bytes as text (base/files_in_json.hpp).
struct file_place {
  json::string* text;              // in new_task::request
  std::vector<std::string> where;  // in the client's words, as the `loc` of an error
  bool is_video = false;           // what it is to be; else a picture
};

/// A create request, understood: official field names, unknown fields kept.
struct new_task {
  json::object request;  // lives where the body lives
  std::string callback_url{};
  std::vector<reference> references{};
  std::vector<file_place> files{};
  std::optional<milliseconds> wait{};  // the client asked in the body for the result itself, at most so late
};

/// When a task is shown, and what operators have it called.
struct showing {
  showing(timestamp time = {}, std::string_view as_platform = {}) : now(time), platform(as_platform) {}

  timestamp now;
  std::string_view platform;  // in the stations' envelope; empty: the family's name
};

/// One of the bodies that a task is shown as.
struct task_form {
  std::string_view name;  // unique in the program
  /// The word for a state. Two states with one word are one to the client.
  std::string_view (*word)(task_state s);
  /// Errors: invalid_request when the form shows something that is not there yet.
  result<std::string> (*render)(const task& t, const showing& with);
  /// True if the bytes change with time alone.
  bool (*depends_on_time)(const task& t);
  /// What it looks like, as JSON Schema 2020-12; null: it is not described.
  json::object (*schema)() = nullptr;
};

/// A page of an owner's tasks.
struct page_request {
  std::int64_t limit = 0;
  std::int64_t offset = 0;
};

/// What stands before and after a list's items, which are joined by commas.
struct list_frame {
  std::string before, after;
};

struct dialect {
  std::string_view name;  // as stored, unique in the program

  /// `subject`: the id (ours) that the path names; empty: it names none. Null: nothing is created in this
  /// dialect. Errors: invalid_request (400), invalid_fields (422); both name every field that is wrong.
  result<new_task> (*parse_create)(const json::value& body, const action& a, std::string_view subject);
  const task_form* created;  // the response to a create
  const task_form* shown;    // the response to a read, and the body of a callback
  /// What stands around a page of `count` tasks, which are rendered in `shown`; null: the dialect has no
  /// list.
  list_frame (*frame_page)(std::size_t count, bool has_more, page_request page);

  /// Ids of a batch, at most `max` of them, duplicates once; null: the dialect has no batch. Errors: as
  /// parse_create.
  result<std::vector<std::string>> (*parse_ids)(const json::value& body, std::size_t max);
  /// What stands around a batch of tasks, which are rendered in `shown`.
  list_frame (*frame_batch)();
  /// An item of a batch that is a bare array, for clients that expect one; null: as `shown`.
  const task_form* in_array;

  json::object (*render_error)(const error& e);
};

}  // namespace relay
