#include "common/base/files_in_json.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include "common/base/ascii.hpp"

namespace relay {
namespace {

constexpr std::size_t longest_uri_head = 256;
constexpr std::size_t shortest_file = 40;  // characters of base64: the smallest GIF has more

std::unexpected<error> no_base64() {
  return fail(errc::invalid_request,
              "body: holds a long text that begins as base64 and does not go on as such");
}

bool is_data_uri(std::string_view text) {
  return iequals(text.substr(0, 5), "data:");
}

// The text of a JSON string, of what base64 may have in it; nullopt: something else is escaped.
std::optional<std::string> unescaped(std::string_view raw) {
  std::string out;
  out.reserve(raw.size());
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '\\') {
      out += raw[i];
      continue;
    }
    if (++i == raw.size()) return std::nullopt;
    switch (raw[i]) {
      case '/':
        out += '/';
        break;
      case 'n':
      case 'r':
      case 't':
        out += '\n';
        break;
      case 'u': {
        unsigned code = 0;
        const std::string_view digits = raw.substr(std::min(i + 1, raw.size()), 4);
        if (std::from_chars(digits.data(), digits.data() + digits.size(), code, 16).ptr !=
                digits.data() + 4 ||
            code > 127)
          return std::nullopt;
        out += static_cast<char>(code);
        i += 4;
        break;
      }
      default:
        return std::nullopt;
    }
  }
  return out;
}

// The first of a text, which goes on behind them.
std::string_view take(std::string_view& from, std::size_t bytes) {
  const std::string_view out = from.substr(0, bytes);
  from.remove_prefix(out.size());
  return out;
}

}  // namespace

std::optional<std::string_view> base64_of(std::string_view text) {
  if (!is_data_uri(text)) return text;
  const auto comma = text.substr(0, longest_uri_head).find(',');
  if (comma == std::string_view::npos) return std::nullopt;
  const std::string head = lower(trim(text.substr(0, comma)));
  if (!head.ends_with(";base64")) return std::nullopt;
  return text.substr(comma + 1);
}

bool may_be_file(std::string_view text) {
  return is_data_uri(text) || (text.size() >= shortest_file && is_base64(text));
}

result<void> files_in_json::keep(std::string_view text) {
  if (json_.size() + text.size() > limits_.json_bytes) {
    return fail(errc::body_too_large, "body: longer than the " + std::to_string(limits_.json_bytes) +
                                          " bytes that are allowed beside pictures");
  }
  json_.append(text);
  return {};
}

result<void> files_in_json::feed(std::string_view part) {
  while (!part.empty()) {
    result<void> taken;
    switch (state_) {
      case state::between:
        taken = take_between(part);
        break;
      case state::string:
        taken = take_in_string(part);
        break;
      case state::escape:
        taken = keep(take(part, 1));
        state_ = state::string;
        break;
      case state::file:
      case state::file_escape:
      case state::code:
        taken = take_in_file(part);
        break;
    }
    if (!taken) return taken;
  }
  return {};
}

// Up to a string's first quote.
result<void> files_in_json::take_between(std::string_view& part) {
  const auto quote = part.find('"');
  const bool begins = quote != part.npos;
  const auto kept = keep(take(part, begins ? quote + 1 : part.size()));
  if (begins) {
    state_ = state::string;
    string_at_ = json_.size();
    plain_ = false;
  }
  return kept;
}

// In steps, so that a string is found to be long before much more of it is kept.
result<void> files_in_json::take_in_string(std::string_view& part) {
  const std::size_t most = limits_.string_bytes + 1;
  const std::size_t step = plain_ ? part.size() : most - std::min(most, json_.size() - string_at_);
  if (auto kept = keep(take(part, std::min(step, part.find_first_of("\"\\")))); !kept) return kept;
  if (!plain_ && json_.size() - string_at_ > limits_.string_bytes) return begin_file();
  if (part.empty() || (part[0] != '"' && part[0] != '\\')) return {};
  state_ = part[0] == '"' ? state::between : state::escape;
  return keep(take(part, 1));
}

// A string has become long: whether it is a file shows in what is there of it.
result<void> files_in_json::begin_file() {
  const std::string_view raw = std::string_view(json_).substr(string_at_);
  // An escape that is not whole yet is left for later.
  const auto last = raw.rfind('\\');
  const bool cut_off = last != raw.npos && raw.size() - last < 6 && raw.substr(last, 2) == "\\u";
  const auto text = unescaped(cut_off ? raw.substr(0, last) : raw);
  const auto content = text ? base64_of(*text) : std::nullopt;
  if (!content || !is_base64(*content)) {
    plain_ = true;
    return {};
  }
  const std::string rest(cut_off ? raw.substr(last) : std::string_view{});
  json_.resize(string_at_);
  decoder_ = {};
  if (auto begun = out_.begin(); !begun) return begun;
  state_ = state::file;
  if (auto decoded = decode(*content); !decoded) return decoded;
  std::string_view again = rest;
  while (!again.empty()) {
    if (auto taken = take_in_file(again); !taken) return taken;
  }
  return {};
}

result<void> files_in_json::decode(std::string_view text) {
  decoded_.clear();
  if (!decoder_.feed(text, decoded_)) return no_base64();
  return decoded_.empty() ? result<void>{} : out_.write(decoded_);
}

result<void> files_in_json::take_in_file(std::string_view& part) {
  if (state_ == state::file) {
    const auto end = part.find_first_of("\"\\");
    if (auto decoded = decode(take(part, end)); !decoded) return decoded;
    if (part.empty()) return {};
    if (take(part, 1) == "\"") return end_file();
    state_ = state::file_escape;
    return {};
  }
  return take_escape(take(part, 1)[0]);
}

// A character of an escape in a file.
result<void> files_in_json::take_escape(char c) {
  if (state_ == state::file_escape && c == 'u') {
    code_.clear();
    state_ = state::code;
    return {};
  }
  code_ += c;
  if (state_ == state::code && code_.size() < 4) return {};
  const auto text = unescaped((state_ == state::code ? "\\u" : "\\") + code_);
  code_.clear();
  state_ = state::file;
  return text ? decode(*text) : no_base64();
}

result<void> files_in_json::end_file() {
  decoded_.clear();
  if (!decoder_.finish(decoded_)) return no_base64();
  if (!decoded_.empty()) {
    if (auto written = out_.write(decoded_); !written) return written;
  }
  auto text = out_.end();
  if (!text) return std::unexpected(std::move(text.error()));
  state_ = state::between;
  return keep(*text + '"');
}

result<std::string> files_in_json::finish() {
  // A file whose string never ended is cut off like the rest: the parser finds no end.
  return std::move(json_);
}

}  // namespace relay
