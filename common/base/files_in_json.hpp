#pragma once

// Takes files out of a JSON text as it arrives: strings that are long, and are base64 or a data URI (RFC
// 2397). Each goes to a file_output, decoded, and the text of that file stands in its place. All else is
// gathered as it is: what is wrong with it is its parser's to say. Pure.

#include <optional>
#include <string>
#include <string_view>

#include "common/base/base64.hpp"
#include "common/base/file_output.hpp"

namespace relay {

struct files_in_json_limits {
  std::size_t string_bytes = 64 * 1024;  // a longer string is a file, if it can be one
  std::size_t json_bytes = 1024 * 1024;  // what is left may have
};

class files_in_json {
 public:
  explicit files_in_json(file_output& out, files_in_json_limits l = {}) : out_(out), limits_(l) {}

  /// Errors, for good: invalid_request (a file that is no base64), body_too_large, those of the output.
  result<void> feed(std::string_view part);
  /// Bytes that are kept.
  std::size_t memory() const { return json_.capacity(); }
  /// The JSON with the files' texts in it. Errors: as feed().
  result<std::string> finish();

 private:
  enum class state : std::uint8_t {
    between,  // strings
    string,   //
    escape,   // after a backslash in a string
    file,     // in a string that is one
    file_escape,
    code,  // the four digits of \u in it
  };
  result<void> take_between(std::string_view& part);
  result<void> take_in_string(std::string_view& part);
  result<void> begin_file();
  result<void> decode(std::string_view text);
  result<void> end_file();
  result<void> take_in_file(std::string_view& part);
  result<void> take_escape(char c);
  result<void> keep(std::string_view text);

  file_output& out_;
  const files_in_json_limits limits_;
  state state_ = state::between;
  std::string json_;
  std::size_t string_at_ = 0;  // where the string's text begins
  bool plain_ = false;         // it cannot be a file
  base64_decoder decoder_;
  std::string decoded_;
  std::string code_;
};

/// What stands for the content in a data URI, or the text itself when it is none. nullopt: a data URI that is
/// not base64, or has no end to its head.
std::optional<std::string_view> base64_of(std::string_view text);

/// True: a file's bytes as text: a data URI, or base64 of some length; and no address.
bool may_be_file(std::string_view text);

}  // namespace relay
