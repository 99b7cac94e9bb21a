#pragma once

// Text from a peer, without a secret that it may quote (rule R4): the secret becomes `[secret]`, also when it
// comes in two parts, or when some of its characters are escaped as JSON has it (RFC 8259 §7), however deep.
// Pure.

#include <functional>
#include <string>
#include <string_view>

namespace relay {

/// Shorter secrets could be a part of any text: they are left alone.
inline constexpr std::size_t shortest_masked = 16;

/// True if the secret stands in the text, in any of these ways.
bool quotes(std::string_view text, std::string_view secret);
/// The whole text.
std::string masked(std::string_view text, std::string_view secret);

class masking_stream {
 public:
  using on_part = std::function<void(std::string_view)>;
  /// `f` gets the parts, of other sizes than they came in. Call end() after the last.
  masking_stream(std::string_view secret, on_part f) : secret_(secret), f_(std::move(f)) {}

  void feed(std::string_view part);
  void end();

 private:
  const std::string secret_;
  const on_part f_;
  std::string held_;  // ends in what may be the beginning of the secret
};

}  // namespace relay
