#pragma once

// What is wrong with a request, collected so that one response names all of it, in the form of pydantic v2:
// what FastAPI sends. A wrong type is a 422, a broken rule a 400.

#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"
#include "common/base/json.hpp"

namespace relay {

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

}  // namespace relay
