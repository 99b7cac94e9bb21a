#pragma once

// The one file in a multipart/form-data body (RFC 7578, RFC 2046 §5.1), as it arrives. Parts that are no file
// are passed over. Pure.

#include <optional>
#include <string>
#include <string_view>

#include "common/base/file_output.hpp"

namespace relay {

/// The boundary that a Content-Type of multipart/form-data names; nullopt: it is another type, or names none
/// of 1 to 70 characters.
std::optional<std::string> multipart_boundary(std::string_view content_type);

class multipart_file {
 public:
  multipart_file(std::string_view boundary, file_output& out);

  /// Errors, for good: invalid_request, those of the output.
  result<void> feed(std::string_view part);
  /// Bytes that are kept.
  std::size_t memory() const { return waiting_.capacity(); }
  /// The body is whole: the text that stands for the file. Errors: invalid_request when there was none, or
  /// the body has no end.
  result<std::string> finish();

 private:
  enum class state : std::uint8_t {
    passed_over,  // what comes before the first part, and parts that are no file
    delimiter,    // the rest of its line
    fields,       // of a part
    file,
    done,
  };
  result<bool> step();
  result<bool> content(std::string_view here);
  result<bool> rest_of_delimiter(std::string_view here);
  result<bool> part_fields(std::string_view here);

  file_output& out_;
  const std::string delimiter_;
  std::string waiting_;  // from `used_` on not yet understood
  std::size_t used_ = 0;
  state state_ = state::passed_over;
  std::optional<std::string> file_;
};

}  // namespace relay
