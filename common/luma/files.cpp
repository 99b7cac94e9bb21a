#include "common/luma/files.hpp"

#include "common/base/files_in_json.hpp"

namespace relay::luma {
namespace {

using place = std::vector<std::string>;

place in(place at, std::string_view next) {
  at.emplace_back(next);
  return at;
}

// Calls `found(text, where)` for each file in a field. What has another shape has none.
template <class Found>
class walk {
 public:
  explicit walk(Found& found) : found_(found) {}

  void text(json::value& v, place at) const {
    if (json::string* s = v.if_string()) found_(*s, std::move(at));
  }
  void file(json::value& v, const place& at) const {
    if (json::value* url = member(v, "url")) text(*url, in(at, "url"));
  }
  void files(json::value& v, const place& at) const {
    json::array* list = v.if_array();
    if (list == nullptr) return;
    std::size_t i = 0;
    for (json::value& item : *list) file(item, in(at, std::to_string(i++)));
  }
  void identities(json::value& v, const place& at) const {
    json::object* all = v.if_object();
    if (all == nullptr) return;
    for (auto& m : *all) {
      json::value* images = member(m.value(), "images");
      json::array* list = images != nullptr ? images->if_array() : nullptr;
      if (list == nullptr) continue;
      const place here = in(in(at, view(m.key())), "images");
      std::size_t i = 0;
      for (json::value& url : *list) text(url, in(here, std::to_string(i++)));
    }
  }
  void frame(json::value& frames, const char* name, std::string_view called, const place& at) const {
    json::value* v = member(frames, name);
    if (v == nullptr || !v->is_object() || text_of(v->get_object(), "type") != "image") return;
    json::value* url = member(*v, "url");
    if (url != nullptr)
      text(*url, called.empty() ? in(in(at, name), "url") : place{"body", std::string(called)});
  }

 private:
  static json::value* member(json::value& of, std::string_view name) {
    json::object* o = of.if_object();
    return o != nullptr ? o->if_contains(name) : nullptr;
  }

  Found& found_;
};

// Calls `found(text, where, rule)` for each file of a request.
template <class Found>
void for_each_file(const action& a, json::object& request, const field_names& names, Found found) {
  const auto may_hold_one = [](shape s) {
    return s == shape::file || s == shape::picture || s == shape::pictures || s == shape::identities ||
           s == shape::frames;
  };
  for (const field_rule& rule : a.fields) {
    json::value* v = may_hold_one(rule.is) ? request.if_contains(rule.name) : nullptr;
    if (v == nullptr) continue;
    const auto here = [&](json::string& text, place where) { found(text, std::move(where), rule); };
    const walk each(here);
    const place at{"body", std::string(rule.name)};
    switch (rule.is) {
      case shape::file:
      case shape::picture:
        each.file(*v, at);
        break;
      case shape::pictures:
        each.files(*v, at);
        break;
      case shape::identities:
        each.identities(*v, at);
        break;
      case shape::frames:
        each.frame(*v, "frame0", names.frame0_url, at);
        each.frame(*v, "frame1", names.frame1_url, at);
        break;
      default:
        break;
    }
  }
}

}  // namespace

std::vector<file_place> files_in(const action& a, json::object& request, const field_names& names) {
  std::vector<file_place> out;
  for_each_file(a, request, names, [&](json::string& text, place where, const field_rule& rule) {
    out.push_back({&text, std::move(where), rule.name == "media" && a.generation_type == "video"});
  });
  return out;
}

std::size_t bytes_of_files(const action& a, const json::object& request) {
  std::size_t out = 0;
  // The object is not changed here.
  for_each_file(a, const_cast<json::object&>(request), {},
                [&](json::string& text, place&&, const field_rule&) {
                  if (may_be_file(view(text))) out += text.size();
                });
  return out;
}

}  // namespace relay::luma
