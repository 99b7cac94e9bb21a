#include "common/base/multipart.hpp"

#include <algorithm>
#include <utility>

#include "common/base/ascii.hpp"

namespace relay {
namespace {

constexpr std::size_t longest_fields = 8 * 1024;
constexpr std::size_t longest_boundary = 70;  // RFC 2046 §5.1.1

std::unexpected<error> bad(std::string why) {
  return fail(errc::invalid_request, "body: not multipart/form-data: " + std::move(why));
}

// The value of a parameter in a header field's value, quoted or not; nullopt: there is none.
std::optional<std::string> parameter(std::string_view value, std::string_view name) {
  auto at = value.find(';');
  while (at != value.npos) {
    value = trim(value.substr(at + 1));
    const auto equals = value.find_first_of("=;");
    if (equals == value.npos || value[equals] == ';') {
      at = equals;
      continue;
    }
    const std::string_view found = trim(value.substr(0, equals));
    value = trim(value.substr(equals + 1));
    std::string text;
    if (value.starts_with('"')) {
      std::size_t i = 1;
      for (; i < value.size() && value[i] != '"'; ++i) {
        if (value[i] == '\\' && i + 1 < value.size()) ++i;
        text += value[i];
      }
      value.remove_prefix(std::min(i + 1, value.size()));
    } else {
      text = trim(value.substr(0, value.find(';')));
    }
    if (iequals(found, name)) return text;
    at = value.find(';');
  }
  return std::nullopt;
}

// RFC 7578 §4.2: a part with a file name is a file.
bool is_file(std::string_view fields) {
  while (!fields.empty()) {
    const auto end = fields.find("\r\n");
    const std::string_view line = fields.substr(0, end);
    const auto colon = line.find(':');
    if (colon != line.npos && iequals(trim(line.substr(0, colon)), "content-disposition")) {
      const std::string_view value = line.substr(colon + 1);
      return parameter(value, "filename") || parameter(value, "filename*");
    }
    if (end == fields.npos) break;
    fields.remove_prefix(end + 2);
  }
  return false;
}

}  // namespace

std::optional<std::string> multipart_boundary(std::string_view content_type) {
  if (!iequals(trim(content_type.substr(0, content_type.find(';'))), "multipart/form-data"))
    return std::nullopt;
  auto out = parameter(content_type, "boundary");
  if (!out || out->empty() || out->size() > longest_boundary) return std::nullopt;
  return out;
}

// The first delimiter has no line before it.
multipart_file::multipart_file(std::string_view boundary, file_output& out)
    : out_(out), delimiter_("\r\n--" + std::string(boundary)), waiting_("\r\n") {}

result<void> multipart_file::feed(std::string_view part) {
  if (state_ == state::done) return {};  // RFC 2046 §5.1.1: what follows is to be ignored
  waiting_.append(part);
  for (;;) {
    const auto went_on = step();
    if (!went_on) return std::unexpected(went_on.error());
    if (!*went_on) break;
  }
  waiting_.erase(0, std::exchange(used_, 0));
  return {};
}

// False: more bytes are needed.
result<bool> multipart_file::step() {
  const std::string_view here = std::string_view(waiting_).substr(used_);
  switch (state_) {
    case state::passed_over:
    case state::file:
      return content(here);
    case state::delimiter:
      return rest_of_delimiter(here);
    case state::fields:
      return part_fields(here);
    case state::done:
      break;
  }
  used_ = waiting_.size();
  return false;
}

// Up to the next delimiter, of which the end of what is here may be the beginning.
result<bool> multipart_file::content(std::string_view here) {
  const auto end = here.find(delimiter_);
  const bool found = end != here.npos;
  const std::size_t kept = delimiter_.size() - 1;
  const std::string_view bytes = here.substr(0, found ? end : here.size() - std::min(here.size(), kept));
  if (state_ == state::file && !bytes.empty()) {
    if (auto written = out_.write(bytes); !written) return std::unexpected(std::move(written.error()));
  }
  used_ += bytes.size() + (found ? delimiter_.size() : 0);
  if (!found) return false;
  if (state_ == state::file) {
    auto text = out_.end();
    if (!text) return std::unexpected(std::move(text.error()));
    file_ = std::move(*text);
  }
  state_ = state::delimiter;
  return true;
}

// "--" after the last part; else spaces, and the end of the line.
result<bool> multipart_file::rest_of_delimiter(std::string_view here) {
  if (here.size() < 2) return false;
  if (here.starts_with("--")) {
    state_ = state::done;
    return true;
  }
  const auto text = here.find_first_not_of(" \t");
  if (text == here.npos || text + 1 >= here.size()) {
    if (here.size() > longest_fields) return bad("a boundary's line has no end");
    return false;
  }
  if (here.substr(text, 2) != "\r\n") return bad("something stands behind a boundary");
  used_ += text;  // fields begin after a line's end
  state_ = state::fields;
  return true;
}

result<bool> multipart_file::part_fields(std::string_view here) {
  const auto end = here.find("\r\n\r\n");
  if (end == here.npos || end > longest_fields) {
    if (here.size() > longest_fields) return bad("the header fields of a part are too long");
    return false;
  }
  const bool file = is_file(here.substr(0, end));
  used_ += end + 4;
  state_ = file ? state::file : state::passed_over;
  if (!file) return true;
  if (file_) return bad("it has more than one file; send them one by one");
  if (auto begun = out_.begin(); !begun) return std::unexpected(std::move(begun.error()));
  return true;
}

result<std::string> multipart_file::finish() {
  if (state_ != state::done) return bad("it has no end");
  if (!file_) return bad("it has no file: a part with a filename");
  return std::move(*file_);
}

}  // namespace relay
