#include "common/base/json.hpp"

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <cmath>
#include <unordered_set>
#include <vector>

namespace relay {
namespace {

// Builds the value while watching for what the standard parser lets pass.
class strict_handler {
 public:
  static constexpr std::size_t max_object_size = std::size_t(-1) >> 1;
  static constexpr std::size_t max_array_size = max_object_size;
  static constexpr std::size_t max_key_size = json::string::max_size();
  static constexpr std::size_t max_string_size = json::string::max_size();

  /// `name_repeated`: keys are compared as they come, so that the first that comes twice can be named. Else
  /// they are only counted.
  strict_handler(json::storage_ptr storage, bool name_repeated)
      : storage_(std::move(storage)), name_repeated_(name_repeated), stack_({}, first_, sizeof first_) {}

  std::string problem;
  std::size_t keys = 0;
  json::value release() { return stack_.release(); }

  bool on_document_begin(json::error_code&) {
    stack_.reset(storage_);
    return true;
  }
  bool on_document_end(json::error_code&) { return true; }
  bool on_object_begin(json::error_code&) {
    if (name_repeated_) seen_.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t n, json::error_code&) {
    if (name_repeated_) seen_.pop_back();
    stack_.push_object(n);
    return true;
  }
  bool on_array_begin(json::error_code&) { return true; }
  bool on_array_end(std::size_t n, json::error_code&) {
    stack_.push_array(n);
    return true;
  }
  bool on_key_part(json::string_view s, std::size_t, json::error_code& ec) {
    key_.append(s.data(), s.size());
    return without_nul(s, ec);
  }
  bool on_key(json::string_view s, std::size_t, json::error_code& ec) {
    key_.append(s.data(), s.size());
    if (!without_nul(s, ec)) return false;
    ++keys;
    stack_.push_key(key_);
    if (name_repeated_ && !seen_.back().insert(key_).second) {
      const std::string name(cut(key_, 100));
      return refuse("the key \"" + name + "\" appears twice in one object", ec);
    }
    key_.clear();
    return true;
  }
  bool on_string_part(json::string_view s, std::size_t, json::error_code& ec) {
    stack_.push_chars(s);
    return without_nul(s, ec);
  }
  bool on_string(json::string_view s, std::size_t, json::error_code& ec) {
    stack_.push_string(s);
    return without_nul(s, ec);
  }
  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_int64(std::int64_t v, json::string_view, json::error_code&) {
    stack_.push_int64(v);
    return true;
  }
  bool on_uint64(std::uint64_t v, json::string_view, json::error_code&) {
    stack_.push_uint64(v);
    return true;
  }
  bool on_double(double v, json::string_view, json::error_code& ec) {
    if (!std::isfinite(v)) return refuse("a number is out of range", ec);
    stack_.push_double(v);
    return true;
  }
  bool on_bool(bool v, json::error_code&) {
    stack_.push_bool(v);
    return true;
  }
  bool on_null(json::error_code&) {
    stack_.push_null();
    return true;
  }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }

 private:
  bool refuse(std::string text, json::error_code& ec) {
    problem = std::move(text);
    ec = json::error::syntax;
    return false;
  }
  bool without_nul(json::string_view s, json::error_code& ec) {
    if (s.find('\0') == json::string_view::npos) return true;
    return refuse("text must not contain U+0000", ec);
  }

  const json::storage_ptr storage_;
  const bool name_repeated_;
  alignas(json::value) unsigned char first_[2048];  // for what is not whole yet
  json::value_stack stack_;
  std::vector<std::unordered_set<std::string>> seen_;
  std::string key_;
};

// All members, at any depth.
std::size_t count_members(const json::value& v) {
  std::size_t out = 0;
  if (const json::object* o = v.if_object()) {
    out = o->size();
    for (const auto& m : *o) out += count_members(m.value());
  } else if (const json::array* a = v.if_array()) {
    for (const json::value& item : *a) out += count_members(item);
  }
  return out;
}

std::string describe(json::error_code ec) {
  if (ec == json::error::too_deep)
    return "nested more than " + std::to_string(max_json_depth) + " levels deep";
  if (ec == json::error::incomplete) return "the text ends too early";
  if (ec == json::error::extra_data) return "there is text after the JSON value";
  return ec.message();
}

result<json::value> parse_strict(std::string_view text, const json::storage_ptr& storage,
                                 bool name_repeated) {
  json::parse_options options;
  options.max_depth = max_json_depth;
  json::basic_parser<strict_handler> parser(options, storage, name_repeated);
  json::error_code ec;
  const std::size_t read = parser.write_some(false, text.data(), text.size(), ec);
  if (!ec && read < text.size()) ec = json::error::extra_data;
  if (!ec) {
    json::value v = parser.handler().release();
    // A key that comes twice is one member: the text is read again to name it.
    if (name_repeated || count_members(v) == parser.handler().keys) return v;
    return parse_strict(text, storage, true);
  }

  const std::string what = parser.handler().problem.empty() ? describe(ec) : parser.handler().problem;
  error e;
  e.code = errc::invalid_request;
  e.message.text = "body: not valid JSON at byte " + std::to_string(read) + ": " + what;
  e.log.text = e.message.text;
  e.violations.push_back({"json_invalid", {"body", std::to_string(read)}, "JSON decode error: " + what, ""});
  return std::unexpected(std::move(e));
}

}  // namespace

result<json::value> parse_strict(std::string_view text, json::storage_ptr storage) {
  return parse_strict(text, storage, false);
}

std::optional<json::value> parse_lenient(std::string_view text, json::storage_ptr storage) {
  json::error_code ec;
  json::parse_options options;
  options.max_depth = max_upstream_json_depth;
  json::value v = json::parse(json::string_view(text.data(), text.size()), ec, std::move(storage), options);
  if (ec) return std::nullopt;
  return v;
}

const json::value* member(const json::object& from, std::string_view key) {
  const json::value* found = from.if_contains(json::string_view(key.data(), key.size()));
  return found != nullptr && !found->is_null() ? found : nullptr;
}

const json::value* member(const json::value& from, std::string_view key) {
  const json::object* object = from.if_object();
  return object != nullptr ? member(*object, key) : nullptr;
}

std::string_view text_of(const json::object& from, std::string_view key) {
  const json::value* found = member(from, key);
  return found != nullptr && found->is_string() ? view(found->get_string()) : std::string_view{};
}

std::string_view first_text(const json::object& from, std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    if (const std::string_view text = text_of(from, key); !text.empty()) return text;
  }
  return {};
}

std::size_t text_size(const json::value& v) {
  constexpr std::size_t quotes = 2;
  std::size_t out = 1;
  if (const json::string* s = v.if_string()) return s->size() + quotes;
  if (v.is_number()) return 8;
  if (const json::array* a = v.if_array()) {
    for (const json::value& item : *a) out += text_size(item) + 1;
  } else if (const json::object* o = v.if_object()) {
    for (const auto& m : *o) out += m.key().size() + quotes + 2 + text_size(m.value());
  }
  return out;
}

}  // namespace relay
