#pragma once

// Base64 (RFC 4648) as clients send files: a part at a time, either alphabet (§4, §5), line ends and spaces
// between, padded or not. Pure.

#include <cstdint>
#include <string>
#include <string_view>

namespace relay {

class base64_decoder {
 public:
  /// Appends what the next part of the text stands for. False, for good: a character that is none of
  /// base64's, or one after the padding.
  bool feed(std::string_view text, std::string& out);
  /// The text has ended; appends what is left. False: it cannot end there.
  bool finish(std::string& out);

 private:
  std::uint32_t bits_ = 0;
  int count_ = 0;   // characters in `bits_`
  int padded_ = 0;  // "=" so far
};

/// With padding (RFC 4648 §4).
std::string to_base64(std::string_view bytes);

/// True: every character is one of base64's, or ends a line. Text has spaces.
bool is_base64(std::string_view text);

}  // namespace relay
