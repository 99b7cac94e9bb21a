#pragma once

// How an upstream is spoken to, as a row of functions: what is sent for a task, and what its replies say. A
// family has a table of these; server/upstream carries the bytes and knows none of it. All functions are
// pure.

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/error.hpp"
#include "common/engine/job.hpp"
#include "common/engine/model_names.hpp"
#include "common/engine/task.hpp"

namespace relay {

/// What is submitted for a task.
struct outgoing {
  std::string path;           // below the upstream's base
  std::string body;           // JSON
  std::string traceparent{};  // sent as this header field; empty: not at all
};

/// What the configuration says about every submission to an upstream.
struct outgoing_settings {
  std::string default_model;  // for a protocol that wants one named; empty: none is sent
  std::string public_url;     // where the upstream can call the relay; empty: it is given no address
  model_names models;         // none: every name is a model's own
};

/// The upstream's id for one of ours; nullopt when it has none.
using id_translation = std::function<std::optional<std::string>(const std::string&)>;

struct protocol {
  std::string_view name;           // in the configuration
  std::string_view base_path;      // stands between the configured address and every path; "" or "/…"
  std::string_view authorization;  // stands before the key in the Authorization header, such as "Bearer "
  std::string_view marker_field;   // field of the body that carries the callback URL

  /// Why no upstream of this protocol can take the task, for the client: which field, and what is allowed.
  /// Empty: it can.
  std::string (*obstacle)(const task& t, const outgoing_settings& with);
  /// The own name of the model that a submission would ask for; empty: it would name none.
  std::string (*model_of)(const task& t, const outgoing_settings& with);
  /// Errors: invalid_request when a referenced job has no id upstream.
  result<outgoing> (*build_create)(const task& t, const outgoing_settings& with,
                                   const id_translation& translate);
  /// Path of a poll, in which the id is escaped.
  std::string (*build_fetch)(const std::string& upstream_id);
  /// Path at which a job is deleted (DELETE); null: the upstream cannot.
  std::string (*build_remove)(const std::string& upstream_id) = nullptr;
  /// Path of a page of the upstream's list, newest first; null: it has none.
  std::string (*build_list)(std::size_t limit, std::size_t offset) = nullptr;

  /// It has lists of the words that a request may hold.
  bool lists_words = false;
  /// Path of what the key has left; empty: it does not tell.
  std::string_view credits_path = "";
  /// In cents; nullopt when the text does not say.
  std::optional<double> (*parse_credits)(std::string_view body) = nullptr;

  /// Errors: upstream_unavailable when the text holds no job.
  result<job> (*parse_job)(std::string_view body);
  /// A page of the list is an object with this array; "" when there is no list.
  std::string_view list_member = "";
  /// What the upstream shows of a job: an item of its list, or its reply to a poll.
  /// Errors: upstream_unavailable when the text holds no job.
  result<listed_job> (*parse_listed)(std::string_view text);
  /// Whether a page, without its array, says that more follow; nullopt: it does not say.
  std::optional<bool> (*has_more)(const json::object& page) = nullptr;
  /// True if the list shows, for a job, the very request that was sent for the task (its body, without the
  /// marker). False where what is shown does not tell requests apart. Null: there is no list.
  bool (*same_request)(const task& t, const json::object& sent, const listed_job& listed) = nullptr;
  /// True for a 404 or 410 in the upstream's own words. One in another's, a gateway's say, tells nothing of
  /// the job.
  bool (*says_not_found)(std::string_view body);
  /// True if what is shown of a job was made from another request than the one that was sent: what it shows
  /// of the text differs. Some upstreams show nothing; that is no contradiction.
  bool (*other_request)(const json::object& sent, const listed_job& shown);
  /// The client's text for a refusal: the upstream's own words when its body has some, and nothing that could
  /// hold a secret of ours.
  std::string (*error_text)(int status, std::string_view body);
  /// Path of a GET that changes nothing, costs nothing and needs the key: by it an operator sees whether the
  /// upstream can be used.
  std::string_view check_path;
};

}  // namespace relay
