#pragma once

// The shape of JSON objects and of query parameters, as tables: one table checks what comes in and describes
// itself in the OpenAPI document, so that the two cannot differ. Pure.

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>

#include "common/base/error.hpp"
#include "common/base/json.hpp"

namespace relay {

/// A form of texts. `pattern`: ECMA 262, as JSON Schema wants it.
struct text_form {
  std::string_view pattern;
  std::string_view format;  // of JSON Schema's, if it is one
  std::string_view rule;    // "must be …", for an error
  bool (*holds)(std::string_view text);
};

enum class json_kind : std::uint8_t {
  text,
  whole,    // an integer
  flag,     // true or false
  texts,    // a list of texts
  numbers,  // an object of integers, as `of` names them
  object,   // as `of`
  objects,  // a list of them
  any,
};

struct shape;

/// A member of an object, or a query parameter.
struct json_field {
  std::string_view name;
  json_kind is = json_kind::text;
  std::string_view about;
  bool required = false;            // of a request
  bool nullable = false;            // it may be null
  bool optional = false;            // of a response: it is not always there
  bool secret = false;              // of a response: never kept
  const text_form* form = nullptr;  // of a text, or of each of a list
  std::int64_t min = 0;             // of an integer
  std::int64_t max = 0;             // of an integer; characters of a text, items of a list; 0: no limit
  std::span<const std::string_view> allowed{};  // all that it may be
  const shape* of = nullptr;
  std::string_view default_value{};  // as text
};

/// What an object may have; nothing else.
struct shape {
  std::string_view name;  // in the OpenAPI document
  std::span<const json_field> fields;
};

/// Errors: invalid_request, which names the member, what is wrong and what is allowed.
result<void> check(const shape& s, const json::object& o);
/// The parameters of a query, each as its kind. Errors: invalid_request.
result<json::object> read_query(const shape& s, std::string_view query);

}  // namespace relay
