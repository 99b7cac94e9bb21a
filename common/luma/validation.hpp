#pragma once

// The official rules for a create request, on the official field names. A wrong type is a 422 in pydantic's
// form, a broken rule a 400 with the official text; both list every problem at once. Fields we do not know
// pass.

#include "common/luma/action.hpp"
#include "common/base/json.hpp"

namespace relay {

inline constexpr std::size_t min_prompt = 3;     // code points
inline constexpr std::size_t max_prompt = 5000;  // code points
inline constexpr std::size_t max_callback_url = 2048;

/// What the client called the fields that its dialect names otherwise; used in `loc` only.
struct field_names {
  std::string_view prompt = "prompt";
  std::string_view frame0_url;  // empty: keyframes.frame0.url
  std::string_view frame1_url;
  std::string_view callback_url = "callback_url";
};

class problems {
 public:
  void wrong_type(std::vector<std::string> loc, std::string type, std::string msg, const json::value* input);
  void broken_rule(std::vector<std::string> loc, std::string type, std::string msg, const json::value* input);
  bool none() const { return shape_.empty() && rule_.empty(); }
  /// invalid_fields when any type was wrong, else invalid_request. Only when !none().
  error to_error() &&;

 private:
  std::vector<violation> shape_;
  std::vector<violation> rule_;
};

/// Adds to `out` all that is wrong with `request`.
void validate(endpoint asked_at, const json::object& request, const field_names& names, problems& out);

/// Ids of other generations that the request refers to (keyframes of type generation).
std::vector<std::string> references(const json::object& request);

}  // namespace relay
