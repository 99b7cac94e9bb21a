#include "common/base/problems.hpp"

#include <utility>

namespace relay {
namespace {

// Of each kind: a million wrong items are not worth a million lines.
constexpr std::size_t max_reported = 20;
constexpr std::size_t max_input_bytes = 200;

std::string shown(const json::value* input) {
  if (input == nullptr) return {};
  const std::string text =
      input->is_string() ? std::string(view(input->get_string())) : json::serialize(*input);
  return std::string(cut(text, max_input_bytes));
}

}  // namespace

void problems::wrong_type(std::vector<std::string> loc, std::string type, std::string msg,
                          const json::value* input) {
  if (shape_.size() < max_reported)
    shape_.push_back({std::move(type), std::move(loc), std::move(msg), shown(input)});
}

void problems::broken_rule(std::vector<std::string> loc, std::string type, std::string msg,
                           const json::value* input) {
  if (rule_.size() < max_reported)
    rule_.push_back({std::move(type), std::move(loc), std::move(msg), shown(input)});
}

error problems::to_error() && {
  error e;
  e.code = shape_.empty() ? errc::invalid_request : errc::invalid_fields;
  e.violations = shape_.empty() ? std::move(rule_) : std::move(shape_);
  for (const violation& v : e.violations) {
    if (!e.message.text.empty()) e.message.text += "; ";
    for (std::size_t i = 1; i < v.loc.size(); ++i) e.message.text += (i > 1 ? "." : "") + v.loc[i];
    if (v.loc.size() > 1) e.message.text += ": ";
    e.message.text += v.msg;
  }
  // What the client sent is the client's: the log gets the same words, and no input.
  e.log.text = e.message.text;
  return e;
}

}  // namespace relay
